"""PgBouncer in transaction mode: each statement outside of a transaction may meet another connection of the server."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from sessionward import BackendUnavailable, ConfigurationError
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.backends.sql.executor import Executor, Query
from sessionward.backends.table import AsyncTableBackend, TableBackend
from sessionward.credential.token import Credential
from sessionward.testing.bridge import Bridged, Loop
from tests.contract.sql_world import ASYNCPG, PSYCOPG, PSYCOPG_ASYNC, Kind, SQLWorld
from tests.servers.conftest import CONNECTIONS

CLIENTS = 4 * CONNECTIONS
ROUNDS = 12
"""More than the five executions after which psycopg makes a named prepared statement by itself."""

KINDS = pytest.mark.parametrize("kind", [PSYCOPG, PSYCOPG_ASYNC, ASYNCPG], ids=str)


@KINDS
def test_p7_behind_a_pooler_no_question_fails_that_the_database_could_answer(kind: Kind, pgbouncer: str) -> None:
    world = SQLWorld(kind, pgbouncer, timeout=20.0, pool_size=CLIENTS)
    try:
        world.sessions.create_tables()

        def browser(number: int) -> Counter[str]:
            seen: Counter[str] = Counter()
            user = f"user {number}"
            for _ in range(ROUNDS):
                try:
                    world.sessions.begin_login(user)
                    own, other = world.sign_in(user), world.sign_in(user)
                    alive = [world.sessions.find(client.credential) is not None for client in (own, other, own)]
                    count = world.sessions.revoke_others(own.session)
                    alive += [world.sessions.find(client.credential) is not None for client in (own, other)]
                    listed = len(list(world.sessions.list(user)))
                    assert world.sessions.revoke(user, own.session.id)
                    seen[f"{alive} {count} {listed}"] += 1
                except BackendUnavailable as failure:
                    seen[f"503: {failure}"] += 1
            return seen

        with ThreadPoolExecutor(CLIENTS) as threads:
            seen = sum(threads.map(browser, range(CLIENTS)), Counter[str]())
        assert seen == {"[True, True, True, True, False] 1 1": CLIENTS * ROUNDS}
    finally:
        world.close()


@KINDS
def test_p7_the_tables_of_an_application_too(kind: Kind, pgbouncer: str, postgresql_url: str) -> None:
    engine = create_engine(make_url(postgresql_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS notes_tokens"))
        connection.execute(text('CREATE TABLE notes_tokens (key varchar(40) PRIMARY KEY, "user" varchar(40) NOT NULL)'))
        for number in range(CLIENTS):
            connection.execute(text("INSERT INTO notes_tokens VALUES (:key, :user)"), {"key": f"key {number}", "user": f"user {number}"})
    url = make_url(pgbouncer).set(drivername=kind.scheme)
    loop = Loop() if kind.is_async else None
    options: Any = {"key": "key", "user": "user", "cookie": "sid", "timeout": 20.0, "pool_size": CLIENTS}
    backend = TableBackend(url, "notes_tokens", **options) if loop is None else AsyncTableBackend(url, "notes_tokens", **options)
    asked: Any = backend if loop is None else Bridged(backend, loop)
    try:

        def browser(number: int) -> Counter[str]:
            seen: Counter[str] = Counter()
            for _ in range(ROUNDS):
                try:
                    session = asked.find(Credential(f"key {number}".encode()))
                    seen[f"{session.user_id == f'user {number}'} {asked.revoke_others(session)}"] += 1
                except BackendUnavailable as failure:
                    seen[f"503: {failure}"] += 1
            return seen

        with ThreadPoolExecutor(CLIENTS) as threads:
            assert sum(threads.map(browser, range(CLIENTS)), Counter[str]()) == {"True 0": CLIENTS * ROUNDS}
    finally:
        asked.close()
        if loop is not None:
            loop.close()
        engine.dispose()


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        (PSYCOPG, {"prepare_threshold": "0"}),
        (PSYCOPG_ASYNC, {"prepare_threshold": "0"}),
        (ASYNCPG, {"prepared_statement_cache_size": "100"}),
        (ASYNCPG, {"statement_cache_size": "100"}),
    ],
    ids=["psycopg", "psycopg, async", "asyncpg", "asyncpg, by its own cache"],
)
@pytest.mark.parametrize("asks", [True, False], ids=["who asks for them", "who does not"])
def test_named_prepared_statements_are_made_for_who_asks_for_them(
    kind: Kind, query: dict[str, str], asks: bool, postgresql_url: str
) -> None:
    url = make_url(postgresql_url).set(drivername=kind.scheme)
    loop = Loop() if kind.is_async else None
    database = url.set(query=query) if asks else url
    backend: Any = SQLBackend(database, pool_size=1) if loop is None else AsyncSQLBackend(database, pool_size=1)
    asked: Any = backend if loop is None else Bridged(backend, loop)
    try:
        asked.create_tables()
        for _ in range(ROUNDS):
            asked.begin_login("ann")
        answer = backend._pool.ask(Query(_named_statements, writes=False), 10.0)
        assert bool(answer if loop is None else loop.run(answer)) == asks
    finally:
        asked.close()
        if loop is not None:
            loop.close()


def _named_statements(executor: Executor) -> int:
    cursor = executor._connection.cursor()
    cursor.execute("SELECT count(*) FROM pg_prepared_statements")
    count: int = cursor.fetchall()[0][0]
    cursor.close()
    return count


@pytest.mark.parametrize("setting", ["postgresql://h/d?prepare_threshold=often", "postgresql://h/d?prepare_threshold=1.5"])
def test_a_number_of_the_url_that_is_none_is_refused_at_start(setting: str) -> None:
    for backend in (SQLBackend, AsyncSQLBackend):
        with pytest.raises(ConfigurationError, match="whole number"):
            backend(setting)
