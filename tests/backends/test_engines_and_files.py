"""What the user's Engine, URL and file say is obeyed by every statement, or refused at start."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from sessionward import ConfigurationError
from sessionward.backends import Credential
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.backends.table import AsyncTableBackend, TableBackend
from sessionward.testing import LoginWorld
from tests.backends.conftest import Place
from tests.backends.tableworld import TableWorld, simple
from tests.contract.sql_world import OVER_ENGINE, Kind, safe_engine

SCHEMA = "Tenant-1"

# --- schema_translate_map ---------------------------------------------------------------------------------------------


class Tenant(LoginWorld):
    """Sessions in a schema that only the Engine names."""

    def pass_time(self, seconds: float) -> None:
        raise NotImplementedError


def engine_of(kind: Kind, url: str, schema: str, **schemas: str) -> Any:
    make: Any = create_async_engine if kind.is_async else create_engine
    engine = make(make_url(url).set(drivername=kind.scheme))
    translated: dict[str | None, str] = {None: schema}
    translated.update(schemas.items())
    return engine.execution_options(schema_translate_map=translated)


@pytest.fixture
def place(own_place: Place) -> Place:
    return own_place


def place_of(kind: Kind, place: Place) -> tuple[str, str, Any]:
    """A database, a schema in it beside the first, and an Engine to look into both."""
    url = place(kind.database)
    safe = safe_engine(url)
    if kind.database == "mariadb":
        return url, str(safe.url.database), safe
    with safe.begin() as connection:
        connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{SCHEMA}"')
    return url, SCHEMA, safe


@pytest.mark.parametrize("kind", [kind for kind in OVER_ENGINE if kind.database != "sqlite"], ids=str)
def test_every_statement_obeys_the_schema_that_the_engine_names(kind: Kind, place: Place) -> None:
    url, schema, safe = place_of(kind, place)
    if kind.database == "mariadb":  # connected without a database, so that only the map names one
        url = make_url(url).set(database="information_schema").render_as_string(hide_password=False)
    engine = engine_of(kind, url, schema)
    world = Tenant((AsyncSQLBackend if kind.is_async else SQLBackend)(engine, timeout=10.0))
    world.run(world.backend.create_tables()) if kind.is_async else world.backend.create_tables()
    own, other, third = (world.sign_in() for _ in range(3))
    assert world.log_out(third)
    assert world.login("ann", generation=0, replaces=other).session.user_id == "ann"
    companion = world.adopt("ann", b"a" * 32)
    assert companion is not None
    assert world.sessions.companion_status("ann", b"a" * 32).companions == 1
    assert world.sessions.extend(companion.session, lifetime=60.0, app_session=b"b" * 32)
    assert not world.sessions.is_revoked_app_session(b"b" * 32)
    assert len(world.sessions.list("ann")) == 3
    assert world.sessions.revoke_others(own.session) == 2
    assert world.sessions.revoke_all("ann") == 1
    assert world.sessions.begin_login("ann") == 2
    assert world.sessions.check(own.credential).has_ended
    assert list(world.sessions.find_many([own.credential])) == []
    world.sessions.raise_lease(1.0)
    world.sessions.set_lease(0.5)
    assert world.sessions.lease_wait() == 1.0
    assert world.sessions.note_seen([own.session], None) == {}
    world.sessions.revoke_everybody()
    assert world.sessions.companion_status("bob", b"a" * 32).companion_required
    assert world.sessions.purge(0.0) == 0  # they ended less than an hour ago
    world.run(engine.dispose()) if kind.is_async else engine.dispose()
    world.close()
    with safe.begin() as connection:
        if kind.database == "postgresql":
            assert connection.exec_driver_sql(f'SELECT count(*) FROM "{SCHEMA}".sessionward_users').scalar_one() == 1
            connection.exec_driver_sql(f'DROP SCHEMA "{SCHEMA}" CASCADE')
        else:
            connection.exec_driver_sql("DROP TABLE sessionward_sessions")
            connection.exec_driver_sql("DROP TABLE sessionward_users")
            connection.exec_driver_sql("DROP TABLE sessionward_state")
    safe.dispose()


@pytest.mark.parametrize("named", ["small", "shop.small"])
@pytest.mark.parametrize("kind", [kind for kind in OVER_ENGINE if kind.database == "postgresql"], ids=str)
def test_the_applications_table_is_that_of_the_schema_that_the_engine_names(kind: Kind, named: str, place: Place) -> None:
    url, schema, safe = place_of(kind, place)
    here = TableWorld(kind, url, simple())
    here.insert(token="a")
    with safe.begin() as connection:
        connection.exec_driver_sql(f'CREATE TABLE "{schema}".small (token text UNIQUE, owner text)')
        connection.exec_driver_sql(f"""INSERT INTO "{schema}".small VALUES ('a', 'eve'), ('b', 'eve')""")
    engine = engine_of(kind, url, schema, shop=schema)
    made: Any = AsyncTableBackend if kind.is_async else TableBackend
    backend = made(engine, named, key="token", user="owner", cookie="c", timeout=10.0)

    async def ask() -> tuple[str, int]:
        session = await backend.find(Credential(b"a"))
        count = await backend.revoke_others(session)
        await engine.dispose()
        return session.user_id, count

    if kind.is_async:
        assert asyncio.run(ask()) == ("eve", 1)
    else:
        session = backend.find(Credential(b"a"))
        assert (session.user_id, backend.revoke_others(session)) == ("eve", 1)
        engine.dispose()
    assert len(here.rows()) == 1
    here.close()
    with safe.begin() as connection:
        connection.exec_driver_sql(f'DROP SCHEMA "{SCHEMA}" CASCADE')
    safe.dispose()


def test_a_schema_that_no_statement_can_name_is_refused(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db").execution_options(schema_translate_map={None: 'a"b'})
    with pytest.raises(ConfigurationError, match="schema_translate_map"):
        SQLBackend(engine)


# --- the URL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+asyncpg://h/d?sslmode=require", "asyncpg does not take sslmode; write ssl=require"),
        ("postgresql+asyncpg://h/d?application_name=shop", "connect_args={'server_settings'"),
        ("postgresql+asyncpg://h/d?connect_timeout=3", "write timeout=3"),
        ("postgresql+psycopg://h/d?ssl=require", "psycopg does not take ssl; write sslmode=require"),
        ("postgresql://h/d?passwd=hunter2", "psycopg does not take passwd"),
        ("mysql+asyncmy://h/d?sslmode=require", "asyncmy does not take sslmode; write ssl_ca="),
        ("mysql+pymysql://h/d?ssl-mode=REQUIRED", "pymysql does not take ssl-mode; write ssl_ca="),
        ("mysql+pymysql://h/d?connect_timeout=soon", "correct the part after the ?"),
    ],
)
@pytest.mark.parametrize("table", [False, True], ids=["our tables", "the application's"])
def test_what_the_driver_does_not_take_is_refused_with_what_to_write(url: str, said: str, table: bool) -> None:
    is_async = "async" in url
    made: Any = (AsyncTableBackend if is_async else TableBackend) if table else AsyncSQLBackend if is_async else SQLBackend
    arguments: dict[str, Any] = {"table": "s", "key": "k", "user": "u", "cookie": "c"} if table else {}
    with pytest.raises(ConfigurationError) as caught:
        made(url, **arguments)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://h/d?ssl=require&prepared_statement_cache_size=0&host=a:1&host=b:2",
        "postgresql://h/d?sslmode=require&application_name=shop&prepare_threshold=3",
        "mysql+asyncmy://h/d?ssl_ca=/x&charset=utf8mb4&connect_timeout=3",
        "mysql://h/d?unix_socket=/x&ssl_ca=/x&ssl_verify_cert=true",
        "sqlite:///x.db?timeout=3&check_same_thread=false",
        "sqlite:///file:x.db?mode=rwc&uri=true",
    ],
)
def test_what_the_driver_takes_passes(url: str) -> None:
    if "pymysql" not in url and not url.startswith("mysql://"):
        AsyncSQLBackend(url)
    if "async" not in url:
        SQLBackend(url)


# --- the file ---------------------------------------------------------------------------------------------------------


def journal(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        connection.close()


def test_a_file_of_the_applications_keeps_its_journal_beside_our_tables(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as table:
        table.execute("CREATE TABLE posts (body TEXT)")
    table.close()
    world = Tenant(SQLBackend(f"sqlite:///{path}"))
    world.backend.create_tables()
    own, _ = world.sign_in(), world.sign_in()
    assert world.sessions.revoke_others(own.session) == 1
    assert journal(path) == "delete"
    world.close()
    assert [file.name for file in tmp_path.iterdir()] == ["app.db"]


def test_a_file_of_ours_alone_is_turned_to_wal(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    world = Tenant(SQLBackend(f"sqlite:///{path}"))
    world.backend.create_tables()
    world.sign_in()
    assert journal(path) == "wal"
    world.close()


def test_an_empty_file_that_becomes_the_applications_keeps_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    backend = SQLBackend(f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="are missing"):
        backend.begin_login("ann")
    with sqlite3.connect(path) as table:
        table.execute("CREATE TABLE posts (body TEXT)")
    table.close()
    backend.create_tables()
    assert backend.begin_login("ann") == 0
    backend.close()
    assert journal(path) == "delete"
