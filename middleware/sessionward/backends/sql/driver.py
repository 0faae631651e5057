"""What differs between drivers: how to run a script, how to abort a connection, and what an error means."""

from __future__ import annotations

import _socket
import asyncio
import os
from collections.abc import Callable, MutableMapping
from contextlib import closing, suppress
from enum import Enum, auto
from typing import Any, Final

from sessionward.backends.sql.dialect import POSTGRESQL, SQLITE, Dialect
from sessionward.errors import OutcomeUnknown


class ErrorKind(Enum):
    """What an error of a driver means to us."""

    CONFLICT = auto()  # a deadlock, a serialization failure or a busy file: another try may succeed
    BROKEN = auto()  # the connection is broken
    STALE = auto()  # PostgreSQL: the statements that were prepared on these connections fit no more
    NO_TABLE = auto()
    NO_COLUMN = auto()  # a table of an earlier version
    READ_ONLY = auto()  # PostgreSQL: a standby, or a role that may only read
    OTHER = auto()


def _shut_down(descriptor: int) -> None:
    """Shuts down both directions of a socket on which another thread waits. The wait ends at once."""
    with closing(_socket.socket(fileno=os.dup(descriptor))) as duplicate:  # never gevent's, which would need an event loop here
        duplicate.shutdown(_socket.SHUT_RDWR)


def _abort_psycopg(connection: Any) -> None:
    if not connection.closed:
        _shut_down(connection.pgconn.socket)


def _abort_pymysql(connection: Any) -> None:
    if connection.open:
        _shut_down(connection._sock.fileno())  # it has no public name; the extra pins the major version


def _abort_by_descriptor(connection: Any) -> None:
    _shut_down(connection.fileno())


async def _interrupt(connection: Any) -> None:
    await connection.interrupt()


_interrupts: set[asyncio.Task[None]] = set()


def _abort_aiosqlite(connection: Any) -> None:
    task = asyncio.ensure_future(_interrupt(connection))
    _interrupts.add(task)
    task.add_done_callback(_interrupts.discard)


_ABORTERS: Final[dict[str, Callable[[Any], None]]] = {
    "pysqlite": lambda connection: connection.interrupt(),
    "aiosqlite": _abort_aiosqlite,
    "psycopg": _abort_psycopg,
    "asyncpg": lambda connection: connection.terminate(),
    "pymysql": _abort_pymysql,
    "asyncmy": lambda connection: connection.close(),
}


def aborter(driver: str) -> Callable[[Any], None]:
    """Returns a function that aborts a connection of this driver, so that the thread or task that waits on it fails at once.

    Another thread or a callback may call it. It raises nothing.
    """
    abort = _ABORTERS.get(driver, _abort_by_descriptor)

    def quietly(connection: Any) -> None:
        with suppress(Exception):  # the connection is broken already, so there is nothing to abort
            abort(connection)

    return quietly


def _run_each(connection: Any, script: str) -> None:
    cursor = connection.cursor()
    try:
        for command in script.split("; "):
            cursor.execute(command)
    finally:
        cursor.close()


