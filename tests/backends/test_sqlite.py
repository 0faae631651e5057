"""The contract over SQLite: sync and async, from a URL and over an Engine of the user's."""

from __future__ import annotations

from sessionward.testing import CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract
from tests.contract.sql import SQLContract
from tests.contract.sql_world import SQLITE, SQLITE_ASYNC, SQLITE_ASYNC_ENGINE, SQLITE_ENGINE


class TestSQLite(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = SQLITE


class TestSQLiteAsync(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = SQLITE_ASYNC


class TestSQLiteEngine(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = SQLITE_ENGINE


class TestSQLiteAsyncEngine(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = SQLITE_ASYNC_ENGINE
