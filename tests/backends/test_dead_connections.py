"""Connections that the server has closed meanwhile are replaced, and whoever asks notices nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessionward.testing.bridge import PATIENCE, together
from tests.backends.conftest import Place, others
from tests.contract.sql_world import KINDS, SQLWorld

POOLED = 6


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
