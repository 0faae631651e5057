"""What the columns of the application's table can hold, and how we convert a value for them.

Each database converts what it compares by its own rules: MariaDB finds the row 0 for the string ``abc``, and the row ``KEY`` for
``key``; PostgreSQL raises an error for the first. So we convert each value ourselves, and compare again what the database
returns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

from sessionward.backends.sql.dialect import MYSQL, POSTGRESQL, SQLITE, Dialect
from sessionward.backends.table.transform import Key


class Kind(Enum):
    """What a column holds, as far as it matters to us."""

    TEXT = auto()
    PADDED = auto()  # text, padded with blanks
    LABEL = auto()  # one of a list of labels: ENUM
    INTEGER = auto()
    BOOLEAN = auto()
    BIT = auto()
    NUMBER = auto()  # with fractions; on SQLite whatever has numeric affinity, times too
    UUID = auto()
    BYTES = auto()
    AWARE = auto()  # times with a time zone
    NAIVE = auto()  # times in UTC
    LOCAL = auto()  # times that the database returns in the time zone of the connection: TIMESTAMP of MariaDB and MySQL
    ANY = auto()  # SQLite, without a declared type: values as the application wrote them
    OTHER = auto()


EXACT: Final = frozenset({Kind.TEXT, Kind.PADDED, Kind.INTEGER, Kind.UUID, Kind.BYTES, Kind.ANY})
"""Kinds whose values mean the same to the database and to us, so that a column of them can name a session or a user."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    ``size``: how many characters of text, bits of an integer, or bytes of ``BINARY(n)``, which pads with zeros; 0 if unlimited.
    ``declared``: its type, as the database spells it.
    """

    name: str
    kind: Kind
    size: int = 0
    declared: str = ""

    def to_driver(self, value: Key, dialect: Dialect) -> Any:
        """Returns the value in the form that the driver takes for this column, or None if the column cannot hold it."""
        if self.kind is Kind.BYTES and isinstance(value, bytes):
            return value.ljust(self.size, b"\0")
        text = _text(value)
        if text is None:
            return None
        if self.kind is Kind.INTEGER:
            return _integer(text, self.size)
        if self.kind is Kind.UUID:
            return _uuid(text, dialect)
        if self.kind is Kind.BYTES:
            return text.encode().ljust(self.size, b"\0") if text.isascii() else None
        return None if self.kind is Kind.PADDED and text.endswith(" ") else text

    def normalized(self, value: Any) -> Any:
        """Returns a value of this column in a form in which equal values compare equal."""
        if self.kind is Kind.PADDED:
            return value.rstrip(" ") if isinstance(value, str) else value
        if self.kind is Kind.UUID:
            return str(value).lower()
        return bytes(value) if isinstance(value, bytearray) else value

    def to_user_id(self, value: Any) -> str:
        """Returns a value of this column as a user's id. Bytes become hexadecimal digits."""
        normalized = self.normalized(value)
        return normalized.hex() if isinstance(normalized, bytes) else str(normalized)

    def from_user_id(self, user_id: str, dialect: Dialect) -> Sequence[Any]:
        """Returns every form in which this column can hold a user's id; none if it cannot hold it.

        A UUID is written with hyphens or without, by the habit of the framework (SQLAlchemy and Django: ``CHAR(32)``).
        """
        spellings = [user_id]
        if re.fullmatch(_UUID, user_id.lower()) and self.kind in (Kind.TEXT, Kind.PADDED, Kind.ANY):
            uuid = UUID(user_id)
            spellings += [spelling for spelling in (str(uuid), uuid.hex) if spelling != user_id]
        forms = [self.to_driver(spelling, dialect) for spelling in spellings]
        if self.kind is Kind.BYTES and re.fullmatch(r"([0-9a-f]{2})+", digits := user_id.lower().replace("-", "")):
            forms.insert(0, bytes.fromhex(digits))
        if self.kind is Kind.ANY:
            forms.append(_integer(user_id, 64))
        return [form for form in forms if form is not None]

    def takes(self, value: str | int | bool, dialect: Dialect) -> bool:
        """Returns whether the database compares this column with this value as we would, and can store it there."""
        match self.kind:
            case Kind.ANY:
                return True
            case Kind.TEXT | Kind.PADDED:
                return isinstance(value, str)
            case Kind.LABEL:
                return isinstance(value, str) and "'" + value.replace("'", "''") + "'" in self.declared
            case Kind.UUID:
                return isinstance(value, str) and re.fullmatch(_UUID, value.lower()) is not None
            case Kind.BOOLEAN:
                return isinstance(value, bool)
            case Kind.INTEGER:
                return isinstance(value, int) and value.bit_length() < self.size and (dialect is not POSTGRESQL or type(value) is int)
            case Kind.BIT | Kind.NUMBER:
                return isinstance(value, int) and (dialect is not POSTGRESQL or type(value) is int)
            case _:
                return False


