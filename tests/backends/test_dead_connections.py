"""Connections that the server has closed meanwhile are replaced, and whoever asks notices nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from types import TracebackType

import pytest

from sessionward import BackendUnavailable
from sessionward.credential.token import Credential
from sessionward.testing.bridge import PATIENCE, together
from tests.backends.conftest import Place, others
from tests.contract.sql_world import ASYNCPG, KINDS, PSYCOPG, PSYCOPG_ASYNC, Kind, SQLWorld
from tests.torture.silence import SilentProxy

POOLED = 6
TIMEOUT = 2.0


@pytest.fixture(params=[kind for kind in KINDS if kind.database != "sqlite"], ids=str)
def world(request: pytest.FixtureRequest, place: Place) -> Iterator[SQLWorld]:
    options = {"engine_options": {"pool_size": POOLED}} if request.param.over_engine else {"pool_size": POOLED}
    world = SQLWorld(request.param, place(request.param.database), timeout=10.0, **options)
    world.sessions.create_tables()
    world.clean()
    yield world
    world.close()


def kill_all(world: SQLWorld) -> int:
    """End all connections to this database but the one that says so; how many."""
    end = "SELECT pg_terminate_backend({})" if world.kind.database == "postgresql" else "KILL {}"
    with world.safe.connect() as connection:
        numbers = others(connection)
        for number in numbers:
            connection.exec_driver_sql(end.format(number))
        ends = time.monotonic() + PATIENCE
        while numbers & others(connection):
            assert time.monotonic() < ends
            time.sleep(0.005)
            connection.rollback()
    world.safe.dispose()
    return len(numbers)


def fill(world: SQLWorld) -> None:
    """Have as many connections as the pool holds, all idle: each caller has to wait for somebody else's lock on one."""
    world.sessions.revoke_all("ann")
    with ThreadPoolExecutor(POOLED) as threads:
        with world.hold("ann"):
            waiting = [threads.submit(world.sessions.revoke_all, "ann") for _ in range(POOLED)]
            ends = time.monotonic() + PATIENCE
            with world.safe.connect() as connection:
                while len(others(connection)) <= POOLED:  # and the one that holds the lock
                    assert time.monotonic() < ends
                    time.sleep(0.005)
                    connection.rollback()  # PostgreSQL tells the same throughout a transaction
        assert [call.result(PATIENCE) for call in waiting] == [0] * POOLED


def test_p7_after_all_connections_have_been_killed_each_question_is_answered(world: SQLWorld) -> None:
    client = world.sign_in("bob")
    for ask in (
        lambda: world.lives(client) == [True],
        lambda: world.sessions.revoke_others(client.session) == 0,
        lambda: world.lives(world.sign_in("eve")) == [True],
    ):
        fill(world)
        assert kill_all(world) >= POOLED
        assert ask()


def test_p7_after_all_connections_have_been_killed_many_callers_at_once_are_answered(world: SQLWorld) -> None:
    client = world.sign_in("bob")
    fill(world)
    assert kill_all(world) >= POOLED
    answers = together(*(lambda: world.found(client).user_id for _ in range(POOLED)))
    assert answers == ["bob"] * POOLED
    kill_all(world)
    answers_of_writers = together(*(lambda: world.sessions.revoke_others(client.session) for _ in range(POOLED)))
    assert answers_of_writers == [0] * POOLED
    assert world.sessions.begin_login("bob") == POOLED


class StallsAfterLogin(SilentProxy):
    """Connections that begin while it is silent log in, and are never answered again: as behind a pooler without a free connection."""

    def __init__(self, url: str) -> None:
        self._over = Event()
        super().__init__(url)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        super().__exit__(kind, error, trace)

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        stalls, is_logged_in = is_answer and not self._speaks.is_set(), False
        with suppress(OSError):
            while data := source.recv(65_536):
                if stalls and is_logged_in:
                    self._over.wait()
                sink.sendall(data)
                is_logged_in = is_logged_in or data.endswith(READY_FOR_QUERY)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


READY_FOR_QUERY = b"Z\0\0\0\5I"


@pytest.mark.parametrize("kind", [PSYCOPG, PSYCOPG_ASYNC, ASYNCPG], ids=str)
def test_p7_after_a_stall_behind_the_login_each_question_is_answered(kind: Kind, place: Place) -> None:
    """What SQLAlchemy asks on the first connection of all waits in our thread, which has a place in the pool."""
    own = SQLWorld(kind, place("postgresql"), timeout=10.0)
    own.sessions.create_tables()
    own.close()
    with StallsAfterLogin(place("postgresql")) as proxy:
        world = SQLWorld(kind, proxy.url, timeout=TIMEOUT, pool_size=2)
        try:
            proxy.fall_silent()
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(BackendUnavailable):
                    world.sessions.find(Credential(b"nobody's"))
                assert time.monotonic() - began < 1.8 * TIMEOUT
            proxy.speak()
            assert world.sessions.find(Credential(b"nobody's")) is None
        finally:
            world.close()
