"""Raw SQL, for queries that Django takes longer to compile than the database takes to answer."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.db import connections
from django.utils import timezone

SET: Final = 500
"""The largest number of values in one statement. From 1 000 values on, MariaDB searches in another way, which locks every row."""


def ask(using: str, template: str, values: Sequence[Any], **names: str) -> list[tuple[Any, ...]]:
    """Returns all rows of a query. In the template ``{name}`` is a table or column, which gets quoted, and ``%s`` is a value."""
    with connections[using].cursor() as cursor:
        cursor.execute(written(using, template, names), values)
        return list(cursor.fetchall())


def change(using: str, template: str, values: Sequence[Any], **names: str) -> int:
    """Executes a statement. Returns how many rows it has found."""
    with connections[using].cursor() as cursor:
        cursor.execute(written(using, template, names), values)
        return int(cursor.rowcount)


class Statement(NamedTuple):
    """A statement as for :func:`ask`: the template, its values, and the names of tables and columns."""

    template: str
    values: Sequence[Any] = ()
    names: Mapping[str, str] = {}


class Answer(NamedTuple):
    """The rows that a statement has returned, and how many it has found."""

    rows: Sequence[tuple[Any, ...]]
    found: int


def sends_together(using: str) -> bool:
    """Returns whether the driver sends several statements in one message, and returns all of their answers. Only psycopg 3 does."""
    return (connections[using].vendor, connections[using].Database.__name__) == ("postgresql", "psycopg")


def ask_in_order(using: str, statements: Sequence[Statement]) -> list[Answer]:
    """Executes the statements in order, in one round trip where the driver can. Outside of a transaction they may be one or several."""
    with connections[using].cursor() as cursor:
        if not sends_together(using):
            return [_answer(cursor, written(using, each.template, each.names), each.values) for each in statements]
        text = "; ".join(written(using, each.template, each.names) for each in statements)
        values = [value for each in statements for value in each.values]
        if connections[using].settings_dict["OPTIONS"].get("server_side_binding"):  # such a server takes values only for one statement
            text, values = connections[using].ops.compose_sql(text, values), []
        answers = [_answer(cursor, text, values or None)]
        while cursor.nextset():
            answers.append(_answer_of(cursor))
        return answers


def _answer(cursor: Any, statement: str, values: Sequence[Any] | None) -> Answer:
    cursor.execute(statement, values)
    return _answer_of(cursor)


def _answer_of(cursor: Any) -> Answer:
    return Answer(cursor.fetchall() if cursor.description else (), int(cursor.rowcount))


def change_each(using: str, template: str, values: Iterable[Sequence[Any]], **names: str) -> None:
    """Executes the same statement for each of many rows."""
    with connections[using].cursor() as cursor:
        cursor.executemany(written(using, template, names), list(values))


def marks(number: int) -> str:
    """Returns ``number`` placeholders in brackets."""
    return f"({', '.join(['%s'] * number)})"


def in_sets(values: Iterable[str]) -> Iterator[list[str]]:
    """Yields the values in ascending order, at most :data:`SET` at a time. All callers lock in this order, so they do not deadlock."""
    ordered = sorted(values)
    return (ordered[at : at + SET] for at in range(0, len(ordered), SET))


def seconds_now(using: str) -> float:
    """Returns the time of the database, in seconds since 1970. For SQLite we read the machine's clock, which has finer steps."""
    clock = CLOCKS.get(connections[using].vendor)
    if clock is None:
        return time.time()
    ((now,),) = ask(using, f"SELECT {clock}", [])
    return float(now)


CLOCKS: Final = {
    "postgresql": "EXTRACT(EPOCH FROM clock_timestamp())",  # now() is the time when the transaction began
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
}
"""The time of the database, in seconds since 1970."""


def moment(using: str, value: datetime) -> Any:
    """Returns a time in the form that this database takes."""
    return connections[using].ops.adapt_datetimefield_value(value)


def read_time(using: str, value: Any) -> datetime | None:
    """Returns a time of a column in UTC, as a driver returns it: SQLite a ``str``, MariaDB without a time zone."""
    if value is None:
        return None
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if at.tzinfo is None:  # with USE_TZ=False Django writes the time of its own zone
        at = timezone.make_aware(at, connections[using].timezone or timezone.get_default_timezone())
    return at.astimezone(UTC)


def for_update(using: str) -> str:
    """Returns the clause that locks the rows of a query, or ``""`` where the database has none."""
    return " FOR UPDATE" if connections[using].features.has_select_for_update else ""


def written(using: str, template: str, names: Mapping[str, str]) -> str:
    """Returns the text of a statement, with its names quoted."""
    quote = connections[using].ops.quote_name
    return template.format(**{name: quote(value) for name, value in names.items()})
