"""How the drivers wait for a lease and for another request's answer: without a thread, a connection or the time of the request."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from time import monotonic, sleep
from typing import Any, ClassVar, Final

import pytest

from sessionward import BackendUnavailable, Session
from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.drive import AsyncDriver, SyncDriver, async_driver
from sessionward.lease import Leases
from sessionward.process import clock
from sessionward.session.pause import Join, Question, Wait
from sessionward.session.session import Checked
from sessionward.session.step import Flow
from sessionward.session.steps import Find
from tests.doors.sides import ASGIHouse, Browser, House, WebTestHouse, town
from tests.support.core import SESSION, TOKEN

ONE: Final = Credential(TOKEN)
PATIENT: Final = 30.0
"""Seconds. Only a test that hangs ever waits so long."""
LEASE: Final = 0.2
"""Seconds that a flow waits here."""
HASTY: Final = 0.1
"""A ``backend_timeout`` that is over long before the wait."""
LIVE: Final = Checked(SESSION, user_id="ada", remaining=1e6, lease=5.0, wait=5.0)


class Sync:
    """A sync backend with one connection. Answers by calling ``asked``."""

    blocking: ClassVar[bool] = True
    pool_size: ClassVar[int] = 1

    def __init__(self, asked: Callable[[], Any] = lambda: SESSION) -> None:
        self._asked = asked
        self.count = 0

    def find(self, credential: Credential, /) -> Session | None:
        self.count += 1
        found: Session | None = self._asked()
        return found

    def check(self, credential: Credential, /) -> Checked:
        return LIVE._replace(session=self.find(credential))

    def revoke_others(self, session: Session, /) -> int:
        raise NotImplementedError


class Asynchronous(Sync):
    """The async twin of it."""

    async def find(self, credential: Credential, /) -> Session | None:  # type: ignore[override]
        self.count += 1
        found = self._asked()
        if isinstance(found, Awaitable):
            await found
            return SESSION
        return SESSION

    async def check(self, credential: Credential, /) -> Checked:  # type: ignore[override]
        return LIVE._replace(session=await self.find(credential))


KINDS: Final = {"a sync backend": Sync, "an async backend": Asynchronous}
under_asgi = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def driver_of(backend: Sync, timeout: float = PATIENT) -> AsyncDriver:
    return async_driver(backend, timeout, is_async=isinstance(backend, Asynchronous), blocks=True)


def waits(until: float) -> Flow[tuple[float, Session | None]]:
    """Asks, waits, and asks again: when the wait was over, and the second answer."""
    yield from Find(ONE)
    yield from Wait(until)
    now = clock()
    return now, (yield from Find(ONE))


# --- for a lease ------------------------------------------------------------------------------------------------------


@under_asgi
def test_under_asgi_a_wait_holds_no_thread_and_no_connection(kind: type[Sync]) -> None:
    backend = kind()
    most = 0

    async def main() -> list[tuple[float, Session | None]]:
        nonlocal most
        driver = driver_of(backend)
        await driver(iter(Find(ONE)))  # the only thread that there may be
        before, until = threading.active_count(), clock() + LEASE
        tasks = [asyncio.create_task(driver(waits(until))) for _ in range(200)]
        while backend.count < 201:
            await asyncio.sleep(0.001)
        asked = 0
        while not asked or clock() < until - LEASE / 4:
            assert await driver(iter(Find(ONE))) is SESSION  # the one connection is free
            most = max(most, threading.active_count() - before)
            asked += 1
        return await asyncio.gather(*tasks)

    started = clock()
    ended = asyncio.run(main())
    assert most == 0
    assert all(now >= started + LEASE and session is SESSION for now, session in ended)


@under_asgi
def test_under_asgi_a_wait_is_not_part_of_the_timeout(kind: type[Sync]) -> None:
    backend = kind()
    until = clock() + 3 * HASTY
    now, session = asyncio.run(driver_of(backend, HASTY)(waits(until)))
    assert now >= until
    assert (session, backend.count) == (SESSION, 2)


def test_under_wsgi_a_wait_is_not_part_of_the_timeout() -> None:
    backend, until = Sync(), clock() + 3 * HASTY
    now, session = SyncDriver(backend, HASTY, blocks=True)(waits(until))
    assert now >= until
    assert (session, backend.count) == (SESSION, 2)


@under_asgi
def test_the_timeout_goes_on_after_a_wait(kind: type[Sync]) -> None:
    def slow() -> Flow[None]:
        yield from Wait(clock() + HASTY)
        while True:
            yield from Find(ONE)

    backend = kind(lambda: sleep(HASTY / 4)) if kind is Sync else kind(lambda: asyncio.sleep(HASTY / 4))
    started = monotonic()
    with pytest.raises(BackendUnavailable):
        asyncio.run(driver_of(backend, HASTY)(slow()))
    assert monotonic() - started >= 2 * HASTY
    assert 1 <= backend.count <= 5


def test_a_sleep_that_ends_early_is_continued_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        sleep(min(seconds, LEASE / 8))

    async def nap_async(seconds: float) -> None:
        naps.append(seconds)
        await asyncio.sleep(min(seconds, LEASE / 8))

    monkeypatch.setattr("sessionward.deadline.time.sleep", nap)
    monkeypatch.setattr("sessionward.deadline.sleep", nap_async)
    until = clock() + LEASE
    assert SyncDriver(Sync(), PATIENT, blocks=True)(waits(until))[0] >= until
    assert len(naps) > 4
    for kind in KINDS.values():
        naps.clear()
        until = clock() + LEASE
        assert asyncio.run(driver_of(kind())(waits(until)))[0] >= until
        assert len(naps) > 4


@under_asgi
def test_a_request_that_is_cancelled_while_it_waits_leaves_its_place(kind: type[Sync]) -> None:
    backend = kind(lambda: None)
    worker = Leases(5.0, waiters=1, clock=clock)

    async def main() -> None:
        driver = driver_of(backend)

        def refused() -> Flow[Session | None]:
            return worker._may_say("ada", clock() + PATIENT)

        first = asyncio.create_task(driver(refused()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(BackendUnavailable):
            await driver(refused())
        first.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:  # and with it its traceback
            await first
        second = asyncio.create_task(driver(refused()))
        await asyncio.sleep(0.01)
        assert not second.done()
        second.cancel()
        await asyncio.wait([second])
        del kept

    asyncio.run(main())


def test_a_request_that_is_cancelled_in_its_thread_leaves_its_place_when_the_thread_is_through() -> None:
    answer, worker = threading.Event(), Leases(5.0, waiters=1, clock=clock)

    class Ended(Sync):
        def check(self, credential: Credential, /) -> Checked:
            self.find(credential)
            return Checked(None, has_ended=True, user_id="ada", wait=5.0)

    backend = Ended(lambda: answer.wait(PATIENT))

    async def main() -> None:
        driver = driver_of(backend)
        first = asyncio.create_task(driver(worker.find(ONE)))
        while not backend.count:
            await asyncio.sleep(0.001)
        first.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:
            await first
        answer.set()
        await driver(iter(Find(ONE)))  # after it, in the one thread
        second = asyncio.create_task(driver(worker.find(ONE)))
        await asyncio.sleep(0.01)
        assert not second.done(), "it waits, and was not refused"
        second.cancel()
        await asyncio.wait([second])
        del kept

    asyncio.run(main())


# --- for the answer to another request's question ---------------------------------------------------------------------


@under_asgi
def test_those_who_join_a_question_hold_no_thread(kind: type[Sync]) -> None:
    answer = threading.Event()
    backend = kind(lambda: answer.wait(PATIENT) and SESSION) if kind is Sync else kind(lambda: _is_set(answer))
    worker = Leases(5.0, waiters=1000, clock=clock)

    async def main() -> None:
        driver = driver_of(backend)
        tasks = [asyncio.create_task(driver(worker.find(ONE))) for _ in range(100)]
        while not backend.count:
            await asyncio.sleep(0.001)
        before = threading.active_count()
        await asyncio.sleep(0.02)
        assert threading.active_count() <= before  # one of another test may end meanwhile
        answer.set()
        assert await asyncio.gather(*tasks) == [SESSION] * 100

    asyncio.run(main())
    assert backend.count == 1


async def _is_set(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.001)


def test_threads_join_a_question_and_wait_at_most_their_own_timeout() -> None:
    answer, asked = threading.Event(), threading.Event()
    backend = Sync(lambda: asked.set() or (answer.wait(PATIENT) and SESSION))  # type: ignore[func-returns-value]
    worker = Leases(5.0, waiters=1000, clock=clock)
    found: list[Session | None] = []
    threads = [threading.Thread(target=lambda: found.append(SyncDriver(backend, PATIENT, blocks=True)(worker.find(ONE)))) for _ in range(8)]
    threads[0].start()
    assert asked.wait(PATIENT)
    for thread in threads[1:]:
        thread.start()
    with pytest.raises(BackendUnavailable, match=r"within 0\.1 s"):
        SyncDriver(backend, HASTY, blocks=True)(worker.find(ONE))
    with pytest.raises(BackendUnavailable, match=r"within 0\.1 s"):
        asyncio.run(driver_of(backend, HASTY)(worker.find(ONE)))
    answer.set()
    for thread in threads:
        thread.join(PATIENT)
    assert found == [SESSION] * 8
    assert backend.count == 1


def test_a_request_that_is_cancelled_before_a_thread_is_free_lets_those_go_on_who_joined_it() -> None:
    """Even while something keeps its traceback, and with that its flow."""
    answer = threading.Event()
    backend = Sync(lambda: answer.wait(PATIENT) and SESSION)
    worker = Leases(5.0, waiters=1000, clock=clock)

    async def main() -> None:
        driver = driver_of(backend)
        busy = asyncio.create_task(driver(iter(Find(ONE))))  # in the one thread
        while not backend.count:
            await asyncio.sleep(0.001)
        asker = asyncio.create_task(driver(worker.find(ONE)))
        await asyncio.sleep(0.01)
        joined = asyncio.create_task(driver(worker.find(ONE)))
        await asyncio.sleep(0.01)
        asker.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:
            await asker
        answer.set()
        assert await asyncio.wait_for(joined, PATIENT / 2) is SESSION
        assert await busy is SESSION
        del kept

    asyncio.run(main())


def test_an_interrupted_thread_lets_those_go_on_who_joined_it() -> None:
    class Interrupted(BaseException):
        pass

    def interrupt() -> Any:
        raise Interrupted

    worker = Leases(5.0, waiters=1000, clock=clock)
    flow = worker.find(ONE)
    seen: list[Question] = []

    def join_and_interrupt() -> Any:
        step = worker.find(ONE).send(None)
        assert isinstance(step, Join)
        seen.append(step.question)
        interrupt()

    with pytest.raises(Interrupted) as kept:
        SyncDriver(Sync(join_and_interrupt), PATIENT, blocks=True)(flow)
    assert seen[0].is_over
    assert seen[0].answer() is None
    del kept


def test_the_loop_of_a_request_that_joined_may_be_closed_when_the_answer_comes() -> None:
    question = Question(clock())
    over: list[str] = []
    question.when_over(lambda: over.append("another"))

    async def given_up() -> None:
        task = asyncio.create_task(driver_of(Asynchronous())(iter(Join(question))))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(given_up())
    gc.collect()
    question.end()
    assert over == ["another"]


# --- a backend that never waits ---------------------------------------------------------------------------------------


class Immediate(MemoryBackend):
    """Keeps a lease, although no worker needs to trust anything: it answers at once."""

    blocking: ClassVar[bool] = False

    def check(self, credential: Credential, /) -> Checked:
        return LIVE._replace(session=self.find(credential))

    def lease_wait(self) -> float:
        return PATIENT

    def raise_lease(self, seconds: float, /) -> None: ...

    def set_lease(self, seconds: float, /) -> None: ...


@pytest.mark.parametrize("side", [ASGIHouse, WebTestHouse], ids=["asgi", "wsgi"])
def test_a_backend_that_never_waits_is_asked_every_time_and_waits_for_no_lease(side: type[House]) -> None:
    house = side(town, Immediate(), lease=5.0)
    own, other = Browser(house), Browser(house)
    for browser in (own, other):
        browser.sign_in("ann")
        assert browser.me() == "ann"
    began = monotonic()
    assert own.press().json() == {"count": 1}
    assert [own.me(), other.me()] == ["ann", "nobody"]
    assert monotonic() - began < PATIENT
    house.close()
