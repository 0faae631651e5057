"""The contract over PostgreSQL: both colours, from a URL and over an Engine of the user's."""

from __future__ import annotations

from tests.contract.sql import SQLContract
from tests.contract.sql_world import ASYNCPG, ASYNCPG_ENGINE, PSYCOPG, PSYCOPG_ASYNC, PSYCOPG_ASYNC_ENGINE, PSYCOPG_ENGINE


class TestPsycopg(SQLContract):
    kind = PSYCOPG


class TestPsycopgAsync(SQLContract):
    kind = PSYCOPG_ASYNC


class TestAsyncpg(SQLContract):
    kind = ASYNCPG


class TestPsycopgEngine(SQLContract):
    kind = PSYCOPG_ENGINE


class TestPsycopgAsyncEngine(SQLContract):
    kind = PSYCOPG_ASYNC_ENGINE


class TestAsyncpgEngine(SQLContract):
    kind = ASYNCPG_ENGINE
