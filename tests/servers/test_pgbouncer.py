"""PgBouncer in transaction mode: each statement outside of a transaction may meet another connection of the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from time import monotonic
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from sessionward import BackendUnavailable, ConfigurationError
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.backends.sql.dialect import POSTGRESQL as POSTGRESQL_DIALECT
from sessionward.backends.sql.driver import ErrorKind, error_kind
from sessionward.backends.sql.executor import Executor, Query
from sessionward.backends.table import AsyncTableBackend, TableBackend
from sessionward.credential.token import Credential, new_token
from sessionward.testing.bridge import Bridged, Loop
from tests.contract.sql_world import ASYNCPG, PSYCOPG, PSYCOPG_ASYNC, Kind, SQLWorld
from tests.servers.conftest import CONNECTIONS
from tests.support.services import POSTGRESQL, fresh_database
from tests.support.sessions import new_session

CLIENTS = 4 * CONNECTIONS
TIMEOUT = 2.0
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


NONE = {PSYCOPG: {"prepare_threshold": "none"}, PSYCOPG_ASYNC: {"prepare_threshold": "none"}, ASYNCPG: {"statement_cache_size": "0"}}


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
def test_named_prepared_statements_are_made_for_who_asks_for_them(kind: Kind, query: dict[str, str], postgresql_url: str) -> None:
    with one_connection(kind, postgresql_url, **query) as client:
        client.check()
        assert client.named_statements() > 0


@KINDS
def test_they_are_made_where_no_pooler_is_in_between(kind: Kind, postgresql_url: str) -> None:
    with one_connection(kind, postgresql_url) as client:
        client.check()
        assert client.named_statements() > 0


@KINDS
def test_none_is_made_for_who_asks_for_none(kind: Kind, postgresql_url: str) -> None:
    with one_connection(kind, postgresql_url, **NONE[kind]) as client:
        client.check()
        assert client.named_statements() == 0


@KINDS
def test_none_is_made_behind_a_pooler(kind: Kind, pgbouncer: str) -> None:
    with one_connection(kind, pgbouncer) as client:
        client.check()
        assert [client.named_statements() for _ in range(4 * CONNECTIONS)] == [0] * (4 * CONNECTIONS), "on no connection of the server"


@KINDS
def test_p7_a_pooler_without_a_free_connection_costs_no_more_than_the_timeout(kind: Kind, pgbouncer: str) -> None:
    """Its login succeeds at once, and the first question on the new connection waits as any other."""
    world = SQLWorld(kind, pgbouncer, timeout=TIMEOUT, pool_size=1)
    try:
        world.sessions.create_tables()
        assert world.sessions.find(Credential(new_token().encode())) is None
        with ExitStack() as busy:
            for _ in range(CONNECTIONS):
                busy.enter_context(psycopg.connect(pgbouncer)).execute("SELECT 1")  # in a transaction
            for _ in range(3):  # on the connection at hand, and then on new ones
                began = monotonic()
                with pytest.raises(BackendUnavailable):
                    world.sessions.find(Credential(new_token().encode()))
                assert monotonic() - began < 1.8 * TIMEOUT
        assert world.sessions.find(Credential(new_token().encode())) is None
    finally:
        world.close()


@KINDS
def test_p7_a_prepared_statement_that_the_server_has_forgotten_costs_no_question(kind: Kind, postgresql_url: str) -> None:
    with one_connection(kind, postgresql_url) as client:
        client.check()
        client.run("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")  # unseen by the driver
        client.check()
        assert client.named_statements() > 0


@KINDS
def test_p7_nor_does_one_of_a_table_that_has_been_altered(kind: Kind) -> None:
    with fresh_database(POSTGRESQL) as url, one_connection(kind, url) as client:
        client.check()
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
        with engine.begin() as other:
            other.execute(text("ALTER TABLE sessionward_sessions ALTER COLUMN user_agent TYPE text"))
        client.check()
        assert client.named_statements() > 0


class Client:
    """A backend with one connection, and a session in it."""

    def __init__(self, database: URL, kind: Kind) -> None:
        self._loop = Loop() if kind.is_async else None
        self._backend: Any = SQLBackend(database, pool_size=1) if self._loop is None else AsyncSQLBackend(database, pool_size=1)
        self._asked: Any = self._backend if self._loop is None else Bridged(self._backend, self._loop)
        self._token = new_token()
        self._asked.create_tables()
        self._asked.login(new_session("ann", self._token))

    def check(self) -> None:
        """More often than the executions after which the drivers and the server change how they do it."""
        for _ in range(2 * ROUNDS):
            assert self._asked.find(Credential(self._token.encode())).user_id == "ann"

    def named_statements(self) -> int:
        """Returns how many its connection has."""
        return int(self._rows("SELECT count(*) FROM pg_prepared_statements")[0][0])

    def run(self, command: str) -> None:
        """Runs a command on its connection."""
        self._rows(command)

    def _rows(self, command: str) -> Any:
        def run(executor: Executor) -> Any:
            cursor = executor._connection.cursor()
            try:
                cursor.execute(command)
                return cursor.fetchall() if command.startswith("SELECT") else None
            finally:
                cursor.close()

        answer = self._backend._pool.ask(Query(run, writes=False), 10.0)
        return answer if self._loop is None else self._loop.run(answer)

    def close(self) -> None:
        self._asked.close()
        if self._loop is not None:
            self._loop.close()


@contextmanager
def one_connection(kind: Kind, url: str, **query: str) -> Iterator[Client]:
    with closing(Client(make_url(url).set(drivername=kind.scheme, query=query), kind)) as client:
        yield client


@pytest.mark.parametrize("setting", ["postgresql://h/d?prepare_threshold=often", "postgresql://h/d?prepare_threshold=1.5"])
def test_a_number_of_the_url_that_is_none_is_refused_at_start(setting: str) -> None:
    for backend in (SQLBackend, AsyncSQLBackend):
        with pytest.raises(ConfigurationError, match="whole number"):
            backend(setting)


class RefusedError(Exception):
    """An error of PostgreSQL with this state, as drivers raise it."""

    def __init__(self, state: str, function: str = "") -> None:
        self.sqlstate = state
        self.diag = SimpleNamespace(source_function=function)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RefusedError("26000"), ErrorKind.STALE),
        (RefusedError("42P05"), ErrorKind.STALE),
        (RefusedError("0A000", "RevalidateCachedQuery"), ErrorKind.STALE),
        (RefusedError("0A000", "exec_stmt_raise"), ErrorKind.OTHER),
    ],
    ids=["unknown", "known already", "of a table that has been altered", "not supported by this server"],
)
def test_only_an_error_of_a_prepared_statement_costs_new_connections(error: Exception, kind: ErrorKind) -> None:
    assert error_kind(error, POSTGRESQL_DIALECT) is kind
