"""The contract over MariaDB: sync and async, from a URL and over an Engine of the user's."""

from __future__ import annotations

from sessionward.testing import CompanionsContract
from tests.contract.sql import SQLContract
from tests.contract.sql_world import ASYNCMY, ASYNCMY_ENGINE, PYMYSQL, PYMYSQL_ENGINE


class TestPyMySQL(SQLContract, CompanionsContract):
    kind = PYMYSQL


class TestAsyncmy(SQLContract, CompanionsContract):
    kind = ASYNCMY


class TestPyMySQLEngine(SQLContract, CompanionsContract):
    kind = PYMYSQL_ENGINE


class TestAsyncmyEngine(SQLContract, CompanionsContract):
    kind = ASYNCMY_ENGINE