_UUID: Final = r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def column_of(name: str, declared: str, dialect: Dialect) -> Column:
    """Returns a column of the type that the database declares."""
    lower = declared.lower()
    kind = next((kind for pattern, kind in _DECLARED[dialect.name] if re.match(pattern, lower)), Kind.OTHER)
    length = re.search(r"\((\d+)", lower)
    size = 0
    if kind is Kind.INTEGER:
        size = _BITS.get(lower, 64) if dialect is POSTGRESQL else 65 if "unsigned" in lower else 64
    elif length and (kind in (Kind.TEXT, Kind.PADDED) or (kind is Kind.BYTES and dialect is MYSQL and lower.startswith("binary"))):
        size = 0 if dialect is SQLITE else int(length[1])
    return Column(name, kind, size, declared)


_BITS: Final = {"smallint": 16, "integer": 32, "bigint": 64}
_DECLARED: Final[dict[str, Sequence[tuple[str, Kind]]]] = {
    "postgresql": (
        (r"smallint$|integer$|bigint$", Kind.INTEGER),
        (r"boolean$", Kind.BOOLEAN),
        (r"numeric|real$|double precision$", Kind.NUMBER),
        (r"uuid$", Kind.UUID),
        (r"character\(|bpchar$|\"char\"", Kind.PADDED),
        (r"character varying|text$|name$|(\w+\.)?citext$", Kind.TEXT),
        (r"enum\(", Kind.LABEL),
        (r"bytea$", Kind.BYTES),
        (r"timestamp.* with time zone", Kind.AWARE),
        (r"timestamp", Kind.NAIVE),
    ),
    "mysql": (
        (r"(tiny|small|medium|big)?int", Kind.INTEGER),
        (r"decimal|float|double", Kind.NUMBER),
        (r"bit", Kind.BIT),
        (r"uuid$", Kind.UUID),
        (r"(var)?char|(tiny|medium|long)?text", Kind.TEXT),
        (r"enum\(", Kind.LABEL),
        (r"(var)?binary|(tiny|medium|long)?blob", Kind.BYTES),
        (r"timestamp", Kind.LOCAL),
        (r"datetime", Kind.NAIVE),
    ),
    # By the rules of https://www.sqlite.org/datatype3.html 3.1. A time is in whatever form the application wrote it.
    "sqlite": (
        (r".*int", Kind.INTEGER),
        (r".*(char|clob|text|uuid)", Kind.TEXT),
        (r".*blob", Kind.BYTES),
        (r"$", Kind.ANY),
        (r"", Kind.NUMBER),
    ),
}


# --- conversions ------------------------------------------------------------------------------------------------------


def _text(value: Key) -> str | None:
    if isinstance(value, bytes):
        return value.decode() if value.isascii() else None
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return None if "\0" in text else text  # PostgreSQL raises an error for it


def _integer(text: str, bits: int) -> int | None:
    """Returns the number, or None for any other spelling of it: with blanks, leading zeros or non-ASCII digits."""
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,19}", text):
        return None
    number = int(text)
    return number if number.bit_length() < bits and (number >= 0 or bits <= 64) else None


def _uuid(text: str, dialect: Dialect) -> UUID | str | None:
    if not re.fullmatch(_UUID, text.lower()):
        return None
    return UUID(text) if dialect is POSTGRESQL else str(UUID(text))


# --- times ------------------------------------------------------------------------------------------------------------

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of the database at the moment of a statement. ``offset``: from UTC, of the time zone of the connection."""

    now: datetime
    offset: timedelta = timedelta(0)

    @classmethod
    def of(cls, now: Any, local: Any, dialect: Dialect) -> Clock:
        aware = dialect.time_out(now)
        if dialect is not MYSQL:
            return cls(aware)
        # The database reads the two one after the other, and time zones differ by whole minutes.
        return cls(aware, timedelta(minutes=round((local - now).total_seconds() / 60)))

    def read(self, value: Any, kind: Kind) -> datetime:
        """Returns a time of the table with its time zone. Raises ``ValueError`` for a value that is not a time."""
        if kind is Kind.LOCAL and isinstance(value, (int, Decimal)):
            return EPOCH + timedelta(microseconds=int(value * 1_000_000))
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(at, datetime):
            raise ValueError("not a time")
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

    def write(self, kind: Kind, dialect: Dialect) -> Any:
        """Returns the present time in the form that a column of this kind takes."""
        if kind is Kind.INTEGER:
            return int(self.now.timestamp())
        if kind is Kind.LOCAL:
            return (self.now + self.offset).replace(tzinfo=None)
        if kind is Kind.NAIVE:
            return self.now.replace(tzinfo=None)
        return dialect.time_in(self.now)
