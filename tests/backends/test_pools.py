"""Connections open late, belong to one process and one event loop, and close with whoever made them."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from sessionward import BackendUnavailable
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.testing.bridge import PATIENCE, Loop, together
from tests.backends.conftest import Place, others
from tests.backends.scripts import run
from tests.contract.sql_world import (
    ASYNCMY,
    ASYNCPG,
    FROM_URL,
    KINDS,
    OVER_ENGINE,
    PSYCOPG,
    PSYCOPG_ASYNC,
    PYMYSQL,
    SQLITE,
    SQLITE_ASYNC,
    Kind,
    SQLWorld,
)

SERVED = [kind for kind in FROM_URL if kind.database != "sqlite"]
SYNC = [SQLITE, PSYCOPG, PYMYSQL]
ASYNC = [SQLITE_ASYNC, PSYCOPG_ASYNC, ASYNCPG, ASYNCMY]


@pytest.fixture
def url(request: pytest.FixtureRequest, own_place: Place) -> str:
    """The URL of a database that no other test speaks to, with the scheme of the driver of ``kind``; there are no tables yet."""
    kind: Kind = request.getfixturevalue("kind")
    return make_url(own_place(kind.database)).set(drivername=kind.scheme).render_as_string(hide_password=False)


def connections(engine: Engine) -> set[int]:
    """The connections of others to this database."""
    with engine.connect() as connection:
        return others(connection)


# --- late


def test_making_a_backend_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    SQLBackend(f"sqlite:///{path}")
    AsyncSQLBackend(f"sqlite:///{path}")
    assert not path.exists()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.database != "sqlite"], ids=str)
def test_a_dead_server_is_no_matter_until_something_is_asked(kind: Kind) -> None:
    with socket.socket() as refusing:  # bound, but it does not listen
        refusing.bind(("127.0.0.1", 0))
        scheme = "postgresql" if kind.database == "postgresql" else "mysql"
        world = SQLWorld(kind, f"{scheme}://nobody@127.0.0.1:{refusing.getsockname()[1]}/none")
        try:
            with pytest.raises(BackendUnavailable):
                world.sessions.begin_login("ann")
        finally:
            world.close()


# --- close


@pytest.mark.parametrize("kind", FROM_URL, ids=str)
def test_close_is_not_final(kind: Kind, place: Place) -> None:
    world = SQLWorld(kind, place(kind.database))
    try:
        world.sessions.create_tables()
        world.clean()
        world.sessions.close()
        client = world.sign_in()
        for _ in range(2):
            world.sessions.close()
            world.sessions.close()
            assert world.lives(client) == [True]
    finally:
        world.close()


@pytest.mark.parametrize("kind", SERVED, ids=str)
def test_close_ends_the_connections_that_a_url_has_made(kind: Kind, own_place: Place) -> None:
    world = SQLWorld(kind, own_place(kind.database), timeout=10.0)
    try:
        world.sessions.create_tables()
        together(*(lambda: world.sessions.begin_login("ann") for _ in range(6)))
        assert connections(world.safe)
        world.sessions.close()
        ends = time.monotonic() + PATIENCE
        while connections(world.safe):  # the server notices a moment later
            assert time.monotonic() < ends
            time.sleep(0.01)
    finally:
        world.close()


@pytest.mark.parametrize("kind", [kind for kind in OVER_ENGINE if kind.database != "sqlite"], ids=str)
def test_an_engine_that_was_passed_in_is_never_disposed(kind: Kind, place: Place) -> None:
    world = SQLWorld(kind, place(kind.database))
    engine: Any = world.engine
    disposed: list[object] = []
    event.listen(engine if isinstance(engine, Engine) else engine.sync_engine, "engine_disposed", disposed.append)
    try:
        world.sessions.create_tables()
        own = connections(world.safe)
        assert own
        world.sessions.close()
        world.sessions.close()
        assert disposed == []
        assert connections(world.safe) == own
        assert world.sessions.begin_login("ann") == 0
    finally:
        world.close()


def test_the_users_engine_keeps_its_isolation_level_and_its_transactions(postgresql_url: str) -> None:
    engine = create_engine(make_url(postgresql_url).set(drivername="postgresql+psycopg"), pool_size=1, max_overflow=0)
    backend = SQLBackend(engine)
    backend.create_tables()
    backend.revoke_all("ann")
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "READ COMMITTED"
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"
        connection.rollback()
        connection.execute(text("CREATE TEMPORARY TABLE things (n int)"))
        connection.rollback()
        assert connection.execute(text("SELECT to_regclass('things')")).scalar_one() is None
    engine.dispose()


def test_the_users_engine_on_mariadb_keeps_its_settings(mariadb_url: str) -> None:
    engine = create_engine(make_url(mariadb_url).set(drivername="mysql+pymysql"), pool_size=1, max_overflow=0)
    names = ("innodb_lock_wait_timeout", "tx_isolation", "autocommit", "idle_transaction_timeout")
    asked = text(f"SELECT {', '.join(f'@@session.{name}' for name in names)}")
    with engine.connect() as connection:
        before = connection.execute(asked).one()
    backend = SQLBackend(engine)
    backend.create_tables()
    backend.revoke_all("ann")
    with engine.connect() as connection:
        assert connection.execute(asked).one() == before
    engine.dispose()


def test_the_users_engine_on_sqlite_keeps_its_settings(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db", pool_size=1, max_overflow=0, connect_args={"timeout": 7.0})
    backend = SQLBackend(engine)
    backend.create_tables()
    backend.revoke_all("ann")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 7000
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "delete"
    engine.dispose()


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql+asyncpg"])
def test_times_are_in_utc_whatever_the_time_zone_of_the_connection(place: Place, scheme: str) -> None:
    url = make_url(place("postgresql"))
    settings: dict[str, Any] = {"server_settings": {"timezone": "Asia/Tokyo"}}
    if "psycopg" in scheme:
        settings = {"options": "-c timezone=Asia/Tokyo"}
    kind = Kind(database="postgresql", scheme=scheme, is_async=True, over_engine=True)
    world = SQLWorld(kind, url.render_as_string(hide_password=False), engine_options={"connect_args": settings})
    try:
        world.sessions.create_tables()
        world.clean()
        client = world.sign_in()
        assert str(world.found(client).issued_at).endswith("+00:00")
        world.pass_time(10)
        world.sessions.revoke_all("ann")
        world.pass_time(10)
        assert world.lives(world.login(age=5.0), client) == [True, False]
    finally:
        world.close()


def test_times_are_in_utc_whatever_the_time_zone_of_mariadb(mariadb_url: str) -> None:
    kind = Kind(database="mariadb", scheme="mysql+pymysql", over_engine=True)
    options = {"connect_args": {"init_command": "SET time_zone = '+09:00'"}}
    world, usual = SQLWorld(kind, mariadb_url, engine_options=options), SQLWorld(PYMYSQL, mariadb_url)
    try:
        world.sessions.create_tables()
        world.clean()
        client = world.sign_in(lasts=60.0)
        assert world.found(client) == usual.found(client)
        world.pass_time(61)
        assert world.lives(client) == usual.lives(client) == [False]
    finally:
        world.close()
        usual.close()


# --- one process


FORKED = """
backend = SQLBackend(url, timeout=10.0)
backend.create_tables()
backend.login(LOGIN)
threads = [threading.Thread(target=backend.find, args=(credential,)) for _ in range(5)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
for ending in "closes", "just exits":
    before = mine()
    child = os.fork()
    if child == 0:
        warnings.simplefilter("ignore")  # of what it inherits, nothing is its own to close
        assert backend.find(credential)
        assert not mine() <= before, "the child speaks on a connection of its parent"
        assert backend.revoke_all("bob") == 0
        backend.close()
        assert backend.find(credential)
        if ending == "closes":
            backend.close()
        sys.exit(0)  # as a process ends that knows nothing of its parent's connections
    assert os.waitpid(child, 0)[1] == 0
    assert backend.find(credential)
    assert before <= mine(), "the child has closed a connection of its parent"
assert backend.revoke_all("ann") == 1
backend.close()
print("done")
"""
MINE = {
    "sqlite": "mine = lambda: {os.getpid()}\n",  # a file has no server to ask
    "postgresql": """
import psycopg
def mine():
    with psycopg.connect(url) as connection:
        asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return {pid for (pid,) in connection.execute(asked)}
""",
    "mariadb": """
import pymysql
from sqlalchemy import make_url
def mine():
    at = make_url(url)
    connection = pymysql.connect(host=at.host, port=at.port or 3306, user=at.username, password=at.password or "", database=at.database)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
        return {number for (number,) in cursor.fetchall()}
""",
}


@pytest.mark.parametrize("kind", SYNC, ids=str)
def test_a_forked_child_speaks_on_connections_of_its_own_and_leaves_those_of_its_parent(kind: Kind, url: str) -> None:
    assert run(MINE[kind.database] + FORKED, url) == "done\n"


FORKED_ASYNC = """
backend = AsyncSQLBackend(url, timeout=10.0)

async def first():
    await backend.create_tables()
    await backend.login(LOGIN)

async def once():
    assert await backend.find(credential)
    return await backend.revoke_all("bob")

asyncio.run(first())
child = os.fork()
if child == 0:
    assert asyncio.run(once()) == 0
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert asyncio.run(once()) == 0
print("done")
"""


@pytest.mark.parametrize("kind", ASYNC, ids=str)
def test_a_child_forked_after_a_first_loop_has_a_loop_and_connections_of_its_own(kind: Kind, url: str) -> None:
    assert run(FORKED_ASYNC, url) == "done\n"


PRELOADED = """
import os, sys, time
from sessionward.backends import Credential, NewSession
from sessionward.backends.sql import SQLBackend

backend = SQLBackend(os.environ["SESSIONWARD_TEST_URL"], timeout=10.0)
backend.create_tables()
credential = Credential(b"a key")
backend.login(NewSession(user_id="ann", digest=credential.digest, lifetime=600.0))

def app(environ, start_response):
    found = [backend.find(credential) is not None for _ in range(20)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {all(found)}".encode()]
"""


@pytest.mark.parametrize("kind", [PSYCOPG], ids=str)
def test_workers_of_a_preloaded_application_do_not_share_a_connection(kind: Kind, url: str, tmp_path: Path) -> None:
    (tmp_path / "preloaded.py").write_text(PRELOADED)
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--threads", "2", "--bind", "127.0.0.1:0", "preloaded:app"]
    environment = {"SESSIONWARD_TEST_URL": url, "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(found[1] for line in server.stderr if (found := re.search(r"Listening at: (http://\S+)", line)))
            with ThreadPoolExecutor(4) as threads:
                answers = list(threads.map(lambda _: _get(address), range(40)))
        finally:
            server.send_signal(signal.SIGTERM)
            said = server.stderr.read() if server.stderr is not None else ""
    assert {answer.partition(" ")[2] for answer in answers} == {"True"}
    assert "Traceback" not in said


def _get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        body: bytes = answer.read()
        return body.decode()


# --- one event loop


LOOPS = """
import sessionward
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

backend = AsyncSQLBackend(url, timeout=10.0)

# in a row: one is left open, one is closed, one is left open

async def first():
    await backend.create_tables()
    await backend.login(LOGIN)
    await asyncio.gather(*(backend.find(credential) for _ in range(5)))

async def second():
    assert (await backend.find(credential)).user_id == "ann"
    await backend.close()

async def third():
    return await backend.revoke_all("ann")

asyncio.run(first())
asyncio.run(second())
print("in a row", asyncio.run(third()))

# at once, in two threads

barrier = threading.Barrier(2)
counts = [0, 0]

async def many(number):
    await backend.find(credential)
    barrier.wait(20)
    for _ in range(10):
        await asyncio.gather(*(backend.revoke_all(f"user {number}") for _ in range(2)), backend.find(credential), backend.begin_login("x"))
    counts[number] = await backend.begin_login(f"user {number}")

threads = [threading.Thread(target=asyncio.run, args=(many(number),)) for number in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("at once", counts)

# test clients, which make a loop for each request, or with a lifespan one for all

async def login(request):
    return JSONResponse({"token": await sessionward.of(request).login("bob")})

async def who(request):
    session = sessionward.of(request).current
    return JSONResponse(session and session.user_id)

inner = Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/", who)])
app = sessionward.ASGIMiddleware(inner, backend, secrets=["k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"])

def client():
    return TestClient(app, base_url="https://testserver")

def story(client):
    client.post("/login")
    assert client.get("/").json() == "bob"
    return client.delete("/auth/sessions").json()["count"]

counts = [story(client())]
with client() as one:
    counts.append(story(one))
counts.append(story(client()))
with client() as one, client() as other:
    counts += [story(one), story(other)]
print("test clients", counts)
"""


@pytest.mark.parametrize("kind", ASYNC, ids=str)
def test_loops_in_a_row_at_once_and_of_test_clients_have_connections_of_their_own_and_leave_none_behind(kind: Kind, url: str) -> None:
    assert run(LOOPS, url).splitlines() == ["in a row 1", "at once [20, 20]", "test clients [0, 1, 1, 1, 1]"]


def test_an_async_engine_serves_the_loop_that_it_belongs_to(postgresql_url: str) -> None:
    engine = create_async_engine(make_url(postgresql_url).set(drivername="postgresql+asyncpg"))
    backend, loop = AsyncSQLBackend(engine), Loop()
    try:
        loop.run(backend.create_tables())
        loop.run(backend.close())
        assert loop.run(backend.revoke_all("ann")) >= 0
        loop.run(engine.dispose())
    finally:
        loop.close()
