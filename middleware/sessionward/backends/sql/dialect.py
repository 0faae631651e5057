"""What differs between SQLite, PostgreSQL and MariaDB/MySQL."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

Time = datetime | str


class LockTimeout(NamedTuple):
    """The setting of a connection that limits how long it waits for a lock.

    ``read``: the query that reads it. ``set``: the command that sets it. ``second``: how many of its units are a second.
    """

    read: str
    set: str
    second: int

    def setting(self, seconds: float) -> str:
        """Returns the command that limits the wait to so many seconds."""
        return self.set.format(max(1, math.ceil(seconds * self.second)))


@dataclass(frozen=True, slots=True)
class Dialect:
    """The SQL of one database.

    ``quote``: the quotation mark of names. ``now``: the expression for the time of its clock; on SQLite the parameter ``:now``, the
    clock of the host.
    """

    name: str
    display_name: str
    quote: str
    now: str
    for_update: str
    add_user: str
    add_state: str
    begin: str
    """Begins a transaction that reads what is committed. Where BEGIN can limit the wait for a lock, the limit is ``{ms}`` ms."""
    own_begin: str
    """The same on a connection of our own Engine, whose settings no other code uses."""
    lock_timeout: LockTimeout | None
    """How we limit the wait for a lock on a connection of the user's Engine, where BEGIN cannot limit it."""
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
    return value if value.tzinfo is UTC else value.astimezone(UTC).replace(tzinfo=None)


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    """Converts to UTC: PostgreSQL's drivers return times in the time zone of the connection."""
    return value.astimezone(UTC)


def _formatted(value: datetime) -> str:
    """Formats a time as SQLAlchemy writes a DateTime on SQLite, so that the strings sort as the times do."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _parsed(value: str) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


_INSERT: Final = "INTO sessionward_users (user_id, generation, companion_required) VALUES (:user, 0, {false})"

_INSERT_STATE: Final = "INTO sessionward_state (id, lease, former_lease) VALUES (1, 0, 0)"

_BEGIN_POSTGRESQL: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {ms}; SET LOCAL idle_in_transaction_session_timeout = {ms}"
)
_BEGIN_MYSQL: Final = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION"

SQLITE: Final = Dialect(
    name="sqlite",
    display_name="SQLite",
    quote="`",
    now=":now",
    for_update="",
    add_user=f"INSERT OR IGNORE {_INSERT.format(false=0)}",
    add_state=f"INSERT OR IGNORE {_INSERT_STATE}",
    begin="BEGIN IMMEDIATE",
    own_begin="PRAGMA busy_timeout = {ms}; BEGIN IMMEDIATE",
    lock_timeout=LockTimeout("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", 1000),
    id_in=_hexadecimal,
    id_out=UUID,
    user_in=_same,
    user_out=_same,
    time_in=_formatted,
    time_out=_parsed,
)
POSTGRESQL: Final = Dialect(
    name="postgresql",
    display_name="PostgreSQL",
    quote='"',
    now="clock_timestamp()",
    for_update=" FOR UPDATE",
    add_user=f"INSERT {_INSERT.format(false='false')} ON CONFLICT DO NOTHING",
    add_state=f"INSERT {_INSERT_STATE} ON CONFLICT DO NOTHING",
    begin=_BEGIN_POSTGRESQL,
    own_begin=_BEGIN_POSTGRESQL,
    lock_timeout=None,
    id_in=_same,
    id_out=_same,
    user_in=_same,
    user_out=_same,
    time_in=_same,
    time_out=_in_utc,
)
MYSQL: Final = Dialect(
    name="mysql",
    display_name="MariaDB/MySQL",
    quote="`",
    now="UTC_TIMESTAMP(6)",
    for_update=" FOR UPDATE",
    add_user=f"INSERT {_INSERT.format(false=0)} ON DUPLICATE KEY UPDATE user_id = user_id",  # INSERT IGNORE makes the driver warn
    add_state=f"INSERT {_INSERT_STATE} ON DUPLICATE KEY UPDATE id = id",
    begin=_BEGIN_MYSQL,
    own_begin=_BEGIN_MYSQL,
    lock_timeout=LockTimeout("SELECT @@SESSION.innodb_lock_wait_timeout", "SET SESSION innodb_lock_wait_timeout = {}", 1),
    id_in=_hexadecimal,
    id_out=UUID,
    user_in=str.encode,
    user_out=bytes.decode,
    time_in=_naive,
    time_out=_aware,
)
DIALECTS: Final = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MYSQL}


class Statement(NamedTuple):
    """A statement in the form of a driver, and the names of its parameters in order."""

    text: str
    order: tuple[str, ...]


def compiled(template: str, dialect: Dialect, paramstyle: str) -> Statement:
    """Returns a statement in a dialect and in a driver's parameter style.

    ``template`` has ``:name`` parameters, and ``{now}``, ``{lock}``, ``{free}``, ``{add_user}`` and ``{add_state}`` where dialects
    differ. ``{free}`` locks what no other transaction has locked.
    """
    order: list[str] = []

    def placeholder(match: re.Match[str]) -> str:
        order.append(match[1])
        return {"qmark": "?", "numeric_dollar": f"${len(order)}"}.get(paramstyle, "%s")

    text = template.format(
        now=dialect.now,
        lock=dialect.for_update,
        free=dialect.for_update and f"{dialect.for_update} SKIP LOCKED",
        add_user=dialect.add_user,
        add_state=dialect.add_state,
    )
    return Statement(re.sub(r":([a-z_]+)", placeholder, text), tuple(order))
