"""A check of an SQLite file that waits for nothing, and says None rather than wait."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import make_url

from sessionward import BackendUnavailable
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential, new_token
from sessionward.testing.bridge import together
from tests.backends.conftest import Place
from tests.contract.sql_world import ASYNCMY, ASYNCPG, PSYCOPG, SQLITE, SQLITE_ASYNC, SQLITE_ENGINE, Kind, SQLWorld


@pytest.fixture(params=[SQLITE, SQLITE_ASYNC], ids=str)
def world(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[SQLWorld]:
    world = SQLWorld(request.param, sqlite_url, timeout=10.0)
    world.sessions.create_tables()
    yield world
    world.close()


@pytest.fixture
def file(sqlite_url: str) -> str:
    name = make_url(sqlite_url).database
    assert name is not None
    return name


def test_a_check_at_once_answers_what_a_check_answers(world: SQLWorld) -> None:
    live, out, short = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
    world.log_out(out)
    world.pass_time(61)
    world.sessions.set_lease(0.5)
    assert world.backend.answers_now
    assert world.backend.check_now(live.credential) is None  # there is no connection yet, and this call opens none
    world.sessions.check(live.credential)
    for client in (live, out, short):
        now, checked = world.backend.check_now(client.credential), world.sessions.check(client.credential)
        assert now._replace(remaining=0.0) == checked._replace(remaining=0.0)
        assert checked.remaining <= now.remaining < checked.remaining + 60
    assert world.backend.check_now(Credential(new_token().encode())) == (None, False, "", 0.0, 0.0, 0.0)


def test_p1_what_was_committed_before_is_seen(world: SQLWorld) -> None:
    own, *others = [world.sign_in() for _ in range(20)]
    world.backend.check_now(own.credential)
    world.sessions.check(own.credential)
    for other in others:
        assert world.backend.check_now(other.credential).session == other.session
        world.log_out(other)
        assert world.backend.check_now(other.credential).has_ended


def test_a_writer_holds_up_no_check_at_once(world: SQLWorld, file: str) -> None:
    client = world.sign_in()
    world.backend.check_now(client.credential)
    world.sessions.check(client.credential)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE sessionward_sessions SET ended_at = issued_at")
        assert world.backend.check_now(client.credential).session == client.session
        writer.execute("COMMIT")
        assert world.backend.check_now(client.credential).has_ended


def test_a_file_that_another_connection_has_for_itself_is_not_waited_for(world: SQLWorld, file: str) -> None:
    client = world.sign_in()
    world.sessions.close()
    world.safe.dispose()
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)) as kept:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("UPDATE sessionward_users SET generation = generation")
            world.backend._at_once._spares().idle.append(kept)
            began = monotonic()
            assert world.backend.check_now(client.credential) is None
            assert monotonic() - began < 1.0
        assert world.backend.check_now(client.credential).session == client.session
        world.backend._at_once._spares().idle.clear()


def test_a_row_that_cannot_be_read_is_left_to_check_and_costs_no_connection(world: SQLWorld, file: str) -> None:
    client, other = world.sign_in(), world.sign_in()
    world.backend.check_now(client.credential)
    world.sessions.check(client.credential)
    kept = [*world.backend._at_once._spares().idle]
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("UPDATE sessionward_sessions SET expires_at = 'garbage' WHERE digest = ?", (client.credential.digest,))
        assert writer.execute("SELECT changes()").fetchone() == (1,)
    assert world.backend.check_now(client.credential) is None
    assert [*world.backend._at_once._spares().idle] == kept
    assert world.backend.check_now(other.credential).session == other.session
    with pytest.raises(BackendUnavailable):
        world.within(10.0).check(client.credential)


def test_its_connections_wait_for_no_lock_and_write_nothing(world: SQLWorld) -> None:
    client = world.sign_in()
    world.backend.check_now(client.credential)
    world.sessions.check(client.credential)
    (connection,) = world.backend._at_once._spares().idle
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM sessionward_users")


def test_a_file_that_is_not_in_wal_mode_is_not_checked_at_once(sqlite_url: str, file: str) -> None:
    with closing(sqlite3.connect(file)) as application:
        application.execute("CREATE TABLE of_the_application (id INTEGER)")
    world = SQLWorld(SQLITE, sqlite_url)
    world.sessions.create_tables()
    client = world.sign_in()
    for _ in range(3):
        assert world.backend.check_now(client.credential) is None
        assert world.sessions.check(client.credential).session == client.session
    world.close()


@pytest.mark.parametrize("kind", [SQLITE_ENGINE, PSYCOPG, ASYNCPG, ASYNCMY], ids=str)
def test_other_databases_are_never_checked_at_once(kind: Kind, own_place: Place) -> None:
    world = SQLWorld(kind, own_place(kind.database))
    world.sessions.create_tables()
    client = world.sign_in()
    for _ in range(2):
        assert (world.backend.answers_now, world.backend.check_now(client.credential)) == (False, None)
        world.sessions.check(client.credential)
    world.close()


def test_threads_never_share_a_connection_and_open_no_more_than_the_pool_has(sqlite_url: str) -> None:
    backend = SQLBackend(sqlite_url, pool_size=3)
    backend.create_tables()
    world = SQLWorld(SQLITE, sqlite_url)
    clients = [world.sign_in(f"user {number}") for number in range(8)]

    def ask(number: int) -> int:
        client, answered = clients[number], 0
        for _ in range(200):
            found = backend.check_now(client.credential)
            if found is None:
                assert backend.check(client.credential).session == client.session
            else:
                assert found.session == client.session
                answered += 1
        return answered

    answers = together(*(lambda number=number: ask(number) for number in range(8)))
    assert all(isinstance(answered, int) for answered in answers), answers
    assert sum(answered for answered in answers if isinstance(answered, int)) > 200
    assert 1 <= len(backend._at_once._spares().idle) <= 3
    backend.close()
    world.close()


def test_a_forked_child_opens_connections_of_its_own(sqlite_url: str) -> None:
    world = SQLWorld(SQLITE, sqlite_url)
    world.sessions.create_tables()
    client = world.sign_in()
    world.backend.check_now(client.credential)
    world.sessions.check(client.credential)
    assert world.backend.check_now(client.credential).session == client.session
    child = os.fork()
    if child == 0:
        try:
            first = world.backend.check_now(client.credential)
            world.sessions.check(client.credential)
            second = world.backend.check_now(client.credential)
            os._exit(0 if first is None and second is not None and second.session == client.session else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert world.backend.check_now(client.credential).session == client.session
    world.close()


def test_close_is_not_final(sqlite_url: str, tmp_path: Path) -> None:
    world = SQLWorld(SQLITE, sqlite_url)
    world.sessions.create_tables()
    client = world.sign_in()
    for _ in range(2):
        assert world.backend.check_now(client.credential) is None
        world.sessions.check(client.credential)
        assert world.backend.check_now(client.credential).session == client.session
        world.sessions.close()
    world.safe.dispose()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sessions.db"]  # no connection keeps the log
