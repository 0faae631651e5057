"""What the user says about the application's table, checked once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self, TypeAlias

from sessionward.backends.table.columns import Clock, Kind
from sessionward.errors import ConfigurationError
from sessionward.settings import Duration, seconds

Value: TypeAlias = str | int | bool
REVOKED: Final = "revoked:"
"""How a renamed key begins. No application makes such a key, and we never take a row with one for a live session."""
RENAMED_LENGTH: Final = 34
"""Characters of a renamed key: 26 of them are random, 154 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expires:
    """When a row is too old, by a column of its own. Made by :meth:`at`, :meth:`unix` or :meth:`created`.

    A row whose column is NULL never expires. A row that has expired is not counted and stays as it is, so a lifetime
    that is shorter than the application's own spares sessions that the application still takes.
    """

    column: str
    lifetime: float = 0.0
    per_second: int = 0
    """0: the column holds times. Else numbers, so many to a second."""

    @classmethod
    def at(cls, column: str) -> Self:
        """The column holds the time at which the session expires; one without a zone is UTC."""
        return cls(column=column)

    @classmethod
    def created(cls, column: str, *, lifetime: Duration) -> Self:
        """The column holds the time at which the session began, or was used last; it lasts so long from then."""
        return cls(column=column, lifetime=_lifetime(lifetime))

    @classmethod
    def unix(cls, column: str, *, lifetime: Duration = 0.0, per_second: int = 1) -> Self:
        """The column holds seconds since 1970 (``per_second=1000``: milliseconds), to which ``lifetime`` is added."""
        if type(per_second) is not int or per_second < 1:
            raise ConfigurationError("per_second: how many of the column's units are a second: 1, or 1000 for milliseconds")
        return cls(column=column, lifetime=_lifetime(lifetime), per_second=per_second)

    def of(self, value: Any, kind: Kind, clock: Clock) -> datetime | None:
        """When a row with this value expires. Raises :class:`ConfigurationError` where the column holds something else."""
        if value is None:
            return None
        try:
            if self.per_second:
                return _EPOCH + timedelta(seconds=float(value) / self.per_second + self.lifetime)
            return clock.read(value, kind) + timedelta(seconds=self.lifetime)
        except OverflowError:  # no calendar has it
            return _EPOCH if self.per_second and float(value) < 0 else None
        except (ValueError, TypeError):
            wants, way_out = ("numbers", "Expires.at or Expires.created") if self.per_second else ("times", "Expires.unix")
            raise ConfigurationError(f"expires: {self.column} does not hold {wants}; look at {way_out}") from None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _lifetime(lifetime: Duration) -> float:
    try:
        long = seconds(lifetime)
    except TypeError as error:
        raise ConfigurationError(f"lifetime: {error}") from None
    if not 0 <= long < float("inf"):
        raise ConfigurationError("lifetime: not less than 0 seconds, and an end to it, are needed")
    return long


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedBy:
    """A column that says that a session has ended, so that its row stays. Made by :meth:`value` or :meth:`time`.

    The application must look at the column at each request, and must never write it back from what it has read before.
    """

    column: str
    revoked: Value | None = None
    """None: a time, and NULL means that the session has not ended."""

    @classmethod
    def value(cls, column: str, revoked: Value) -> Self:
        """The column has this value once the session has ended: ``RevokedBy.value("active", False)``."""
        return cls(column=column, revoked=revoked)

    @classmethod
    def time(cls, column: str) -> Self:
        """The column has the time at which the session ended, and NULL before: ``RevokedBy.time("revoked_at")``."""
        return cls(column=column)

    def says(self, value: Any) -> bool:
        """Whether a row with this value has ended."""
        if self.revoked is None or value is None:
            return self.revoked is None and value is not None
        if isinstance(value, bytes) and len(value) == 1:  # BIT(1) of MariaDB and MySQL
            value = value[0]
        return bool(value == self.revoked)


_NAME: Final = re.compile(r"[\w$-][\w$ -]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The application's table. Raises :class:`ConfigurationError` that names all mistakes."""

    table: str
    key: str
    user: str
    expires: Expires | None = None
    revoked: RevokedBy | None = None
    rename: bool = False
    where: Mapping[str, Value] = field(default_factory=dict[str, Value])

    def __post_init__(self) -> None:
        mistakes = [] if _is_table(self.table) else [_wrong("table", self.table)]
        mistakes += [_wrong(option, name) for option, name in self.columns if not _is_name(name)]
        if self.expires is not None and not isinstance(self.expires, Expires):  # pyright: ignore[reportUnnecessaryIsInstance]
            mistakes.append("expires: Expires.at(column), Expires.created(column, lifetime=...) or Expires.unix(column) is needed")
        if self.revoked is not None and not isinstance(self.revoked, RevokedBy):  # pyright: ignore[reportUnnecessaryIsInstance]
            mistakes.append("revoked: RevokedBy.value(column, value) or RevokedBy.time(column) is needed")
        elif self.revoked is not None and self.rename:
            mistakes.append("revoked, rename: a row is ended in one way; leave one of them out")
        if self.key == self.user:
            mistakes.append("key, user: these are two columns, the one that the credential names and the one with the user's id")
        if mistakes:
            raise ConfigurationError(*mistakes)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """All columns that are named, each with the option that names it."""
        named = [("key", self.key), ("user", self.user), *(("where", name) for name in self.where)]
        if isinstance(self.expires, Expires):
            named.append(("expires", self.expires.column))
        if isinstance(self.revoked, RevokedBy):
            named.append(("revoked", self.revoked.column))
        return named

    @property
    def filters(self) -> dict[str, Value]:
        """The parameters of ``where``, as the statements name them."""
        return {parameter(number): value for number, value in enumerate(self.where.values())}


def _is_table(name: object) -> bool:
    parts = name.split(".") if isinstance(name, str) else []
    return len(parts) in (1, 2) and all(map(_is_name, parts))


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _wrong(option: str, name: object) -> str:
    return f"{option}: {name!r} is no name that can be asked for; letters, digits, _, $, - and blanks are (a table: name or schema.name)"


def parameter(number: int) -> str:
    """The name of a parameter: statements know letters and _ in one."""
    return f"only_{chr(ord('a') + number // 26)}{chr(ord('a') + number % 26)}"
