"""The application's table as the database describes it, and what of the layout does not fit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sessionward.backends.sql.dialect import POSTGRESQL, SQLITE, Dialect, Statement
from sessionward.backends.table.columns import EXACT, Column, Kind, column_of
from sessionward.backends.table.layout import RENAMED_LENGTH, Expires, Layout, RevokedBy, Timestamp
from sessionward.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Table:
    """The table as the database describes it.

    ``times``: what the columns hold that say when a session was issued and last seen. ``index``: a unique index of MariaDB or MySQL
    that begins with the key. ``statements``: those for just this table.
    """

    key: Column
    user: Column
    expires: Kind
    revoked: Kind
    times: Mapping[str, Kind]
    index: str = ""
    statements: Mapping[str, Statement] = field(default_factory=dict[str, Statement])


def described(layout: Layout, found: Sequence[Sequence[str | bytes | None]], dialect: Dialect) -> Table:
    """Returns the table, of which ``found`` has the name, the type and the unique index of each column.

    Raises a :class:`ConfigurationError` that names everything that does not fit.
    """
    if not found:
        raise ConfigurationError(
            f"table: there is no {layout.table} that the {dialect.display_name} user can see; correct the name, or grant access"
        )
    named = [[_as_str(part) for part in row] for row in found]
    columns = {_folded(name, dialect): column_of(name, declared, dialect) for name, declared, _ in named}
    real = ", ".join(name for name, _, _ in named)
    mistakes = [
        f"{option}: {layout.table} has no column {name}; it has {real}"
        for option, name in layout.columns
        if _folded(name, dialect) not in columns
    ]
    if mistakes:
        raise ConfigurationError(*mistakes)
    mistakes = _mistakes(layout, {name: columns[_folded(name, dialect)] for _, name in layout.columns}, dialect)
    if mistakes:
        raise ConfigurationError(*mistakes)

    def kind(part: Expires | RevokedBy | Timestamp | None) -> Kind:
        return Kind.OTHER if part is None else columns[_folded(part.column, dialect)].kind

    return Table(
        columns[_folded(layout.key, dialect)],
        columns[_folded(layout.user, dialect)],
        kind(layout.expires),
        kind(layout.revoked),
        {option: kind(column) for option, column in layout.times.items()},
        next((index for name, _, index in named if _folded(name, dialect) == _folded(layout.key, dialect)), ""),
    )


def _mistakes(layout: Layout, columns: Mapping[str, Column], dialect: Dialect) -> list[str]:
    """Returns what the columns cannot do that the options ask of them, each with the type that would serve."""
    mistakes: list[str] = []
    key = columns[layout.key]
    for option, column in (("key", key), ("user", columns[layout.user])):
        if column.kind not in EXACT:
            mistakes.append(
                f"{option}: {column.name} is {_type(column)}, whose values the database and sessionward compare differently;"
                " use a column of text, integers, UUIDs or bytes"
            )
    if layout.rename and (key.kind is not Kind.TEXT or 0 < key.size < RENAMED_LENGTH):
        mistakes.append(
            f"rename: {layout.key} cannot hold {RENAMED_LENGTH} characters of text; use revoked, or leave rename out to delete the rows"
        )
    for name, value in layout.where.items():
        if not columns[name].takes(value, dialect):
            mistakes.append(f"where: {name} is {_type(columns[name])}, which cannot have the value {value!r}; {_serves(columns[name])}")
    if layout.revoked is not None:
        mistakes += _revoked_mistakes(columns[layout.revoked.column], layout.revoked.revoked, dialect)
    if layout.expires is not None:
        ways_out = "Expires.at or Expires.created" if layout.expires.per_second else "Expires.unix"
        mistakes += _time_mistakes("expires", columns[layout.expires.column], layout.expires, ways_out, dialect)
    for option, at in layout.times.items():
        ways_out = "Timestamp.at" if at.per_second else "Timestamp.unix"
        mistakes += _time_mistakes(option, columns[at.column], at, ways_out, dialect)
    return mistakes


_TIMES: Final = frozenset({Kind.AWARE, Kind.NAIVE, Kind.LOCAL})
_FREE: Final = frozenset({Kind.TEXT, Kind.NUMBER, Kind.ANY})
"""Kinds in which SQLite keeps times, as the application wrote them."""


def _revoked_mistakes(column: Column, value: str | int | bool | None, dialect: Dialect) -> Sequence[str]:
    if value is not None:
        fits = column.takes(value, dialect)
        return [] if fits else [f"revoked: {column.name} is {_type(column)}, which cannot have the value {value!r}; {_serves(column)}"]
    if column.kind in _TIMES or column.kind is Kind.INTEGER or (dialect is SQLITE and column.kind in _FREE):
        return []
    return [f"revoked: {column.name} is {_type(column)}, which holds no times; use a column of timestamps, or RevokedBy.value"]


def _time_mistakes(option: str, column: Column, given: Expires | Timestamp, otherwise: str, dialect: Dialect) -> Sequence[str]:
    """``otherwise``: what to use if the column holds times instead of numbers, or numbers instead of times."""
    name, kind = column.name, column.kind
    if given.per_second:
        if kind in _FREE or kind is Kind.INTEGER:
            return []
        way_out = f"holds times; use {otherwise}" if kind in _TIMES else f"is {_type(column)}; use a column of numbers"
    else:
        if kind in _TIMES or kind is Kind.TEXT or dialect is SQLITE:
            return []
        is_number = kind in (Kind.INTEGER, Kind.NUMBER)
        way_out = f"holds numbers; use {otherwise}" if is_number else f"is {_type(column)}; use a column of timestamps"
    return [f"{option}: {name} {way_out}"]


def _serves(column: Column) -> str:
    """Returns what values a column can have."""
    match column.kind:
        case Kind.BOOLEAN:
            return "use True or False"
        case Kind.INTEGER | Kind.NUMBER | Kind.BIT:
            return "use an int that it can hold"
        case Kind.LABEL:
            return "use one of its labels"
        case Kind.UUID:
            return "use a UUID as a str"
        case Kind.TEXT | Kind.PADDED:
            return "use a str"
        case _:
            return "use a column of text, numbers or booleans"


def _type(column: Column) -> str:
    return column.declared or "of no type"


def _as_str(part: str | bytes | None) -> str:
    return part.decode() if isinstance(part, bytes) else part or ""  # MySQL 8 returns types as bytes


def _folded(name: str, dialect: Dialect) -> str:
    return name if dialect is POSTGRESQL else name.lower()
