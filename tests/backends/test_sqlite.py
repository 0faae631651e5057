"""The contract over SQLite: both colours, from a URL and over an Engine of the user's."""

from __future__ import annotations

from tests.contract.sql import SQLContract
from tests.contract.sql_world import SQLITE, SQLITE_ASYNC, SQLITE_ASYNC_ENGINE, SQLITE_ENGINE


class TestSQLite(SQLContract):
    kind = SQLITE


class TestSQLiteAsync(SQLContract):
    kind = SQLITE_ASYNC


class TestSQLiteEngine(SQLContract):
    kind = SQLITE_ENGINE


class TestSQLiteAsyncEngine(SQLContract):
    kind = SQLITE_ASYNC_ENGINE
