"""The three tables: as the design names them, as ``metadata`` tells them, and created by whoever comes first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from sessionward import ConfigurationError, Session
from sessionward.backends import NewSession, Terms
from sessionward.backends.sql import SQLBackend, metadata
from sessionward.backends.sql.dialect import POSTGRESQL as SPOKEN
from sessionward.backends.sql.dialect import compiled
from sessionward.backends.sql.statements import STATEMENTS, parameters
from sessionward.credential.token import Credential, new_token
from sessionward.testing import LoginWorld
from sessionward.testing.bridge import PATIENCE, together
from tests.backends.conftest import Place
from tests.contract.sql_world import KINDS, PSYCOPG, PYMYSQL, SQLITE, Kind, SQLWorld, safe_engine

SESSIONS = [
    "id",
    "user_id",
    "digest",
    "issued_at",
    "authenticated_at",
    "expires_at",
    "ends_at",
    "last_seen_at",
    "ended_at",
    "ended_by",
    "reason",
    "methods",
    "ip_address",
    "user_agent",
    "raises_at",
    "app_session",
    "allowed_at",
    "kind",
    "actor",
    "era",
]
STATE = ["id", "lease", "former_lease", "lowered_at", "era", "era_at", "lineage", "rolled_back"]
TABLES = ["sessionward_sessions", "sessionward_state", "sessionward_users"]
USERS = ["user_id", "generation", "revoked_at", "companion_required"]
NULLABLE = {"ended_at", "ended_by", "reason", "raises_at", "allowed_at", "revoked_at", "lowered_at", "era_at", "lineage"}
NULLABLE |= {"authenticated_at", "ends_at", "ip_address", "user_agent", "app_session", "kind", "actor"}


@pytest.fixture
def place(own_place: Place) -> Place:
    return own_place


@pytest.fixture(params=[SQLITE, PSYCOPG, PYMYSQL], ids=["SQLite", "PostgreSQL", "MariaDB"])
def empty(request: pytest.FixtureRequest, place: Place) -> Iterator[tuple[str, Engine]]:
    """A database without tables: its URL, and an Engine of the test's own."""
    url = place(request.param.database)
    engine = safe_engine(url)
    yield url, engine
    engine.dispose()


def create_tables(url: str) -> None:
    backend = SQLBackend(url, timeout=10.0)
    try:
        backend.create_tables()
    finally:
        backend.close()