def _run_at_once(connection: Any, script: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(script, prepare=False)  # without parameters psycopg sends the whole script at once
    finally:
        cursor.close()


def _run_on_asyncpg(connection: Any, script: str) -> None:
    def execute(driver: Any) -> Any:
        return driver.execute(script)

    connection.run_async(execute)


def script_runner(driver: str) -> Callable[[Any, str], None]:
    """Returns a function that runs several commands, separated by ``; ``, in as few round trips as the driver can."""
    return {"psycopg": _run_at_once, "asyncpg": _run_on_asyncpg}.get(driver, _run_each)


CURSOR: Final = "sessionward: the cursor of this connection"
"""What :func:`cursor_of` keeps it by."""


def cursor_of(connection: Any, info: MutableMapping[Any, Any]) -> Any:
    """Returns the one cursor of a connection of psycopg: a new one for each statement takes a tenth of the time of a check.

    ``info``: what is kept beside the connection, and is empty for a new one. Each result must be read at once, and a cursor that
    has failed dropped.
    """
    cursor = info.get(CURSOR)
    if cursor is None:
        cursor = info[CURSOR] = connection.cursor()
    return cursor


_COMMIT: Final = "COMMIT"
_PLACE: Final = "SELECT pg_walfile_name(p), CAST(p AS varchar) FROM pg_current_wal_flush_lsn() p"


def _commit_by_psycopg(connection: Any) -> tuple[str, str]:
    cursor = connection.cursor()
    try:
        cursor.execute(f"{_COMMIT}; {_PLACE}", prepare=False)  # one round trip; two commands cannot be prepared
        cursor.nextset()
        result = cursor.pgresult
        return result.get_value(0, 0).decode(), result.get_value(0, 1).decode()
    finally:
        cursor.close()


def committer(driver: str) -> Callable[[Any], tuple[str, str]]:
    """Returns a function that commits on PostgreSQL, and returns the file and the position that its write-ahead log has reached."""
    if driver == "psycopg":
        return _commit_by_psycopg
    run = script_runner(driver)

    def commit(connection: Any) -> tuple[str, str]:
        run(connection, _COMMIT)
        cursor = connection.cursor()
        try:
            cursor.execute(_PLACE)
            file, position = cursor.fetchone()
        except Exception as error:  # whatever the server says, the transaction has been committed
            raise OutcomeUnknown("PostgreSQL did not say how far its log is after a commit") from error
        finally:
            cursor.close()
        return file, position

    return commit


_CONFLICT_STATES: Final = frozenset({"40001", "40P01"})
_STALE_STATES: Final = frozenset({"26000", "42P05"})  # a prepared statement that the server does not know, or knows already
_CONFLICT_CODES: Final = frozenset({1213, 1205})
_MISSING_STATES: Final = {"42P01": ErrorKind.NO_TABLE, "42703": ErrorKind.NO_COLUMN}
_MISSING_CODES: Final = {1146: ErrorKind.NO_TABLE, 1054: ErrorKind.NO_COLUMN}
_DEFINITE: Final = (ErrorKind.CONFLICT, ErrorKind.STALE, ErrorKind.READ_ONLY, ErrorKind.OTHER)
_NOT_OF_COMMIT: Final = ("42", "53", "57")
"""Errors that may also come from the query behind the COMMIT: of rights, of resources, and of a cancelled query."""
_READ_ONLY: Final = "25006"
_NOT_ALLOWED: Final = frozenset({"42501", "42883", "0A000", _READ_ONLY})
_BROKEN_CODES: Final = frozenset({1053, 1927})  # server shutdown, connection killed
_BROKEN_STATES: Final = ("08", "57P", "25P03")  # connection exceptions, operator intervention, idle in transaction


def error_kind(error: BaseException, dialect: Dialect) -> ErrorKind:
    """Returns what an error of a driver means to us. Its code decides, since messages change with versions and languages."""
    if dialect is SQLITE:
        primary = _sqlite_code(error)
        if primary in (5, 6):  # SQLITE_BUSY, SQLITE_LOCKED
            return ErrorKind.CONFLICT
        if primary == 1 and "no such table" in str(error):  # SQLite has no separate codes for these
            return ErrorKind.NO_TABLE
        if primary == 1 and ("no such column" in str(error) or "has no column named" in str(error)):
            return ErrorKind.NO_COLUMN
        return ErrorKind.OTHER
    if dialect is POSTGRESQL:
        state = _sqlstate(error)
        if state == _READ_ONLY:
            return ErrorKind.READ_ONLY
        if state in _CONFLICT_STATES:
            return ErrorKind.CONFLICT
        if state in _MISSING_STATES:
            return _MISSING_STATES[state]
        if state in _STALE_STATES or (state == "0A000" and _is_of_a_cached_plan(error)):
            return ErrorKind.STALE
        return ErrorKind.BROKEN if state.startswith(_BROKEN_STATES) else ErrorKind.OTHER
    number = _mysql_code(error)
    if number in _CONFLICT_CODES:
        return ErrorKind.CONFLICT
    if number in _MISSING_CODES:
        return _MISSING_CODES[number]
    return ErrorKind.BROKEN if 2000 <= number < 3000 or number in _BROKEN_CODES else ErrorKind.OTHER


def _is_of_a_cached_plan(error: BaseException) -> bool:
    """Returns whether a prepared statement fits its tables no more. Many other errors have its code; its message has a language."""
    return getattr(getattr(error, "diag", None), "source_function", None) == "RevalidateCachedQuery"


def is_definite(error: BaseException, dialect: Dialect) -> bool:
    """Returns whether an error at COMMIT proves that nothing was committed, since the database itself refused."""
    if dialect is SQLITE:
        return _sqlite_code(error) in (5, 6, 9, 13)  # busy, locked, interrupted, full; after an I/O error the outcome is unknown
    if not (_sqlstate(error) if dialect is POSTGRESQL else _mysql_code(error)):
        return False  # the error comes from the driver, not from the server
    if dialect is POSTGRESQL and _sqlstate(error).startswith(_NOT_OF_COMMIT):
        return False
    return error_kind(error, dialect) in _DEFINITE


def is_not_allowed(error: BaseException, dialect: Dialect) -> bool:
    """Returns whether PostgreSQL has refused a query because of the role, or because it lacks a function."""
    return dialect is POSTGRESQL and _sqlstate(error) in _NOT_ALLOWED


def code_of(error: BaseException, dialect: Dialect) -> str:
    """Returns the class and the code of an error, for the log. Its message may quote values, so we leave it out."""
    if dialect is SQLITE:
        return f"{type(error).__name__} {getattr(error, 'sqlite_errorname', '')}".strip()
    number = _sqlstate(error) if dialect is POSTGRESQL else str(_mysql_code(error) or "")
    return f"{type(error).__name__} {number}".strip()


def _sqlite_code(error: BaseException) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _sqlstate(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")


def _mysql_code(error: BaseException) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0
