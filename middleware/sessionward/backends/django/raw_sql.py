"""Raw SQL, for queries that Django takes longer to compile than the database takes to answer."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connections

SET: Final = 500
"""The largest number of values in one statement. From 1 000 values on, MariaDB searches in another way, which locks every row."""


def ask(using: str, template: str, values: Sequence[Any], **names: str) -> list[tuple[Any, ...]]:
    """Returns all rows of a query. In the template ``{name}`` is a table or column, which gets quoted, and ``%s`` is a value."""
    with connections[using].cursor() as cursor:
        cursor.execute(_written(using, template, names), values)
        return list(cursor.fetchall())


def change(using: str, template: str, values: Sequence[Any], **names: str) -> int:
    """Executes a statement. Returns how many rows it has found."""
    with connections[using].cursor() as cursor:
        cursor.execute(_written(using, template, names), values)
        return int(cursor.rowcount)


def change_each(using: str, template: str, values: Iterable[Sequence[Any]], **names: str) -> None:
    """Executes the same statement for each of many rows."""
    with connections[using].cursor() as cursor:
        cursor.executemany(_written(using, template, names), list(values))


def marks(number: int) -> str:
    """Returns ``number`` placeholders in brackets."""
    return f"({', '.join(['%s'] * number)})"


def in_sets(values: Iterable[str]) -> Iterator[list[str]]:
    """Yields the values in ascending order, at most :data:`SET` at a time. All callers lock in this order, so they do not deadlock."""
    ordered = sorted(values)
    return (ordered[at : at + SET] for at in range(0, len(ordered), SET))


def seconds_now(using: str) -> float:
    """Returns the time of the database, in seconds since 1970. For SQLite we read the machine's clock, which has finer steps."""
    query = _CLOCKS.get(connections[using].vendor)
    if query is None:
        return time.time()
    ((now,),) = ask(using, query, [])
    return float(now)


_CLOCKS: Final = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",  # now() is the time when the transaction began
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
}


def moment(using: str, value: datetime) -> Any:
    """Returns a time in the form that this database takes."""
    return connections[using].ops.adapt_datetimefield_value(value)


def for_update(using: str) -> str:
    """Returns the clause that locks the rows of a query, or ``""`` where the database has none."""
    return " FOR UPDATE" if connections[using].features.has_select_for_update else ""


def _written(using: str, template: str, names: dict[str, str]) -> str:
    quote = connections[using].ops.quote_name
    return template.format(**{name: quote(value) for name, value in names.items()})
