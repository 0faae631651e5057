"""P4, P8: whoever is cancelled, and wherever: begun means finished, and no lock and no connection is left behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from uuid import uuid4

import aiosqlite
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sessionward import BackendUnavailable, Session
from sessionward.backends import Credential
from sessionward.backends.redis import AsyncRedisBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.credential.token import new_token
from tests.support.sessions import new_session
from tests.torture.conftest import Databases
from tests.torture.failpoint import watched
from tests.torture.places import Caller, async_places, sync_place
from tests.torture.redis_keys import is_redis
from tests.torture.stepping import Steps, Victim
from tests.torture.tables import with_driver
from tests.torture.whole import all_or_nothing

CANCELLATIONS: Final = 50
AT_ONCE: Final = 3.0
"""Seconds after which a writer gives up. A lock that is left behind is held for ever."""

PLACES: Final = {
    "SQLite": ("sqlite", "", False),
    "PostgreSQL by psycopg": ("postgresql", "psycopg", False),
    "PostgreSQL by asyncpg": ("postgresql", "asyncpg", False),
    "MariaDB by asyncmy": ("mariadb", "asyncmy", False),
    "Redis": ("redis", "redis", False),
    "Redis Cluster": ("redis cluster", "redis", False),
    "an AsyncEngine of aiosqlite": ("sqlite", "sqlite+aiosqlite", True),
    "an AsyncEngine of asyncpg": ("postgresql", "asyncpg", True),
}


@asynccontextmanager
async def _opened(databases: Databases, place: str) -> AsyncIterator[AsyncSQLBackend | AsyncRedisBackend]:
    database, driver, is_engine = PLACES[place]
    url = databases[database]
    if is_redis(url):
        in_redis: AsyncRedisBackend = async_places(databases, database)[0].backend(timeout=AT_ONCE)
        try:
            yield in_redis
        finally:
            await in_redis.close()
        return
    engine: AsyncEngine | None = None
    if is_engine:
        named = url.replace("sqlite://", "sqlite+aiosqlite://") if database == "sqlite" else with_driver(url, driver)
        engine = create_async_engine(named, pool_size=2, max_overflow=0)
    backend = AsyncSQLBackend(engine or with_driver(url, driver), pool_size=2, timeout=AT_ONCE)
    try:
        yield backend
    finally:
        await backend.close()
        if engine is not None:
            await engine.dispose()


def _question(backend: AsyncSQLBackend | AsyncRedisBackend, verb: str, own: Session, token: str) -> Awaitable[object]:
    if verb == "revoke_others":
        return backend.revoke_others(own)
    return backend.login(new_session(own.user_id, token, replaces=own, lifetime=60.0, methods=("password",)))


async def _cancelled(asking: Awaitable[object], steps: Steps) -> bool:
    with steps.counted():
        try:
            await asyncio.ensure_future(asking)
        except asyncio.CancelledError:
            return True
    return False


# Over an Engine of the user's, all tasks are not cancelled: SQLAlchemy itself loses a connection whose way back is cancelled.
CASES: Final = [(place, victim) for place, (*_, lent) in PLACES.items() for victim in Victim if victim is Victim.CALLER or not lent]


@pytest.mark.parametrize("verb", ["revoke_others", "login"])
@pytest.mark.parametrize(("place", "victim"), CASES, ids=[f"{place}, cancelled is {victim.value}" for place, victim in CASES])
def test_p4_p8_cancelled_at_any_await_it_is_done_or_not_and_the_next_writer_is_let_in(
    databases: Databases, place: str, verb: str, victim: Victim
) -> None:
    below = sync_place(databases, PLACES[place][0])
    ground, judge = below.ground(), below.open(timeout=AT_ONCE)
    said: list[str] = []

    async def scenario() -> None:
        async with _opened(databases, place) as backend:
            at = cancelled = rounds = 0
            while rounds == 0 or cancelled < CANCELLATIONS:
                at += 1
                user, token = f"cancelled {uuid4()}", new_token()
                made = list(ground.stock({user: [new_token() for _ in range(4)]}).values())
                said.clear()
                begun: list[bool] = []
                steps = Steps(at, victim, partial(_note, begun, said))
                with watched(before=said.append):
                    was_cancelled = await _cancelled(_question(backend, verb, made[0], token), steps)
                    await asyncio.to_thread(judge.revoke, Session(id=uuid4(), user_id=user))  # the next writer
                    await _settled()
                done = all_or_nothing(judge, ground, verb, made, token)
                if victim is Victim.CALLER and begun == [True]:
                    assert done, f"begun and not finished when cancelled at await {at}"
                cancelled += was_cancelled
                if not begun:
                    assert done
                    at, rounds = 0, rounds + 1
            found = await asyncio.gather(*(backend.find(Credential(b"nobody")) for _ in range(6)))
            assert found == [None] * 6

    asyncio.run(scenario())
    judge.close()
    ground.close()
    gc.collect()  # what was dropped without being closed is reported now, and a warning is an error


def _note(begun: list[bool], said: list[str]) -> None:
    """On Redis nothing is begun that could be left unfinished: one script does it, before or after the cancellation."""
    begun.append(any("BEGIN" in script or "START TRANSACTION" in script for script in said))


async def _settled() -> None:
    """All work that goes on without its caller comes to an end."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:
        _, unfinished = await asyncio.wait(rest, timeout=2 * AT_ONCE)
        assert not unfinished


@pytest.mark.parametrize("place", PLACES)
def test_a_check_cancelled_at_any_await_costs_the_pool_nothing(databases: Databases, place: str) -> None:
    nobody = Credential(b"nobody")

    async def scenario() -> None:
        async with _opened(databases, place) as backend:
            at = cancelled = rounds = 0
            while rounds == 0 or cancelled < CANCELLATIONS:
                at += 1
                steps = Steps(at, Victim.CALLER)
                cancelled += await _cancelled(backend.find(nobody), steps)
                if steps.taken < at:
                    at, rounds = 0, rounds + 1
            found = await asyncio.gather(*(backend.find(nobody) for _ in range(6)))
            assert found == [None] * 6

    asyncio.run(scenario())
    gc.collect()


async def _without_discarding(pool: list[aiosqlite.Connection], user: str) -> None:
    """Our statements, on a connection that goes back as it is."""
    connection = pool.pop()
    try:
        await connection.execute("BEGIN IMMEDIATE")
        await connection.execute("UPDATE sessionward_users SET generation = generation + 1 WHERE user_id = ?", (user,))
        await connection.execute("COMMIT")
    finally:
        pool.append(connection)


def test_canary_a_connection_that_is_not_discarded_keeps_the_lock(databases: Databases) -> None:
    path = databases["sqlite"].removeprefix("sqlite:///")
    judge = Caller(SQLBackend(databases["sqlite"], timeout=0.1))
    kept: list[int] = []

    async def scenario() -> None:
        at, was_cancelled = 0, True
        while was_cancelled:
            at += 1
            async with aiosqlite.connect(path, isolation_level=None) as connection:
                was_cancelled = await _cancelled(_without_discarding([connection], "ann"), Steps(at, Victim.CALLER))
                try:
                    await asyncio.to_thread(judge.revoke_all, "ann")
                except BackendUnavailable:
                    kept.append(at)

    asyncio.run(scenario())
    judge.close()
    assert len(kept) >= 2
