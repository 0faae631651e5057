"""What differs between SQLite, PostgreSQL and MariaDB/MySQL, and between their drivers."""

from __future__ import annotations

import asyncio
import math
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, Final, NamedTuple
from uuid import UUID

Time = datetime | str


class Trouble(Enum):
    """What an error of a driver means for us."""

    CONFLICT = auto()  # a deadlock, a serialization failure, a busy file: the same again may succeed
    GONE = auto()  # the connection is dead
    NO_TABLE = auto()
    OTHER = auto()


class Patience(NamedTuple):
    """A setting of a connection: how it is read, how it is set, and how many of its units are a second."""

    read: str
    set: str
    second: int

    def setting(self, seconds: float) -> str:
        return self.set.format(max(1, math.ceil(seconds * self.second)))


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words of one database. ``now`` is its clock of the moment; ``:now`` stands for the host's (SQLite)."""

    name: str
    spoken: str
    now: str
    for_update: str
    add_user: str
    begin: str
    """Begins a transaction that reads what is committed; waits for a lock at most ``{ms}`` ms where it can say so."""
    own_begin: str
    """The same on a connection that is ours alone, whose settings nobody else sees."""
    patience: Patience | None
    """How a connection that was lent to us is told for how long it waits for a lock, where BEGIN cannot say it."""
    id_in: Callable[[UUID], Any]
    id_out: Callable[[Any], UUID]
    user_in: Callable[[str], Any]
    user_out: Callable[[Any], str]
    time_in: Callable[[datetime], Any]
    time_out: Callable[[Any], datetime]


def _same(value: Any) -> Any:
    return value


def _hexadecimal(value: UUID) -> str:
    return value.hex


