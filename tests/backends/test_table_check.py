"""The table is looked at before anything is asked of it: what does not fit is told with what is there."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, DateTime, Integer, String

from sessionward import BackendUnavailable, ConfigurationError
from sessionward.backends import Credential
from sessionward.backends.table import AsyncTableBackend, Expires, RevokedBy, TableBackend
from tests.backends.conftest import Open, Place
from tests.backends.schemas import AUTHJS, BETTER_AUTH
from tests.backends.tableworld import TableWorld, simple
from tests.contract.sql_world import ASYNCMY, ASYNCPG, FROM_URL, PSYCOPG, PYMYSQL, Kind

every_driver = pytest.mark.parametrize("kind", FROM_URL, ids=str)
servers = pytest.mark.parametrize("kind", [PSYCOPG, ASYNCPG, PYMYSQL, ASYNCMY], ids=str)


# --- names ------------------------------------------------------------------------------------------------------------


@servers
def test_a_table_in_a_schema_with_awkward_names_is_found(kind: Kind, place: Place) -> None:
    url = place(kind.database)
    world = TableWorld(kind, url, AUTHJS)
    with world.safe.begin() as connection:
        if kind.database == "postgresql":
            connection.exec_driver_sql('CREATE SCHEMA "Auth-1"')
            connection.exec_driver_sql('CREATE TABLE "Auth-1"."select from" ("the key" text UNIQUE, "order" text)')
            connection.exec_driver_sql("""INSERT INTO "Auth-1"."select from" VALUES ('a', 'ann'), ('b', 'ann')""")
            name = "Auth-1.select from"
        else:
            schema = world.safe.url.database
            connection.exec_driver_sql("CREATE TABLE `select from` (`the key` varchar(64) UNIQUE, `order` text)")
            connection.exec_driver_sql("INSERT INTO `select from` VALUES ('a', 'ann'), ('b', 'ann')")
            name = f"{schema}.select from"
    database = world.safe.url.set(drivername=kind.scheme)
    made: Any = AsyncTableBackend if kind.is_async else TableBackend
    backend = made(database, name, key="the key", user="order", cookie="c")

    async def ask() -> Any:
        session = await backend.find(Credential(b"a"))
        return await backend.revoke_others(session), await backend.close()

    if kind.is_async:
        assert world.run(ask())[0] == 1
    else:
        assert backend.revoke_others(backend.find(Credential(b"a"))) == 1
        backend.close()
    with world.safe.begin() as connection:
        connection.exec_driver_sql('DROP SCHEMA "Auth-1" CASCADE' if kind.database == "postgresql" else "DROP TABLE `select from`")
    world.close()


# --- what is refused when the table is looked at ----------------------------------------------------------------------


@every_driver
def test_columns_that_are_not_there_are_told_with_those_that_are(kind: Kind, open_world: Open) -> None:
    world = open_world(AUTHJS)
    database = world.safe.url.set(drivername=kind.scheme)
    made: Any = AsyncTableBackend if kind.is_async else TableBackend
    backend = made(
        database,
        "Session",
        key="token",
        user="user_id",
        cookie="c",
        expires=Expires.at("expires"),
        revoked=RevokedBy.time("gone"),
        timeout=10,
    )
    with pytest.raises(ConfigurationError) as caught:
        world.run(backend.check()) if kind.is_async else backend.check()
    assert caught.value.mistakes == tuple(
        f"{option}: Session has no column {name}; it has id, sessionToken, userId, expires"
        for option, name in (("key", "token"), ("user", "user_id"), ("revoked", "gone"))
    )
    with pytest.raises(ConfigurationError, match="has no column"):
        world.run(backend.find(Credential(b"x"))) if kind.is_async else backend.find(Credential(b"x"))
    world.run(backend.close()) if kind.is_async else backend.close()


@every_driver
def test_a_table_that_is_not_there_is_told(kind: Kind, open_world: Open) -> None:
    world = open_world(AUTHJS)
    database = world.safe.url.set(drivername=kind.scheme)
    made: Any = AsyncTableBackend if kind.is_async else TableBackend
    backend = made(database, "sessions_of_nobody", key="token", user="user_id", cookie="c", timeout=10)
    with pytest.raises(ConfigurationError, match="there is no sessions_of_nobody"):
        world.run(backend.check()) if kind.is_async else backend.check()
    world.run(backend.close()) if kind.is_async else backend.close()


@every_driver
def test_a_good_table_passes_the_check(kind: Kind, open_world: Open) -> None:
    world = open_world(BETTER_AUTH)
    world.run(world.backend.check()) if kind.is_async else world.backend.check()


@pytest.mark.parametrize("kind", [PSYCOPG, PYMYSQL], ids=str)
@pytest.mark.parametrize(
    ("more", "options", "said"),
    [
        pytest.param([Integer()], {"expires": Expires.at("until")}, "until holds numbers; use Expires.unix", id="at"),
        pytest.param([DateTime()], {"expires": Expires.unix("until")}, "until holds times; use Expires.at", id="generation"),
        pytest.param([], {"rename": True, "key_type": String(33)}, "token cannot hold 34 characters of text", id="too short"),
        pytest.param([], {"rename": True, "key_type": BigInteger()}, "token cannot hold 34 characters of text", id="no text"),
    ],
)
def test_a_type_that_does_not_fit_is_told(kind: Kind, more: list[Any], options: dict[str, Any], said: str, open_world: Open) -> None:
    options = dict(options)
    world = open_world(simple(*[Column("until", until) for until in more], key=options.pop("key_type", None), **options))
    with pytest.raises(ConfigurationError, match=said):
        world.backend.check()


def test_sqlite_takes_no_name_for_a_text(tmp_path: Path) -> None:
    """In double quotes it would: then every key is that of the row, and each user is called ``user_id``."""
    with sqlite3.connect(tmp_path / "app.db") as table:
        table.execute("CREATE TABLE s (token TEXT)")
        table.execute("INSERT INTO s VALUES ('a'), ('b')")
    table.close()
    backend = TableBackend(f"sqlite:///{tmp_path}/app.db", "s", key="token", user="user_id", cookie="c")
    with pytest.raises(ConfigurationError, match="s has no column user_id; it has token"):
        backend.find(Credential(b"a"))
    backend.close()


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_file_of_the_applications_keeps_its_journal(tmp_path: Path, journal: str) -> None:
    with sqlite3.connect(tmp_path / "app.db") as table:
        table.execute(f"PRAGMA journal_mode = {journal}")
        table.execute("CREATE TABLE s (token TEXT UNIQUE, user_id TEXT)")
        table.execute("INSERT INTO s VALUES ('a', 'ann'), ('b', 'ann')")
    table.close()
    backend = TableBackend(f"sqlite:///{tmp_path}/app.db", "s", key="token", user="user_id", cookie="c")
    session = backend.find(Credential(b"a"))
    assert session is not None
    assert backend.revoke_others(session) == 1
    backend.close()
    table = sqlite3.connect(tmp_path / "app.db")
    assert table.execute("PRAGMA journal_mode").fetchone() == (journal,)
    table.close()


@pytest.mark.parametrize("kind", [PSYCOPG], ids=str)
def test_rows_that_the_database_does_not_let_go_are_not_called_revoked(kind: Kind, open_world: Open) -> None:
    world = open_world(AUTHJS)
    own, other = world.sign_in(), world.sign_in()
    with world.safe.begin() as connection:
        connection.exec_driver_sql('CREATE RULE keep AS ON DELETE TO "Session" DO INSTEAD NOTHING')
    with pytest.raises(BackendUnavailable, match="did not revoke a locked row of Session"):
        world.sessions.revoke_others(own.session)
    with world.safe.begin() as connection:
        connection.exec_driver_sql('DROP RULE keep ON "Session"')
    assert world.lives(own, other) == [True, True]
