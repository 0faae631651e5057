"""Limits how long our transactions wait for locks, on connections that belong to Django."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from django.db import Error, connections, transaction

from sessionward.backends.django.raw_sql import Statement, ask_in_order

atomic: Any = transaction.atomic


class _Setting(NamedTuple):
    """How a database reads and writes its lock timeout, and how many of its units are a second."""

    read: str
    write: str
    second: int


_SETTINGS: Final = {
    "mysql": _Setting(  # locks of rows, and of whole tables
        "SELECT @@SESSION.innodb_lock_wait_timeout, @@SESSION.lock_wait_timeout",
        "SET SESSION innodb_lock_wait_timeout = {}, SESSION lock_wait_timeout = {}",
        1,
    ),
    "sqlite": _Setting("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", 1000),
}


@contextmanager
def lock_timeout(using: str, timeout: float) -> Generator[None]:
    """Limits the wait for a lock to ``timeout`` seconds, and then restores the setting. On PostgreSQL it does nothing; see below."""
    connection = connections[using]
    setting = _SETTINGS.get(connection.vendor)
    if setting is None:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(setting.read)
        before = cursor.fetchone()
        ours = max(1, math.ceil(timeout * setting.second))
        cursor.execute(setting.write.format(*[ours] * len(before)))
    try:
        yield
    finally:
        with suppress(Error), connection.cursor() as cursor:  # a connection on which this fails is broken
            cursor.execute(setting.write.format(*before))


@contextmanager
def read_timeout(using: str, timeout: float) -> Generator[None]:
    """Does the same on PostgreSQL, around queries that change nothing: they may wait for a locked table, too."""
    if (
        connections[using].vendor != "postgresql" or connections[using].in_atomic_block
    ):  # in a transaction of the application the setting would stay
        yield
        return
    with atomic(using=using):
        ask_in_order(using, limits(using, timeout))
        yield


READ_COMMITTED: Final = Statement("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
"""At any isolation level of the project, we must see what was committed while we waited for a lock."""


def limits(using: str, timeout: float) -> list[Statement]:
    """Returns the statements that do the same on PostgreSQL, for the beginning of a transaction. The settings end with it."""
    if connections[using].vendor != "postgresql":
        return []
    milliseconds = max(1, int(timeout * 1000))
    return [
        READ_COMMITTED,
        Statement(f"SET LOCAL lock_timeout = {milliseconds}"),
        Statement(f"SET LOCAL statement_timeout = {milliseconds}"),
    ]


@contextmanager
def read_committed(using: str, timeout: float | None = None) -> Generator[None]:
    """Runs a short transaction at READ COMMITTED. ``timeout``: limits its statements on PostgreSQL, in seconds.

    At other levels MariaDB also reads anew once it has a lock; SQLite has one writer.
    """
    connection = connections[using]
    with atomic(using=using):
        if connection.vendor == "postgresql" and not connection.savepoint_ids:  # inside a TestCase the transaction has begun already
            ask_in_order(using, [READ_COMMITTED] if timeout is None else limits(using, timeout))
        yield
