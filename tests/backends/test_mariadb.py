"""The contract over MariaDB: both colours, from a URL and over an Engine of the user's."""

from __future__ import annotations

from tests.contract.sql import SQLContract
from tests.contract.sql_world import ASYNCMY, ASYNCMY_ENGINE, PYMYSQL, PYMYSQL_ENGINE


class TestPyMySQL(SQLContract):
    kind = PYMYSQL


class TestAsyncmy(SQLContract):
    kind = ASYNCMY


class TestPyMySQLEngine(SQLContract):
    kind = PYMYSQL_ENGINE


class TestAsyncmyEngine(SQLContract):
    kind = ASYNCMY_ENGINE
