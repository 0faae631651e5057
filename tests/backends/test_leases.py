"""A verb that is called directly waits for the lease, from its commit on, and says so if it cannot know how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Thread
from time import monotonic
from typing import Any, Final

import anyio
import pytest
from sqlalchemy import text

from sessionward import BackendUnavailable, OutcomeUnknown, deadline
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.lease import WAITED
from sessionward.process import clock
from sessionward.testing.bridge import PATIENCE, Bridged
from tests.backends.conftest import Place
from tests.contract.sql_world import KINDS, PSYCOPG, PSYCOPG_ASYNC, PYMYSQL, SQLITE, SQLITE_ASYNC, Kind, SQLWorld

LEASE: Final = 0.3
HELD: Final = 0.4
"""Seconds for which another transaction holds the user's lock: longer than the lease."""


@pytest.fixture(params=[SQLITE, SQLITE_ASYNC, PSYCOPG, PSYCOPG_ASYNC], ids=str)
def world(request: pytest.FixtureRequest, own_place: Place) -> Iterator[SQLWorld]:
    world = SQLWorld(request.param, own_place(request.param.database), timeout=10.0)
    world.sessions.create_tables()
    yield world
    world.close()


class WaitsFromTheCall(SQLBackend):
    """Counts the wait from the moment at which the verb was called."""

    def revoke_all(self, user_id: str, /) -> Any:
        called_at = clock()
        count = SQLBackend.revoke_all(self.within(10.0), user_id)
        deadline.sleep_until(called_at + WAITED * self.lease_wait())
        return count


class AsyncWaitsFromTheCall(AsyncSQLBackend):
    """Does the same, async."""

    async def revoke_all(self, user_id: str, /) -> Any:
        called_at = clock()
        count = await AsyncSQLBackend.revoke_all(self.within(10.0), user_id)
        await deadline.sleep_until_async(called_at + WAITED * await self.lease_wait())
        return count


def seconds_after_the_commit(world: SQLWorld, verb: Callable[[], Any]) -> float:
    """Returns how long after the lock was free, so before the commit, the verb returned."""
    returned: list[float] = []

    def call() -> None:
        verb()
        returned.append(monotonic())

    thread = Thread(target=call)
    with world.hold("ann"):
        thread.start()
        time.sleep(HELD)  # the call has begun to wait for the lock, or begins later, which only makes the answer later
        free_at = monotonic()
    thread.join(PATIENCE)
    return returned[0] - free_at


def test_p1_the_wait_is_counted_from_the_commit(world: SQLWorld) -> None:
    world.sign_in()
    world.sessions.set_lease(LEASE)
    assert seconds_after_the_commit(world, lambda: world.sessions.revoke_all("ann")) >= WAITED * LEASE


def test_canary_a_wait_that_is_counted_from_the_call_is_too_short(world: SQLWorld) -> None:
    world.sign_in()
    world.sessions.set_lease(LEASE)
    database = world.safe.url.set(drivername=world.kind.scheme)
    naive: Any = AsyncWaitsFromTheCall(database) if world.kind.is_async else WaitsFromTheCall(database)
    sessions: Any = naive if world._loop is None else Bridged(naive, world._loop)
    assert min(seconds_after_the_commit(world, lambda: sessions.revoke_all("ann")) for _ in range(3)) < WAITED * LEASE
    sessions.close()


def test_a_sleep_that_ends_early_shortens_no_wait(world: SQLWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep, sleep_async = time.sleep, anyio.sleep

    def early(seconds: float) -> None:
        slept.append(seconds)
        sleep(seconds / 2 if seconds > 0.001 else seconds)

    async def early_async(seconds: float) -> None:
        slept.append(seconds)
        await sleep_async(seconds / 2 if seconds > 0.001 else seconds)

    world.sessions.set_lease(0.05)
    monkeypatch.setattr(deadline, "time", type("Time", (), {"sleep": staticmethod(early)}))
    monkeypatch.setattr(deadline, "sleep", early_async)
    began = monotonic()
    world.sessions.revoke_all("ann")
    assert monotonic() - began >= WAITED * 0.05
    assert len(slept) > 2


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.database != "sqlite"], ids=str)
def test_p7_a_lease_that_cannot_be_read_leaves_the_outcome_unknown(kind: Kind, own_place: Place) -> None:
    world = SQLWorld(kind, own_place(kind.database), timeout=0.5)
    world.sessions.create_tables()
    with world.safe.connect() as connection:
        if kind.database == "postgresql":
            connection.execute(text("LOCK TABLE sessionward_state IN ACCESS EXCLUSIVE MODE"))
        else:
            connection.execute(text("LOCK TABLES sessionward_state WRITE"))
        with pytest.raises(OutcomeUnknown):
            world.sessions.lease_wait()
        with pytest.raises(BackendUnavailable) as caught:
            world.sessions.begin_login("ann")
        assert not isinstance(caught.value, OutcomeUnknown)
        connection.execute(text("ROLLBACK" if kind.database == "postgresql" else "UNLOCK TABLES"))
    world.close()


@pytest.mark.parametrize("kind", [PSYCOPG, PYMYSQL], ids=str)
def test_p8_a_lease_that_is_being_set_holds_up_no_user(kind: Kind, own_place: Place) -> None:
    world = SQLWorld(kind, own_place(kind.database), timeout=1.0)
    world.sessions.create_tables()
    client, view = world.sign_in(), world.within(1.0)
    with world.safe.begin() as connection:
        connection.execute(text("UPDATE sessionward_state SET lease = 2"))
        assert view.revoke_others(client.session) == 0
        assert view.check(client.credential).lease == 0.0
        assert view.lease_wait() == 0.0
        with pytest.raises(BackendUnavailable):
            view.set_lease(3.0)
    assert view.lease_wait() == 2.0
    world.close()


def test_a_wait_holds_no_connection(own_place: Place) -> None:
    backend = SQLBackend(own_place("sqlite"), pool_size=1, timeout=10.0)
    backend.create_tables()
    backend.set_lease(2.0)
    waiting = Thread(target=lambda: backend.revoke_all("ann"), daemon=True)
    waiting.start()
    ends = monotonic() + PATIENCE
    while backend.begin_login("ann") == 0:  # answers at once from the only connection, also while the verb waits
        assert monotonic() < ends
    assert backend.begin_login("ann") == 1
    assert waiting.is_alive(), "the answer came only after the wait"
    waiting.join(PATIENCE)
    backend.close()
