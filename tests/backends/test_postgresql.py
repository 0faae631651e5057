"""The contract over PostgreSQL: sync and async, from a URL and over an Engine of the user's."""

from __future__ import annotations

from sessionward.testing import CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract
from tests.contract.sql import SQLContract
from tests.contract.sql_world import ASYNCPG, ASYNCPG_ENGINE, PSYCOPG, PSYCOPG_ASYNC, PSYCOPG_ASYNC_ENGINE, PSYCOPG_ENGINE


class TestPsycopg(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = PSYCOPG


class TestPsycopgAsync(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = PSYCOPG_ASYNC


class TestAsyncpg(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = ASYNCPG


class TestPsycopgEngine(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = PSYCOPG_ENGINE


class TestPsycopgAsyncEngine(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = PSYCOPG_ASYNC_ENGINE


class TestAsyncpgEngine(SQLContract, CompanionsContract, EverybodyCompanionsContract, SeenCompanionsContract):
    kind = ASYNCPG_ENGINE