def test_create_tables_may_be_repeated_and_keeps_what_is_there(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    backend = SQLBackend(url)
    backend.create_tables()
    assert backend.revoke_all("ann") == 0
    backend.create_tables()
    create_tables(url)
    assert backend.begin_login("ann") == 1
    backend.close()
    assert sorted(inspect(engine).get_table_names()) == TABLES


def test_create_tables_adds_what_is_missing(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    create_tables(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE sessionward_users"))
    create_tables(url)
    assert sorted(inspect(engine).get_table_names()) == TABLES


@pytest.mark.parametrize("number", [1, 6])
def test_create_tables_brings_tables_of_the_version_before_leases_up_to_date(empty: tuple[str, Engine], number: int) -> None:
    url, engine = empty
    create_tables(url)
    backend = SQLBackend(url)
    new = NewSession(user_id="ann", digest=b"d" * 32, lifetime=60.0)
    session = backend.login(new)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE sessionward_state"))
    assert together(*(lambda: create_tables(url) for _ in range(number))) == [None] * number
    assert [known.id for known in backend.list("ann")] == [session.id]
    assert backend.lease_wait() == 0.0
    backend.set_lease(1.5)
    create_tables(url)
    assert backend.lease_wait() == 1.5
    with engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM sessionward_state")).scalar_one() == 1
    backend.close()
    assert _differences(engine) == []


def test_after_a_migration_that_made_no_row_the_lease_is_zero_until_it_is_set(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    metadata.create_all(engine)
    backend = SQLBackend(url, timeout=10.0)
    session = backend.login(NewSession(user_id="ann", digest=b"d" * 32, lifetime=60.0))
    assert [known.id for known in backend.list("ann")] == [session.id]
    assert backend.lease_wait() == 0.0
    assert together(*(lambda: backend.raise_lease(2.0) for _ in range(6))) == [None] * 6
    assert backend.lease_wait() == 2.0
    backend.close()


def test_the_database_refuses_a_second_row_of_the_state(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    create_tables(url)
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text("INSERT INTO sessionward_state (id, lease, former_lease) VALUES (2, 0, 0)"))


def test_create_tables_may_be_called_by_six_threads_at_once(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    assert together(*(lambda: create_tables(url) for _ in range(6))) == [None] * 6
    assert _differences(engine) == []


SIX_PROCESSES = """
import os, sys
from sessionward.backends.sql import SQLBackend
ready, go = os.pipe()
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(ready, 1)
        backend = SQLBackend(sys.argv[1], timeout=10.0)
        backend.create_tables()
        backend.close()
        os._exit(0)
    children.append(child)
os.close(go)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_create_tables_may_be_called_by_six_processes_at_once(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    done = subprocess.run([sys.executable, "-c", SIX_PROCESSES, url], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0, 0, 0]\n", "")
    assert _differences(engine) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_async], ids=str)
def test_create_tables_of_an_async_backend_makes_the_same(place: Place, kind: Kind) -> None:
    world = SQLWorld(kind, place(kind.database))
    try:
        metadata.drop_all(world.safe)
        assert together(world.sessions.create_tables, world.sessions.create_tables) == [None, None]
        assert _differences(world.safe) == []
    finally:
        world.close()


def test_metadata_is_what_stands_in_the_database(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    create_tables(url)
    assert _differences(engine) == []


def test_the_columns_are_those_of_the_design(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    create_tables(url)
    inspector = inspect(engine)
    columns = {table: inspector.get_columns(table) for table in TABLES}
    assert [column["name"] for column in columns["sessionward_sessions"]] == SESSIONS
    assert [column["name"] for column in columns["sessionward_users"]] == USERS
    assert [column["name"] for column in columns["sessionward_state"]] == STATE
    assert {column["name"] for table in columns.values() for column in table if column["nullable"]} == NULLABLE
    assert inspector.get_pk_constraint("sessionward_sessions")["constrained_columns"] == ["id"]
    assert inspector.get_pk_constraint("sessionward_users")["constrained_columns"] == ["user_id"]


def test_user_ids_are_kept_byte_for_byte(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    create_tables(url)
    for table in "sessionward_users", "sessionward_sessions":
        (kept,) = [column["type"] for column in inspect(engine).get_columns(table) if column["name"] == "user_id"]
        said = {"sqlite": "VARCHAR(255)", "postgresql": 'VARCHAR(255) COLLATE "C"', "mysql": "VARBINARY(255)"}[engine.dialect.name]
        assert kept.compile(engine.dialect) == said


def test_a_digest_stands_for_one_session_only(empty: tuple[str, Engine]) -> None:
    url, engine = empty
    create_tables(url)
    inspector = inspect(engine)
    unique: list[object] = [index["column_names"] for index in inspector.get_indexes("sessionward_sessions") if index["unique"]]
    unique += [constraint["column_names"] for constraint in inspector.get_unique_constraints("sessionward_sessions")]
    assert ["digest"] in unique


@pytest.mark.parametrize("missing", [TABLES, ["sessionward_state"]], ids=["all", "that of leases"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_without_tables_every_question_says_create_tables(kind: Kind, missing: list[str], place: Place) -> None:
    url = place(kind.database)
    engine = safe_engine(url)
    metadata.create_all(engine)
    metadata.drop_all(engine, [metadata.tables[name] for name in missing])
    engine.dispose()
    world = SQLWorld(kind, url)
    try:
        for question in _questions(world):
            with pytest.raises(ConfigurationError, match=r"create_tables\(\)"):
                question()
        world.sessions.create_tables()
        assert world.lives(world.sign_in()) == [True]
    finally:
        world.close()


@pytest.mark.parametrize(
    ("table", "column"), [("sessionward_sessions", "actor"), ("sessionward_sessions", "era"), ("sessionward_state", "era")]
)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_table_of_an_earlier_version_says_that_a_column_is_missing(kind: Kind, table: str, column: str, place: Place) -> None:
    url = place(kind.database)
    engine = safe_engine(url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
    engine.dispose()
    world = SQLWorld(kind, url)
    try:
        credential = Credential(new_token().encode())
        for question in (lambda: world.sessions.find(credential), lambda: world.sessions.list("ann"), lambda: world.login("ann")):
            with pytest.raises(ConfigurationError, match="lacks a column"):
                question()
    finally:
        world.close()


def _questions(world: LoginWorld) -> list[Any]:
    credential = Credential(new_token().encode())
    return [
        lambda: world.sessions.find(credential),
        lambda: world.sessions.begin_login("ann"),
        lambda: world.sessions.list("ann"),
        lambda: world.sessions.revoke_all("ann"),
        lambda: world.sessions.revoke_everybody(),
        lambda: world.login("ann"),
        lambda: world.sessions.purge(0.0),
        lambda: world.sessions.check(credential),
        lambda: world.sessions.find_many([credential]),
        lambda: world.sessions.lease_wait(),
        lambda: world.sessions.raise_lease(1.0),
        lambda: world.sessions.set_lease(1.0),
        lambda: world.sessions.companion_status("ann", b"a" * 32),
        lambda: world.sessions.is_revoked_app_session(b"a" * 32),
        lambda: world.adopt("ann", b"a" * 32),
        lambda: world.sessions.revoke("ann", uuid4()),
        lambda: world.sessions.revoke_others(Session(id=uuid4(), user_id="ann")),
        lambda: world.sessions.revoke_others_quietly(Session(id=uuid4(), user_id="ann")),
        lambda: world.sessions.revoke_one(Session(id=uuid4(), user_id="ann"), uuid4(), Terms()),
        lambda: world.sessions.extend(Session(id=uuid4(), user_id="ann"), lifetime=60.0, app_session=None),
    ]


def _differences(engine: Engine) -> Any:
    """What Alembic would change; it may see tables of others, but not ours in another form."""
    with engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)


@pytest.mark.parametrize(("name", "rows"), [("check", 500), ("lock_live", 500), ("live_of_10", 10_000)])
def test_a_session_is_found_by_its_key_also_on_a_table_that_was_never_analyzed(name: str, rows: int, empty_postgresql_url: str) -> None:
    """PostgreSQL would else take the partial index of live sessions, and walk through all of them."""
    backend = SQLBackend(empty_postgresql_url)
    backend.create_tables()
    statement = compiled(STATEMENTS[name], SPOKEN, "format")
    values = {"digest": b"d" * 32, "id": uuid4(), "user": "ada"} | dict.fromkeys(parameters(10), b"d" * 32) | {"era": 0}
    with psycopg.connect(empty_postgresql_url, autocommit=True) as connection:
        connection.execute(b"ALTER TABLE sessionward_sessions SET (autovacuum_enabled = false)")
        connection.execute(
            b"INSERT INTO sessionward_sessions (id, user_id, digest, issued_at, authenticated_at, expires_at, last_seen_at)"
            b" SELECT gen_random_uuid(), 'ada', sha256(i::text::bytea), now(), now(), now() + interval '1 day', now()"
            b" FROM generate_series(1, %s) AS i",
            [rows],
        )
        plan = connection.execute(b"EXPLAIN " + statement.text.encode(), [values[key] for key in statement.order]).fetchall()
    backend.close()
    shown = "\n".join(line for (line,) in plan)
    assert ("sessionward_sessions_pkey" if name == "lock_live" else "sessionward_sessions_digest_key") in shown
    assert "sessionward_sessions_live" not in shown


def test_the_list_reads_no_row_of_another_user(empty_postgresql_url: str) -> None:
    backend = SQLBackend(empty_postgresql_url)
    backend.create_tables()
    statement = compiled(STATEMENTS["list"], SPOKEN, "format")
    values = {"user": "ada", "without": uuid4(), "at": datetime.now(UTC), "place": uuid4(), "limit": 250}
    with psycopg.connect(empty_postgresql_url, autocommit=True) as connection:
        connection.execute(
            b"INSERT INTO sessionward_sessions (id, user_id, digest, issued_at, authenticated_at, expires_at, last_seen_at)"
            b" SELECT gen_random_uuid(), 'user' || i, sha256(i::text::bytea), now(), now(), now() + interval '1 day', now()"
            b" FROM generate_series(1, 10000) AS i"
        )
        for prepare in (b"ALTER TABLE sessionward_sessions SET (autovacuum_enabled = false)", b"ANALYZE sessionward_sessions"):
            connection.execute(prepare)
            plan = connection.execute(b"EXPLAIN " + statement.text.encode(), [values[key] for key in statement.order]).fetchall()
            shown = "\n".join(line for (line,) in plan)
            assert "sessionward_sessions_live" in shown
            assert "Seq Scan on sessionward_sessions" not in shown
    backend.close()
