"""Raw SQL, for queries that Django takes longer to compile than the database takes to answer."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connections


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


def moment(using: str, value: datetime) -> Any:
    """Returns a time in the form that this database takes."""
    return connections[using].ops.adapt_datetimefield_value(value)


def for_update(using: str) -> str:
    """Returns the clause that locks the rows of a query, or ``""`` where the database has none."""
    return " FOR UPDATE" if connections[using].features.has_select_for_update else ""


def _written(using: str, template: str, names: dict[str, str]) -> str:
    quote = connections[using].ops.quote_name
    return template.format(**{name: quote(value) for name, value in names.items()})
