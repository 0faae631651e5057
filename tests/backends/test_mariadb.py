"""The contract over MariaDB: sync and async, from a URL and over an Engine of the user's."""

from __future__ import annotations

from sessionward.testing import CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract
from tests.contract.sql import SQLContract
from tests.contract.sql_world import ASYNCMY, ASYNCMY_ENGINE, PYMYSQL, PYMYSQL_ENGINE


class TestPyMySQL(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = PYMYSQL


class TestAsyncmy(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = ASYNCMY


class TestPyMySQLEngine(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = PYMYSQL_ENGINE


class TestAsyncmyEngine(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = ASYNCMY_ENGINE
