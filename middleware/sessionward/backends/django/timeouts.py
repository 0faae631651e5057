"""How long a transaction of ours waits for locks of others, on a connection that is Django's."""

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

atomic: Any = transaction.atomic


class _Words(NamedTuple):
    """How the setting is read and written, and how many of its units are a second."""

    read: str
    write: str
    second: int


_WORDS: Final = {
    "mysql": _Words(  # locks of rows, and of whole tables
        "SELECT @@SESSION.innodb_lock_wait_timeout, @@SESSION.lock_wait_timeout",
        "SET SESSION innodb_lock_wait_timeout = {}, SESSION lock_wait_timeout = {}",
        1,
    ),
    "sqlite": _Words("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", 1000),
}


@contextmanager
def patient(using: str, timeout: float) -> Generator[None]:
    """Let a connection wait so many seconds for a lock, and leave it as it was. Not PostgreSQL; see below."""
    connection = connections[using]
    words = _WORDS.get(connection.vendor)
    if words is None:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(words.read)
        before = cursor.fetchone()
        ours = max(1, math.ceil(timeout * words.second))
        cursor.execute(words.write.format(*[ours] * len(before)))
    try:
        yield
    finally:
        with suppress(Error), connection.cursor() as cursor:  # a connection that cannot hear this is dead
            cursor.execute(words.write.format(*before))


@contextmanager
def hurried(using: str, timeout: float) -> Generator[None]:
    """The same for PostgreSQL, around questions that change nothing: they too may meet a table that is locked."""
    if connections[using].vendor != "postgresql" or connections[using].in_atomic_block:  # there the setting would outlast us
        yield
        return
    with atomic(using=using):
        impatient(using, timeout)
        yield


def impatient(using: str, timeout: float) -> None:
    """The same for PostgreSQL, inside the transaction, with which it ends."""
    if connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            milliseconds = max(1, int(timeout * 1000))
            cursor.execute(  # whatever level the project has chosen for itself: who waits here wants to see what was committed
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;"
                f" SET LOCAL lock_timeout = {milliseconds}; SET LOCAL statement_timeout = {milliseconds}"
            )


@contextmanager
def settled(using: str) -> Generator[None]:
    """A short transaction at READ COMMITTED. MariaDB reads anew once it has a lock, at any level; SQLite has one writer."""
    connection = connections[using]
    with atomic(using=using):
        if connection.vendor == "postgresql" and not connection.savepoint_ids:  # inside a TestCase it would come too late
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield
