"""The layout of the application's table, as the application declares it. It is checked once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self, TypeAlias

from sessionward.backends.table.columns import EPOCH, Clock, Kind
from sessionward.errors import ConfigurationError
from sessionward.settings import Duration, seconds

Value: TypeAlias = str | int | bool
REVOKED: Final = "revoked:"
"""The beginning of a renamed key. No application makes such a key, and a row with such a key is never live."""
RENAMED_LENGTH: Final = 34
"""How many characters a renamed key has. 26 of them are random hexadecimal digits, 104 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expires:
    """When a row expires, by one of its columns. :meth:`at`, :meth:`unix` and :meth:`created` make one.

    A row whose column is NULL never expires. We do not count an expired row and do not change it. So with a lifetime that is
    shorter than the application's own, sessions that the application still accepts are not revoked.
    """

    column: str
    lifetime: float = 0.0
    per_second: int = 0
    """0 if the column holds times. Otherwise it holds numbers, and this is how many of its units are a second."""

    @classmethod
    def at(cls, column: str) -> Self:
        """For a column that holds the time at which the session expires. A time without a time zone is UTC."""
        return cls(column=column)

    @classmethod
    def created(cls, column: str, *, lifetime: Duration) -> Self:
        """For a column that holds the time at which the session began or was last used. It expires ``lifetime`` after that."""
        return cls(column=column, lifetime=_lifetime(lifetime))

    @classmethod
    def unix(cls, column: str, *, lifetime: Duration = 0.0, per_second: int = 1) -> Self:
        """For a column of seconds since 1970 (``per_second=1000``: milliseconds). The session expires ``lifetime`` after that."""
        return cls(column=column, lifetime=_lifetime(lifetime), per_second=_units(per_second))

    def of(self, value: Any, kind: Kind, clock: Clock) -> datetime | None:
        """Returns when a row with this value expires. Raises :class:`ConfigurationError` if the column holds something else."""
        try:
            return _moment(value, kind, clock, self.per_second, self.lifetime)
        except (ValueError, TypeError):
            expected, way_out = ("numbers", "Expires.at or Expires.created") if self.per_second else ("times", "Expires.unix")
            raise ConfigurationError(f"expires: {self.column} does not hold {expected}; use {way_out}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """A column that says when something happened to a session. :meth:`at` and :meth:`unix` make one."""

    column: str
    per_second: int = 0
    """As in :class:`Expires`."""

    @classmethod
    def at(cls, column: str) -> Self:
        """For a column that holds times. A time without a time zone is UTC."""
        return cls(column=column)

    @classmethod
    def unix(cls, column: str, *, per_second: int = 1) -> Self:
        """For a column of seconds since 1970 (``per_second=1000``: milliseconds)."""
        return cls(column=column, per_second=_units(per_second))

    def of(self, value: Any, kind: Kind, clock: Clock) -> datetime | None:
        """Returns the time in a row. Raises :class:`ConfigurationError` if the column holds something else."""
        try:
            return _moment(value, kind, clock, self.per_second)
        except (ValueError, TypeError):
            expected, way_out = ("numbers", "Timestamp.at") if self.per_second else ("times", "Timestamp.unix")
            raise ConfigurationError(f"issued, last_seen: {self.column} does not hold {expected}; use {way_out}") from None


def _moment(value: Any, kind: Kind, clock: Clock, per_second: int, later: float = 0.0) -> datetime | None:
    """Returns the time that a value stands for, and ``later`` seconds. Raises ``ValueError`` or ``TypeError`` for another value."""
    if value is None:
        return None
    if isinstance(value, str) and (endless := _INFINITE.fullmatch(value)):
        return EPOCH if endless[1] == "-" else None
    try:
        if per_second:
            return EPOCH + timedelta(seconds=float(value) / per_second + later)
        return clock.read(value, kind) + timedelta(seconds=later)
    except OverflowError:  # Python's calendar has no such time
        return EPOCH if per_second and float(value) < 0 else None


_INFINITE: Final = re.compile(r"\s*([+-]?)inf(?:inity)?\s*", re.IGNORECASE)


def _units(per_second: object) -> int:
    if type(per_second) is not int or per_second < 1:
        raise ConfigurationError("per_second: must be how many of the column's units are a second: 1, or 1000 for milliseconds")
    return per_second


def _lifetime(lifetime: Duration) -> float:
    try:
        number = seconds(lifetime)
    except TypeError as error:
        raise ConfigurationError(f"lifetime: {error}") from None
    if not 0 <= number < float("inf"):
        raise ConfigurationError("lifetime: must be at least 0 seconds, and finite")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedBy:
    """A column that marks a session as revoked, so that its row stays. :meth:`value` and :meth:`time` make one.

    The application must check the column in each request. It must never write back a value that it has read before.
    """

    column: str
    revoked: Value | None = None
    """None if the column holds a time. NULL then means that the session is not revoked."""

    @classmethod
    def value(cls, column: str, revoked: Value) -> Self:
        """For a column that has the value ``revoked`` once the session is revoked: ``RevokedBy.value("active", False)``."""
        return cls(column=column, revoked=revoked)

    @classmethod
    def time(cls, column: str) -> Self:
        """For a column that has the time at which the session was revoked, and NULL before: ``RevokedBy.time("revoked_at")``."""
        return cls(column=column)


_NAME: Final = re.compile(r"[\w$-][\w$ -]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The application's table. The constructor raises a :class:`ConfigurationError` that names all mistakes."""

    table: str
    key: str
    user: str
    expires: Expires | None = None
    revoked: RevokedBy | None = None
    rename: bool = False
    where: Mapping[str, Value] = field(default_factory=dict[str, Value])
    issued: Timestamp | None = None
    last_seen: Timestamp | None = None
    ip_address: str | None = None
    user_agent: str | None = None

    def __post_init__(self) -> None:
        mistakes = [] if _is_table(self.table) else [_wrong_name("table", self.table)]
        mistakes += [_wrong_name(option, name) for option, name in self.columns if not _is_name(name)]
        if self.expires is not None and not isinstance(self.expires, Expires):  # pyright: ignore[reportUnnecessaryIsInstance]
            mistakes.append("expires: must be Expires.at(column), Expires.created(column, lifetime=...) or Expires.unix(column)")
        if self.revoked is not None and not isinstance(self.revoked, RevokedBy):  # pyright: ignore[reportUnnecessaryIsInstance]
            mistakes.append("revoked: must be RevokedBy.value(column, value) or RevokedBy.time(column)")
        mistakes += [
            f"{option}: must be the name of a column of times, or Timestamp.unix(column)"
            for option, column in (("issued", self.issued), ("last_seen", self.last_seen))
            if column is not None and not isinstance(column, Timestamp)  # pyright: ignore[reportUnnecessaryIsInstance]
        ]
        if isinstance(self.revoked, RevokedBy) and self.rename:
            mistakes.append("revoked, rename: must not be given together; leave one of them out")
        if self.key == self.user:
            mistakes.append("key, user: must be two columns: the one that the credential names, and the one with the user's id")
        if mistakes:
            raise ConfigurationError(*mistakes)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """All columns that the options name, each with its option."""
        named = [("key", self.key), ("user", self.user), *(("where", name) for name in self.where)]
        if isinstance(self.expires, Expires):
            named.append(("expires", self.expires.column))
        if isinstance(self.revoked, RevokedBy):
            named.append(("revoked", self.revoked.column))
        named += [(option, column.column) for option, column in self.times.items()]
        named += [(option, name) for option, name in (("ip_address", self.ip_address), ("user_agent", self.user_agent)) if name is not None]
        return named

    @property
    def times(self) -> Mapping[str, Timestamp]:
        """The columns that say when something happened to a session, by their options."""
        named = {"issued": self.issued, "last_seen": self.last_seen}
        return {option: column for option, column in named.items() if isinstance(column, Timestamp)}  # pyright: ignore[reportUnnecessaryIsInstance]

    @property
    def moments(self) -> Mapping[str, Expires | Timestamp]:
        """The same, and the column of the expiry."""
        return {**({} if self.expires is None else {"expires": self.expires}), **self.times}

    def in_schema(self, schemas: Mapping[str | None, str | None]) -> Self:
        """Returns the layout of the table that replaces this one under the ``schema_translate_map`` of an Engine."""
        schema, _, own = self.table.rpartition(".")
        named = schemas.get(schema or None, schema)
        return replace(self, table=f"{named}.{own}" if named else own)

    @property
    def filters(self) -> dict[str, Value]:
        """The values of ``where`` and ``revoked``, by the names of their parameters in the statements."""
        values = {parameter(number): value for number, value in enumerate(self.where.values())}
        if self.revoked is not None and self.revoked.revoked is not None:
            values["is_revoked"] = self.revoked.revoked
        return values


def _is_table(name: object) -> bool:
    parts = name.split(".") if isinstance(name, str) else []
    return len(parts) in (1, 2) and all(map(_is_name, parts))


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _wrong_name(option: str, name: object) -> str:
    return f"{option}: {name!r} is not a supported name; use letters, digits, _, $, - and blanks (a table: name or schema.name)"


def parameter(number: int, prefix: str = "only") -> str:
    """Returns the name of one of many parameters, by default those of ``where``. Statements allow only letters and _ in it."""
    return f"{prefix}_{chr(ord('a') + number // 26)}{chr(ord('a') + number % 26)}"
