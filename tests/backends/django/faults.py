"""Databases that fail at a chosen moment."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.db import connection, connections, transaction

from tests.backends.django.world import rows

_MADE = {
    "sqlite": ["CREATE TRIGGER fault BEFORE {what} ON {table} WHEN {column} = '{value}' BEGIN SELECT RAISE(ABORT, 'no'); END"],
    "mysql": [
        "CREATE TRIGGER fault BEFORE {what} ON {table} FOR EACH ROW"
        " BEGIN IF {column} = '{value}' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF; END"
    ],
    "postgresql": [
        "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF {column} = '{value}' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER fault BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION fault()",
    ],
}
_TAKEN = {"sqlite": ["DROP TRIGGER fault"], "mysql": ["DROP TRIGGER fault"], "postgresql": ["DROP FUNCTION fault CASCADE"]}


def execute(statements: list[str], **parts: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.format(**parts))


@contextmanager
def fails_for(table: str, what: str, column: str, value: str) -> Iterator[None]:
    """The database refuses one row of several."""
    execute(_MADE[connection.vendor], table=table, what=what, column=column, value=value)
    try:
        yield
    finally:
        execute(_TAKEN[connection.vendor])


@contextmanager
def row_locked(key: str) -> Iterator[None]:
    """A transaction that has written to a session and does not end."""
    with transaction.atomic():
        assert rows().filter(session_key=key).update(session_key=key) == 1
        yield


@contextmanager
def table_locked() -> Iterator[None]:
    """As a migration locks it."""
    table = rows().model._meta.db_table
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLES {table} WRITE")
            yield
            cursor.execute("UNLOCK TABLES")
        return
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("BEGIN EXCLUSIVE")
            yield
            cursor.execute("ROLLBACK")
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def read_by_another() -> Iterator[None]:
    """SQLite: somebody in the middle of reading, so that no commit gets through."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM auth_user")
        cursor.fetchone()
        yield
        cursor.execute("ROLLBACK")


def cut_off() -> None:
    """The server ends the connection that this thread has."""
    number: Any = connection.connection.info.backend_pid if connection.vendor == "postgresql" else connection.connection.thread_id()
    another = connection.copy()
    with another.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend({number})" if connection.vendor == "postgresql" else f"KILL {number}")
    another.close()


@contextmanager
def gone() -> Iterator[None]:
    """No database answers where Django looks for it."""
    nowhere = {"NAME": "/nowhere/site.db"} if connection.vendor == "sqlite" else {"HOST": "127.0.0.1", "PORT": "1"}
    connections.close_all()
    with patch.dict(connection.settings_dict, nowhere):
        yield
    assert settings.DATABASES