def _naive(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(tzinfo=None)


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    """PostgreSQL's drivers give the time zone of the connection."""
    return value.astimezone(UTC)


def _written(value: datetime) -> str:
    """As SQLAlchemy writes a DateTime on SQLite, so that texts sort as times do."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _parsed(value: str) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


_INSERT: Final = "INTO sessionward_users (user_id, epoch, closed) VALUES (:user, 0, {false})"

_BEGIN_POSTGRESQL: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {ms}; SET LOCAL idle_in_transaction_session_timeout = {ms}"
)
_BEGIN_MYSQL: Final = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION"

SQLITE: Final = Dialect(
    name="sqlite",
    spoken="SQLite",
    now=":now",
    for_update="",
    add_user=f"INSERT OR IGNORE {_INSERT.format(false=0)}",
    begin="BEGIN IMMEDIATE",
    own_begin="PRAGMA busy_timeout = {ms}; BEGIN IMMEDIATE",
    patience=Patience("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", 1000),
    id_in=_hexadecimal,
    id_out=UUID,
    user_in=_same,
    user_out=_same,
    time_in=_written,
    time_out=_parsed,
)
POSTGRESQL: Final = Dialect(
    name="postgresql",
    spoken="PostgreSQL",
    now="clock_timestamp()",
    for_update=" FOR UPDATE",
    add_user=f"INSERT {_INSERT.format(false='false')} ON CONFLICT DO NOTHING",
    begin=_BEGIN_POSTGRESQL,
    own_begin=_BEGIN_POSTGRESQL,
    patience=None,
    id_in=_same,
    id_out=_same,
    user_in=_same,
    user_out=_same,
    time_in=_same,
    time_out=_in_utc,
)
MYSQL: Final = Dialect(
    name="mysql",
    spoken="MariaDB/MySQL",
    now="UTC_TIMESTAMP(6)",
    for_update=" FOR UPDATE",
    add_user=f"INSERT IGNORE {_INSERT.format(false=0)}",
    begin=_BEGIN_MYSQL,
    own_begin=_BEGIN_MYSQL,
    patience=Patience("SELECT @@SESSION.innodb_lock_wait_timeout", "SET SESSION innodb_lock_wait_timeout = {}", 1),
    id_in=_hexadecimal,
    id_out=UUID,
    user_in=str.encode,
    user_out=bytes.decode,
    time_in=_naive,
    time_out=_aware,
)
DIALECTS: Final = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL}


class Statement(NamedTuple):
    """A statement as a driver takes it, and the names of its parameters in order."""

    text: str
    order: tuple[str, ...]


def compiled(template: str, dialect: Dialect, paramstyle: str) -> Statement:
    """A statement with ``:name`` parameters and ``{now}``, ``{lock}``, in a dialect and a driver's parameter style."""
    order: list[str] = []

    def placeholder(match: re.Match[str]) -> str:
        order.append(match[1])
        return {"qmark": "?", "numeric_dollar": f"${len(order)}"}.get(paramstyle, "%s")

    text = template.format(now=dialect.now, lock=dialect.for_update, add_user=dialect.add_user)
    return Statement(re.sub(r":([a-z_]+)", placeholder, text), tuple(order))


# --- drivers ----------------------------------------------------------------------------------------------------------


def _shut_down(descriptor: int) -> None:
    """End both directions of a socket that another thread is waiting on; the wait ends at once."""
    with socket.socket(fileno=os.dup(descriptor)) as twin:
        twin.shutdown(socket.SHUT_RDWR)


def _kill_psycopg(connection: Any) -> None:
    if not connection.closed:
        _shut_down(connection.pgconn.socket)


def _kill_pymysql(connection: Any) -> None:
    if connection.open:
        _shut_down(connection._sock.fileno())  # it has no public name; the extra pins the major version


def _kill_by_descriptor(connection: Any) -> None:
    _shut_down(connection.fileno())


async def _interrupt(connection: Any) -> None:
    await connection.interrupt()


_interrupts: set[asyncio.Task[None]] = set()


def _kill_aiosqlite(connection: Any) -> None:
    task = asyncio.ensure_future(_interrupt(connection))
    _interrupts.add(task)
    task.add_done_callback(_interrupts.discard)


_KILLERS: Final[dict[str, Callable[[Any], None]]] = {
    "pysqlite": lambda connection: connection.interrupt(),
    "aiosqlite": _kill_aiosqlite,
    "psycopg": _kill_psycopg,
    "psycopg_async": _kill_psycopg,
    "asyncpg": lambda connection: connection.terminate(),
    "pymysql": _kill_pymysql,
    "asyncmy": lambda connection: connection.close(),
}


def killer(driver: str) -> Callable[[Any], None]:
    """How to make a driver's connection fail at once while somebody waits on it, from another thread or callback."""
    kill = _KILLERS.get(driver, _kill_by_descriptor)

    def quietly(connection: Any) -> None:
        with suppress(OSError, AttributeError):  # it is dead already, which is all that was wanted
            kill(connection)

    return quietly


def _say_each(connection: Any, script: str) -> None:
    cursor = connection.cursor()
    try:
        for command in script.split("; "):
            cursor.execute(command)
    finally:
        cursor.close()


def _say_at_once(connection: Any, script: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(script)  # without parameters: psycopg sends it whole
    finally:
        cursor.close()


def _say_to_asyncpg(connection: Any, script: str) -> None:
    def execute(driver: Any) -> Any:
        return driver.execute(script)

    connection.run_async(execute)


def speaker(driver: str) -> Callable[[Any, str], None]:
    """How to send several commands, separated by ``; ``, in as few round trips as a driver can."""
    return {"psycopg": _say_at_once, "psycopg_async": _say_at_once, "asyncpg": _say_to_asyncpg}.get(driver, _say_each)


_CONFLICT_STATES: Final = frozenset({"40001", "40P01"})
_CONFLICT_CODES: Final = frozenset({1213, 1205})
_GONE_CODES: Final = frozenset({1053, 1927})  # server shutdown, connection killed
_GONE_STATES: Final = ("08", "57P", "25P03")  # connection exceptions, operator intervention, idle in transaction


def trouble(error: BaseException, dialect: Dialect) -> Trouble:
    """What an error of a driver means for us, by its code; texts change with versions and languages."""
    if dialect is SQLITE:
        primary = _sqlite_code(error)
        if primary in (5, 6):  # SQLITE_BUSY, SQLITE_LOCKED
            return Trouble.CONFLICT
        if primary == 1 and "no such table" in str(error):  # SQLite has no code of its own for it
            return Trouble.NO_TABLE
        return Trouble.OTHER
    if dialect is POSTGRESQL:
        state = _sqlstate(error)
        if state in _CONFLICT_STATES:
            return Trouble.CONFLICT
        if state == "42P01":
            return Trouble.NO_TABLE
        return Trouble.GONE if state.startswith(_GONE_STATES) else Trouble.OTHER
    number = _mysql_code(error)
    if number in _CONFLICT_CODES:
        return Trouble.CONFLICT
    if number == 1146:
        return Trouble.NO_TABLE
    return Trouble.GONE if 2000 <= number < 3000 or number in _GONE_CODES else Trouble.OTHER


def is_definite(error: BaseException, dialect: Dialect) -> bool:
    """Whether an error at COMMIT says for certain that nothing was committed: the server itself said no."""
    if dialect is SQLITE:
        return _sqlite_code(error) in (5, 6, 9, 13)  # busy, locked, interrupted, full; an I/O error leaves it open
    if not (_sqlstate(error) if dialect is POSTGRESQL else _mysql_code(error)):
        return False  # the driver speaks for itself
    return trouble(error, dialect) in (Trouble.CONFLICT, Trouble.OTHER)


def code_of(error: BaseException, dialect: Dialect) -> str:
    """An error by its code, for the log; its text may quote values."""
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
