"""The contract over SQLite: sync and async, from a URL and over an Engine of the user's."""

from __future__ import annotations

from sessionward.testing import CompanionsContract
from tests.contract.sql import SQLContract
from tests.contract.sql_world import SQLITE, SQLITE_ASYNC, SQLITE_ASYNC_ENGINE, SQLITE_ENGINE


class TestSQLite(SQLContract, CompanionsContract):
    kind = SQLITE


class TestSQLiteAsync(SQLContract, CompanionsContract):
    kind = SQLITE_ASYNC


class TestSQLiteEngine(SQLContract, CompanionsContract):
    kind = SQLITE_ENGINE


class TestSQLiteAsyncEngine(SQLContract, CompanionsContract):
    kind = SQLITE_ASYNC_ENGINE
