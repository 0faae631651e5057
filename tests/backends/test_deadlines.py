"""What waits is given up within the timeout, and leaves nothing locked (P7, P8)."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select

from sessionward import BackendUnavailable, OutcomeUnknown, Session
from sessionward.backends.sql import SQLBackend, async_pool
from sessionward.credential.token import Credential, new_token
from sessionward.testing import Client
from sessionward.testing.bridge import PATIENCE, together
from tests.backends.conftest import Place
from tests.contract.sql_world import KINDS, SESSIONS, Kind, SQLWorld

DEADLINE = 0.3
SLACK = 1.5
"""Seconds that a busy machine may add. What is not bounded at all takes 5 s and more."""


@contextmanager
def opened(place: Place, kind: Kind, **options: Any) -> Iterator[SQLWorld]:
    world = SQLWorld(kind, place(kind.database), **{"timeout": DEADLINE, **options})
    try:
        world.sessions.create_tables()
        world.clean()
        yield world
    finally:
        _until(lambda: "sessionward connect" not in {thread.name for thread in threading.enumerate()})  # they give up later
        world.close()


@pytest.fixture(params=KINDS, ids=str)
def world(request: pytest.FixtureRequest, place: Place) -> Iterator[SQLWorld]:
    with opened(place, request.param) as world:
        yield world


def assert_given_up(*calls: Callable[[], Any]) -> None:
    """All of them, asked at once."""
    began = time.monotonic()
    answers = together(*calls)
    assert time.monotonic() - began < DEADLINE + SLACK
    assert all(isinstance(answer, BackendUnavailable) and not isinstance(answer, OutcomeUnknown) for answer in answers), answers


def test_p7_a_call_that_waits_for_a_lock_is_given_up_and_leaves_nothing(world: SQLWorld) -> None:
    own, other = world.sign_in(), world.sign_in()
    before = world.everything()
    with world.hold():
        assert_given_up(
            lambda: world.sessions.revoke_others(own.session),
            lambda: world.sessions.revoke_all("ann"),
            lambda: world.sessions.revoke(own.session.user_id, own.session.id),
            lambda: world.login(generation=0, replaces=own),
        )
    _until_free(world)
    assert world.everything() == before
    assert world.sessions.revoke_others(own.session) == 1
    assert world.lives(own, other) == [True, False]


def test_p7_reads_wait_for_no_lock(world: SQLWorld) -> None:
    own = world.sign_in()
    with world.hold():
        assert world.lives(own) == [True]
        assert world.sessions.begin_login("ann") == 0
        assert len(world.sessions.list("ann")) == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.database != "sqlite"], ids=str)
def test_p8_the_lock_of_an_abandoned_call_does_not_outlive_its_deadline(place: Place, kind: Kind) -> None:
    with opened(place, kind) as world:
        own, other = world.sign_in(), world.sign_in()
        with world.safe.connect() as connection, connection.begin():
            connection.execute(select(SESSIONS).where(SESSIONS.c.id == world.id(other.session)).with_for_update())
            assert_given_up(lambda: world.sessions.revoke_others(own.session))
            _until_free(world)
        assert world.sessions.revoke_others(own.session) == 1


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_p7_when_all_connections_are_in_use_a_call_is_given_up(place: Place, kind: Kind) -> None:
    options: dict[str, Any] = {"engine_options": {"pool_size": 1, "max_overflow": 0}} if kind.over_engine else {"pool_size": 1}
    with opened(place, kind, **options) as world:
        own, bob = world.sign_in("ann"), world.sign_in("bob")
        with world.hold("ann"):
            waits = threading.Thread(target=_swallow, args=(lambda: _within(world, 5 * DEADLINE).revoke_others(own.session),))
            waits.start()
            _until(lambda: _in_use(world, bob))
            assert_given_up(lambda: world.sessions.revoke_all("bob"), lambda: world.sessions.find(bob.credential))
        waits.join(PATIENCE)
        assert world.lives(own, bob) == [True, True]


def test_p7_more_callers_than_connections_are_all_served(place: Place) -> None:
    with opened(place, KINDS[0], pool_size=2, timeout=10.0) as world:
        clients = [world.sign_in(f"user {number}") for number in range(12)]
        answers = together(*(partial(world.sessions.revoke_others, own.session) for own in clients))
        assert answers == [0] * 12


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.database != "sqlite"], ids=str)
def test_p7_a_server_that_takes_connections_and_says_nothing_is_given_up(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        scheme = "postgresql" if kind.database == "postgresql" else "mysql"
        world = SQLWorld(kind, f"{scheme}://nobody@127.0.0.1:{port}/nothing", timeout=DEADLINE)
        try:
            assert_given_up(lambda: world.sessions.find(Credential(new_token().encode())), lambda: world.sessions.revoke_all("ann"))
        finally:
            silent.close()  # which ends what still waits there
            world.close()


@pytest.mark.parametrize("timeout", [0.25, timedelta(milliseconds=250)], ids=["seconds", "a timedelta"])
def test_the_deadline_is_seconds_or_a_timedelta(place: Place, timeout: float | timedelta) -> None:
    with opened(place, KINDS[0], timeout=timeout) as world:
        own = world.sign_in()
        with world.hold(), pytest.raises(BackendUnavailable, match=r"within 0\.25 s"):
            world.sessions.revoke_others(own.session)


def test_within_gives_the_same_backend_another_deadline(place: Place) -> None:
    with opened(place, KINDS[0], timeout=PATIENCE) as world:
        own = world.sign_in()
        with world.hold():
            assert_given_up(lambda: world.backend.within(DEADLINE).revoke_others(own.session))
        assert isinstance(world.backend, SQLBackend)
        assert world.backend.revoke_others(own.session) == 0


def _until_free(world: SQLWorld) -> None:
    """A server notices a moment later that nobody waits for its answer any more."""
    ends = time.monotonic() + SLACK
    while world.is_locked():
        assert time.monotonic() < ends, "the user is locked by a call that was given up"
        time.sleep(0.02)


def _within(world: SQLWorld, timeout: float) -> Any:
    patient = world.backend.within(timeout)
    return patient if not world.kind.is_async else _Run(world, patient)


class _Run:
    def __init__(self, world: SQLWorld, backend: Any) -> None:
        self._world = world
        self._backend = backend

    def revoke_others(self, session: Session) -> Any:
        return self._world.run(self._backend.revoke_others(session))


def _in_use(world: SQLWorld, bob: Client) -> bool:
    """Whether nothing is left for a question that takes no lock."""
    try:
        _found = world.sessions.find(bob.credential)
    except BackendUnavailable:
        return True
    return False


def _swallow(call: Callable[[], Any]) -> None:
    with suppress(BackendUnavailable):
        call()


def _until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


# --- a deadline and a cancellation of somebody else's -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "is_ours"),
    [(["deadline"], True), (["server", "deadline"], False), (["deadline", "server"], False), (["server"], False)],
    ids=lambda value: " and ".join(value) if isinstance(value, list) else None,
)
def test_p7_a_cancellation_in_the_same_turn_of_the_loop_as_the_deadline_is_kept(turn: list[str], is_ours: bool) -> None:
    """Else a task that its server has cancelled would go on."""
    permits = asyncio.Semaphore(0)  # no connection is free
    raised: list[BaseException] = []

    async def ask() -> None:
        opened = async_pool._Opened(None, permits, None, None)  # type: ignore[arg-type]
        try:
            await async_pool._ask(opened, lambda _: None, PATIENCE)
        except BaseException as failure:
            raised.append(failure)
            raise

    async def story() -> None:
        with patch.object(async_pool, "_LoopDeadline", Deadline):
            task = asyncio.create_task(ask())
            await asyncio.sleep(0)
            for who in turn:
                if who == "server":
                    task.cancel()
                else:
                    made[0]._expire()
            await asyncio.wait({task})
        assert task.cancelled() is not is_ours
        assert isinstance(raised[0], BackendUnavailable if is_ours else asyncio.CancelledError)

    made: list[async_pool._LoopDeadline] = []

    class Deadline(async_pool._LoopDeadline):
        def __init__(self, timeout: float) -> None:
            super().__init__(timeout)
            made.append(self)

    asyncio.run(story())
