"""Rows of sessions go when they are old enough, a batch at a time; users and live sessions stay."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from sessionward import BackendUnavailable, StaleLogin, UsageError
from sessionward.backends import NewSession
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend, queries
from sessionward.backends.sql.executor import Executor, Query
from tests.backends.conftest import Place
from tests.contract.sql_world import ASYNCMY, ASYNCPG, PSYCOPG, PYMYSQL, SESSIONS, SQLITE, SQLITE_ASYNC, SQLITE_ENGINE, SQLWorld

DAY = 86_400.0


@pytest.fixture(params=[SQLITE, SQLITE_ASYNC, SQLITE_ENGINE, PSYCOPG, ASYNCPG, PYMYSQL, ASYNCMY], ids=str)
def world(request: pytest.FixtureRequest, place: Place) -> Iterator[SQLWorld]:
    world = SQLWorld(request.param, place(request.param.database), timeout=10.0)
    world.sessions.create_tables()
    world.clean()
    yield world
    world.clean()
    world.close()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each batch has deleted, the last and empty one included. Batches are of five rows."""
    monkeypatch.setattr(queries, "BATCH", 5)
    counts: list[int] = []
    purge = queries.purge

    def counted(*args: Any, **options: Any) -> Query[tuple[int, UUID | None]]:
        query = purge(*args, **options)

        def run(executor: Executor) -> tuple[int, UUID | None]:
            count, last = query.run(executor)
            counts.append(count)
            return count, last

        return Query(run, query.writes)

    monkeypatch.setattr(queries, "purge", counted)
    return counts


def add_ended(world: SQLWorld, number: int, *, user: str = "ann", days_ago: float = 40.0) -> None:
    """Rows of sessions that ended so long ago."""
    ended = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days_ago)
    if world.kind.database == "postgresql":
        ended = ended.replace(tzinfo=UTC)
    began = ended - timedelta(days=1)
    same = {
        "user_id": world.key(user),
        "issued_at": began,
        "authenticated_at": began,
        "last_seen_at": began,
        "expires_at": began + timedelta(days=14),
        "ended_at": ended,
        "reason": "others",
    }
    names = [uuid4() for _ in range(number)]
    rows = [same | {"id": own.hex if world.kind.database == "mariadb" else own, "digest": own.bytes * 2} for own in names]
    with world.safe.begin() as connection:
        if world.kind.database == "sqlite":
            connection.exec_driver_sql("BEGIN")
        connection.execute(insert(SESSIONS), rows)


def test_what_ended_or_expired_long_enough_ago_goes_and_nothing_else(world: SQLWorld) -> None:
    ended, expired, out, replaced = world.sign_in("ann"), world.sign_in("bob", lasts=60.0), world.sign_in("eve"), world.sign_in("dan")
    world.sessions.revoke_all("ann")
    world.sessions.revoke(out.session.user_id, out.session.id)
    world.login("dan", replaces=replaced)
    world.pass_time(2 * DAY)
    late, lately = world.sign_in("ann"), world.sign_in("bob", lasts=60.0)
    live = world.sign_in("eve", lasts=30 * DAY)
    world.sessions.revoke_all("ann")
    world.pass_time(0.5 * DAY)
    users, _ = world.everything()
    assert world.sessions.purge(DAY) == 5  # dan's new session has expired as well
    assert sorted(row["id"] for row in world.everything()[1]) == sorted(world.id(client.session) for client in (late, lately, live))
    assert world.everything()[0] == users
    assert world.lives(live, ended, expired) == [True, False, False]


@pytest.mark.parametrize("older_than", [DAY, timedelta(days=1)], ids=["seconds", "a timedelta"])
def test_the_age_is_seconds_or_a_timedelta(world: SQLWorld, older_than: Any) -> None:
    add_ended(world, 1, days_ago=2.0)
    add_ended(world, 1, days_ago=0.5)
    assert [world.sessions.purge(older_than), world.sessions.purge(older_than), world.sessions.purge(0.0)] == [1, 0, 1]


AGES = [-0.001, -3600.0, math.nan, math.inf, -math.inf, 1e11, timedelta(seconds=-1), timedelta.max, "1d", True, None]


@pytest.mark.parametrize("older_than", AGES, ids=repr)
def test_an_age_that_is_none_is_told_and_deletes_no_live_session(older_than: Any) -> None:
    """``purge(begin - end)`` with both mixed up would sign everybody out."""
    memory = MemoryBackend()
    session = memory.login(NewSession(user_id="ann", digest=bytes(32), lifetime=60.0))
    for backend in memory, SQLBackend("sqlite:///nowhere/x.db"), RedisBackend("redis://127.0.0.1:1"):
        with pytest.raises(UsageError, match="older_than must be"):
            backend.purge(older_than)
    for waits in AsyncSQLBackend("sqlite+aiosqlite:///nowhere/x.db"), AsyncRedisBackend("redis://127.0.0.1:1"):
        with pytest.raises(UsageError, match="older_than must be"):
            asyncio.run(waits.purge(older_than))
    assert [each.id for each in memory.list("ann")] == [session.id]


def test_a_batch_looks_at_few_rows_though_none_is_old(world: SQLWorld, batches: list[int]) -> None:
    """A statement that looked for old rows read through all others: it was never done within the timeout."""
    clients = [world.sign_in(f"user {number}") for number in range(12)]
    assert world.sessions.purge(DAY) == 0
    assert batches == [0, 0, 0], "two of five rows, and the rest"
    assert all(world.lives(*clients))


def test_a_purge_goes_on_in_batches_until_nothing_is_left(world: SQLWorld, batches: list[int]) -> None:
    add_ended(world, 23)
    live = world.sign_in()
    assert world.sessions.purge(DAY) == 23
    assert max(batches) == 5
    assert sum(batches) == 23
    assert len(batches) <= 6
    assert world.lives(live) == [True]


def test_a_purge_of_nothing_is_one_batch(world: SQLWorld, batches: list[int]) -> None:
    world.sign_in()
    assert world.sessions.purge(DAY) == 0
    assert batches == [0]


def test_a_purge_that_was_stopped_has_lost_nothing_and_is_completed_by_the_next(
    world: SQLWorld, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_ended(world, 23)
    counted = queries.purge

    def stops(*args: Any, **options: Any) -> Query[tuple[int, UUID | None]]:
        query = counted(*args, **options)

        def run(executor: Executor) -> tuple[int, UUID | None]:
            if len(batches) == 2:
                raise RuntimeError("the process ends here")
            return query.run(executor)

        return Query(run, query.writes)

    with monkeypatch.context() as patch:
        patch.setattr(queries, "purge", stops)
        with pytest.raises(BackendUnavailable):
            world.sessions.purge(DAY)
    assert len(world.rows()) == 13
    assert world.sessions.purge(DAY) == 13


def test_purge_forgets_no_generation(world: SQLWorld) -> None:
    world.sign_in()
    world.sessions.revoke_all("ann")
    world.pass_time(DAY)
    assert world.sessions.purge(0.0) == 1
    assert world.sessions.begin_login("ann") == 1
    with pytest.raises(StaleLogin):
        world.login(generation=0)


def test_ten_thousand_ended_rows_are_neither_counted_nor_kept(world: SQLWorld) -> None:
    add_ended(world, 10_000)
    own, other = world.sign_in(), world.sign_in()
    assert world.sessions.revoke_others(own.session) == 1
    assert len(world.sessions.list("ann")) == 1
    assert world.sessions.purge(30 * DAY) == 10_000
    assert world.lives(own, other) == [True, False]
    assert len(world.rows()) == 2
