"""How long a transaction of ours waits for locks of others, on a connection that is Django's."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from django.db import Error, connections


class _Words(NamedTuple):
    """How the setting is read and written, and how many of its units are a second."""

    read: str
    write: str
    second: int


_WORDS: Final = {
    "mysql": _Words("SELECT @@SESSION.innodb_lock_wait_timeout", "SET SESSION innodb_lock_wait_timeout = {}", 1),
    "sqlite": _Words("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", 1000),
}


@contextmanager
def patient(using: str, deadline: float) -> Generator[None]:
    """Let a connection wait so many seconds for a lock, and leave it as it was. Around a transaction; see :func:`impatient`."""
    connection = connections[using]
    words = _WORDS.get(connection.vendor)
    if words is None:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(words.read)
        before = cursor.fetchone()[0]
        cursor.execute(words.write.format(max(1, math.ceil(deadline * words.second))))
    try:
        yield
    finally:
        with suppress(Error), connection.cursor() as cursor:  # a connection that cannot hear this is dead
            cursor.execute(words.write.format(before))


def impatient(using: str, deadline: float) -> None:
    """The same for PostgreSQL, inside the transaction, with which it ends."""
    if connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            milliseconds = max(1, int(deadline * 1000))
            cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}; SET LOCAL statement_timeout = {milliseconds}")
