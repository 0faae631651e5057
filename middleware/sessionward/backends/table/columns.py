"""What the columns of somebody else's table can hold, and how a value is put to them.

Databases convert what they compare, each by its own rules: MariaDB finds the row 0 for the text ``abc`` and the row
``KEY`` for ``key``, PostgreSQL refuses the first with an error. So a value is converted here, and what comes back is
compared once more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

from sessionward.backends.sql.dialect import MYSQL, POSTGRESQL, SQLITE, Dialect
from sessionward.backends.table.transform import Key


class Kind(Enum):
    """What a column holds, as far as it matters here."""

    TEXT = auto()
    PADDED = auto()  # text, filled up with blanks
    INTEGER = auto()
    UUID = auto()
    BYTES = auto()
    AWARE = auto()  # times with their zone
    NAIVE = auto()  # times in UTC
    LOCAL = auto()  # times that the server shows in the zone of the connection: TIMESTAMP of MariaDB and MySQL
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is there. ``size``: characters of a text, bits of an integer; 0 if unlimited."""

    name: str
    kind: Kind
    size: int = 0

    def put(self, value: Key, dialect: Dialect) -> Any:
        """The value as the driver takes it for this column, or None where the column cannot hold it."""
        if self.kind is Kind.BYTES and isinstance(value, bytes):
            return value
        text = _text(value)
        if text is None:
            return None
        if self.kind is Kind.INTEGER:
            return _integer(text, self.size)
        if self.kind is Kind.UUID:
            return _uuid(text, dialect)
        if self.kind is Kind.BYTES:
            return text.encode() if text.isascii() else None
        return None if self.kind is Kind.PADDED and text.endswith(" ") else text

    def got(self, value: Any) -> Any:
        """A value from this column, so that equal ones are equal."""
        if self.kind is Kind.PADDED:
            return value.rstrip(" ") if isinstance(value, str) else value
        if self.kind is Kind.UUID:
            return str(value).lower()
        return bytes(value) if isinstance(value, bytearray) else value

    def told(self, value: Any) -> str:
        """A user's id as text; bytes in hexadecimal digits."""
        got = self.got(value)
        return got.hex() if isinstance(got, bytes) else str(got)

    def untold(self, text: str, dialect: Dialect) -> Any:
        """A user's id as the column has it, or None for a text that is none."""
        if self.kind is not Kind.BYTES:
            return self.put(text, dialect)
        try:
            return bytes.fromhex(text)
        except ValueError:
            return None


def column_of(name: str, declared: str, dialect: Dialect) -> Column:
    """A column by the type that the database says it has."""
    declared = declared.lower()
    kind = next((kind for pattern, kind in _DECLARED[dialect.name] if re.match(pattern, declared)), Kind.OTHER)
    length = re.search(r"\((\d+)", declared)
    if kind is Kind.INTEGER:
        return Column(name, kind, _BITS.get(declared, 64) if dialect is POSTGRESQL else 64)
    return Column(name, kind, int(length[1]) if length and kind in (Kind.TEXT, Kind.PADDED) and dialect is not SQLITE else 0)


_BITS: Final = {"smallint": 16, "integer": 32, "bigint": 64}
_DECLARED: Final[dict[str, Sequence[tuple[str, Kind]]]] = {
    "postgresql": (
        (r"smallint$|integer$|bigint$", Kind.INTEGER),
        (r"uuid$", Kind.UUID),
        (r"character\(|\"char\"", Kind.PADDED),
        (r"character varying|text$|name$|(\w+\.)?citext$", Kind.TEXT),
        (r"bytea$", Kind.BYTES),
        (r"timestamp.* with time zone", Kind.AWARE),
        (r"timestamp", Kind.NAIVE),
    ),
    "mysql": (
        (r"(tiny|small|medium|big)?int", Kind.INTEGER),
        (r"uuid$", Kind.UUID),
        (r"(var)?char|(tiny|medium|long)?text|enum", Kind.TEXT),
        (r"(var)?binary|(tiny|medium|long)?blob", Kind.BYTES),
        (r"timestamp", Kind.LOCAL),
        (r"datetime", Kind.NAIVE),
    ),
    # By the rules of https://www.sqlite.org/datatype3.html 3.1; a time is whatever the application wrote.
    "sqlite": ((r".*int", Kind.INTEGER), (r".*(char|clob|text|uuid)", Kind.TEXT), (r".*blob", Kind.BYTES)),
}


# --- putting ----------------------------------------------------------------------------------------------------------


def _text(value: Key) -> str | None:
    if isinstance(value, bytes):
        return value.decode() if value.isascii() else None
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return None if "\0" in text else text  # PostgreSQL refuses it with an error


def _integer(text: str, bits: int) -> int | None:
    """Only as the number would be written: no blanks, no leading zeros, no other digits."""
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text):
        return None
    number = int(text)
    return number if number.bit_length() < bits else None


def _uuid(text: str, dialect: Dialect) -> UUID | str | None:
    if not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text.lower()):
        return None
    return UUID(text) if dialect is POSTGRESQL else str(UUID(text))


# --- times ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clock:
    """The database's clock at the moment of a statement; ``ahead``: of UTC, in the zone of the connection."""

    now: datetime
    ahead: timedelta = timedelta(0)

    @classmethod
    def of(cls, now: Any, local: Any, dialect: Dialect) -> Clock:
        aware = dialect.time_out(now)
        if dialect is not MYSQL:
            return cls(aware)
        # The two are read one after the other, and zones are whole minutes.
        return cls(aware, timedelta(minutes=round((local - now).total_seconds() / 60)))

    def read(self, value: Any, kind: Kind) -> datetime:
        """A time of the table as an aware one. Raises ``ValueError`` for what is no time."""
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(at, datetime):
            raise ValueError("no time")
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
            return at - self.ahead if kind is Kind.LOCAL else at
        return at.astimezone(UTC)

    def write(self, kind: Kind, dialect: Dialect) -> Any:
        """Now, as a column of this kind takes it."""
        if kind is Kind.INTEGER:
            return int(self.now.timestamp())
        if kind is Kind.LOCAL:
            return (self.now + self.ahead).replace(tzinfo=None)
        if kind is Kind.NAIVE:
            return self.now.replace(tzinfo=None)
        return dialect.time_in(self.now)
