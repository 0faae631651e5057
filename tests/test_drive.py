"""Flows carried to their ends by every driver: what arrives where, what is logged, and how long anybody waits."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest
from anyio import to_thread

from sessionward import (
    ASGIMiddleware,
    BackendUnavailable,
    OutcomeUnknown,
    Session,
    SessionRevoked,
    SessionwardError,
    StaleLogin,
    TooManySessions,
    UsageError,
    deadline,
    drive,
)
from sessionward.backends import Credential, RateLimited, SignInTooOld
from sessionward.backends.memory import MemoryBackend
from sessionward.drive import THREADS, AsyncDriver, SyncDriver, async_driver
from sessionward.flow import on_request, revoke_others_endpoint
from sessionward.process import NoThreadFree
from sessionward.session.session import Checked
from sessionward.session.step import Flow, Step
from sessionward.session.steps import (
    Adopt,
    BeginLogin,
    Check,
    Extend,
    Find,
    FindCompanionStatus,
    FindRevoked,
    IsRevokedAppSession,
    Login,
    Note,
    Renewed,
    Revoke,
    RevokeAll,
    RevokeOthers,
)
from tests.support.core import PAIR, SECRET, SESSION, TOKEN, opened, scope_of
from tests.support.sessions import new_session

T = TypeVar("T")
CANARY = "canary-of-a-driver"
OURS = Credential(TOKEN)
PATIENT = 30.0
"""Seconds. Only a test that hangs ever waits so long."""

# --- backends that do as they are told --------------------------------------------------------------------------------

Answer = Callable[[], Any]


class Sync:
    """A sync backend. Answers by calling what it was given, and notes the threads it was called in."""

    blocking: ClassVar[bool] = True

    def __init__(self, find: Answer = lambda: SESSION, end: Answer = lambda: 2) -> None:
        self._find = find
        self._end = end
        self.threads: list[int] = []

    def find(self, credential: Credential, /) -> Session | None:
        self.threads.append(threading.get_ident())
        found: Session | None = self._find()
        return found

    def revoke_others(self, session: Session, /) -> int:
        self.threads.append(threading.get_ident())
        count: int = self._end()
        return count


class Asynchronous:
    """The async twin of :class:`Sync`; awaits what it was given where that can be awaited."""

    def __init__(self, find: Answer = lambda: SESSION, end: Answer = lambda: 2) -> None:
        self._find = find
        self._end = end
        self.threads: list[int] = []

    async def find(self, credential: Credential, /) -> Session | None:
        found: Session | None = await self._answer(self._find)
        return found

    async def revoke_others(self, session: Session, /) -> int:
        count: int = await self._answer(self._end)
        return count

    async def _answer(self, answer: Answer) -> Any:
        self.threads.append(threading.get_ident())
        await asyncio.sleep(0)
        given = answer()
        return await given if isinstance(given, Awaitable) else given


class Silent(Asynchronous):
    """Never answers, and notes that it was cancelled."""

    cancelled = 0

    async def _answer(self, answer: Answer) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class _Told:
    """Can be told how long it may take; ``told`` has all that it was told."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(*answers)
        self.told: list[float] = []

    def within(self, seconds: float) -> Any:
        self.told.append(seconds)
        return self


class SyncTold(_Told, Sync):
    """A sync backend that can be told a timeout."""


class AsynchronousTold(_Told, Asynchronous):
    """An async backend that can be told a timeout."""


# --- drivers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One way to run a flow: a driver and a backend that suits it."""

    name: str
    backend: Callable[..., Any]
    asgi: bool
    blocks: bool = True

    def run(self, flow: Flow[T], backend: Any, timeout: float = PATIENT) -> T:
        if not self.asgi:
            return SyncDriver(backend, timeout, blocks=self.blocks)(flow)
        return asyncio.run(self.driver(backend, timeout)(flow))

    def driver(self, backend: Any, timeout: float = PATIENT) -> AsyncDriver:
        return async_driver(backend, timeout, is_async=isinstance(backend, Asynchronous), blocks=self.blocks)


WSGI = Kind("WSGI, a backend that waits", Sync, asgi=False)
WSGI_TOLD = Kind("WSGI, a backend that is told", SyncTold, asgi=False)
WSGI_IN_PLACE = Kind("WSGI, a backend that never waits", Sync, asgi=False, blocks=False)
IN_PLACE = Kind("ASGI, a sync backend that never waits", Sync, asgi=True, blocks=False)
THREADED = Kind("ASGI, a sync backend that waits", Sync, asgi=True)
THREADED_TOLD = Kind("ASGI, a sync backend that is told", SyncTold, asgi=True)
AWAITED = Kind("ASGI, an async backend", Asynchronous, asgi=True)
AWAITED_TOLD = Kind("ASGI, an async backend that is told", AsynchronousTold, asgi=True)

KINDS = (WSGI, WSGI_TOLD, WSGI_IN_PLACE, IN_PLACE, THREADED, THREADED_TOLD, AWAITED, AWAITED_TOLD)
every_driver = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
every_driver_that_minds_the_time = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.blocks], ids=lambda kind: kind.name)


def raises(failure: BaseException) -> Answer:
    def answer() -> Any:
        raise failure

    return answer


def alive() -> Flow[tuple[Session | None, int]]:
    session = yield from Find(OURS)
    assert session is not None
    return session, (yield from RevokeOthers(session))


# --- questions --------------------------------------------------------------------------------------------------------


class Echo:
    """Answers every question with how it was put."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        return lambda *args, **how: (name, args, how)


NEW = new_session("ada", TOKEN, app_session=b"a" * 32)


@pytest.mark.parametrize(
    ("step", "put", "writes"),
    [
        (Find(OURS), ("find", (OURS,), {}), False),
        (BeginLogin("ada"), ("begin_login", ("ada",), {}), False),
        (RevokeOthers(SESSION), ("revoke_others", (SESSION,), {}), True),
        (Revoke("ada", SESSION.id), ("revoke_own", ("ada", SESSION.id), {}), True),
        (RevokeAll("ada"), ("revoke_all", ("ada",), {}), True),
        (Login(NEW), ("login", (NEW,), {}), True),
        (Adopt(NEW), ("adopt", (NEW,), {}), True),
        (
            Extend(session=SESSION, lifetime=60.0, app_session=None),
            ("extend", (SESSION,), {"lifetime": 60.0, "app_session": None}),
            True,
        ),
        (FindCompanionStatus("ada", b"a"), ("companion_status", ("ada", b"a"), {}), False),
        (IsRevokedAppSession(b"a"), ("is_revoked_app_session", (b"a",), {}), False),
        (FindRevoked([OURS]), ("which_revoked", ([OURS],), {}), False),
        (Note(OURS), ("note", (OURS,), {}), True),
        (Renewed(OURS, [OURS], float), ("renewed", (OURS, [OURS], float), {}), True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Step) else "",
)
def test_a_question_is_put_to_the_operation_of_its_name(step: Step[Any], put: object, writes: bool) -> None:
    assert step.ask(Echo()) == put
    assert step.writes is writes


# --- answers and failures ---------------------------------------------------------------------------------------------


@every_driver
def test_answers_arrive_where_they_were_asked_for(kind: Kind) -> None:
    assert kind.run(alive(), kind.backend()) == (SESSION, 2)


@every_driver
def test_a_flow_that_asks_nothing_needs_no_backend(kind: Kind) -> None:
    def decided() -> Flow[str]:
        return "at once"
        yield Find(OURS)

    backend = kind.backend()
    assert kind.run(decided(), backend) == "at once"
    assert backend.threads == []


@every_driver
@pytest.mark.parametrize(
    "failure",
    [BackendUnavailable("x"), OutcomeUnknown("x"), SessionRevoked("x"), StaleLogin("x"), UsageError("x")],
    ids=lambda failure: type(failure).__name__,
)
def test_a_failure_is_thrown_at_the_line_of_its_question_and_the_flow_goes_on(kind: Kind, failure: Exception) -> None:
    def persistent() -> Flow[tuple[object, ...]]:
        first = yield from Find(OURS)
        try:
            caught: object = yield from RevokeOthers(SESSION)
        except Exception as arrived:
            caught = arrived
        last = yield from Find(OURS)
        return first, caught, last

    first, caught, last = kind.run(persistent(), kind.backend(lambda: SESSION, raises(failure)))
    assert (first, last) == (SESSION, SESSION)
    assert caught is failure


@every_driver
def test_even_what_ends_an_iteration_is_a_failure_and_no_answer(kind: Kind) -> None:
    here = opened((b"x-session-token", TOKEN))
    assert kind.run(revoke_others_endpoint(*here), kind.backend(lambda: next(iter(())))).status == 503


@every_driver
@pytest.mark.parametrize("failure", [BackendUnavailable("x"), OutcomeUnknown("x")], ids=["unavailable", "unknown"])
def test_a_failure_that_the_flow_does_not_catch_leaves_as_it_came_and_is_logged_once(
    kind: Kind, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    flow = alive()
    with pytest.raises(type(failure)) as left:
        kind.run(flow, kind.backend(raises(failure)))
    assert left.value is failure
    assert len(caplog.records) == 1
    with pytest.raises(StopIteration):
        flow.send(None)


class DriverError(Exception):
    """Quotes what it was given, as drivers do."""


def quoting() -> Exception:
    failure = DriverError(f"INSERT ... VALUES ('{CANARY}', {TOKEN!r})")
    failure.__cause__ = ValueError(CANARY)
    return failure


@every_driver
def test_other_peoples_errors_arrive_as_unavailable_and_show_their_kind_and_place_only(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BackendUnavailable) as left:
        kind.run(alive(), kind.backend(lambda: SESSION, raises(quoting())))
    assert type(left.value) is BackendUnavailable
    shown = "".join(traceback.format_exception(left.value))
    for text in (str(left.value), shown, caplog.text):
        assert "tests.test_drive.DriverError at " in text
        assert CANARY not in text
        assert TOKEN.decode() not in text
    assert len(caplog.records) == 1


@every_driver
def test_what_the_flow_itself_raises_is_not_taken_for_a_failure_of_the_backend(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    def wrong() -> Flow[int]:
        yield from Find(OURS)
        raise LookupError("a mistake in a flow")

    with pytest.raises(LookupError, match="a mistake in a flow"):
        kind.run(wrong(), kind.backend())
    assert caplog.records == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.asgi is False], ids=lambda kind: kind.name)
def test_what_ends_the_process_is_not_thrown_into_a_flow(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[BaseException] = []

    def watching() -> Flow[None]:
        try:
            yield from Find(OURS)
        except BaseException as arrived:
            seen.append(arrived)
            raise

    flow = watching()
    with pytest.raises(KeyboardInterrupt):
        kind.run(flow, kind.backend(raises(KeyboardInterrupt())))
    assert [type(one) for one in seen] == [GeneratorExit], "it is closed, since others may wait for its answer"
    assert caplog.records == []


# --- the log ----------------------------------------------------------------------------------------------------------


@every_driver
def test_an_error_of_another_kind_is_logged_by_kind_and_place_only(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    here = opened((b"x-session-token", TOKEN))
    response = kind.run(revoke_others_endpoint(*here), kind.backend(raises(quoting())))
    assert response.status == 503
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("sessionward", logging.ERROR, None)
    said = record.getMessage()
    assert said.startswith("the backend did not answer Find: it failed with tests.test_drive.DriverError at ")
    assert f"{__file__}:" in said
    assert CANARY not in caplog.text
    assert TOKEN.decode() not in caplog.text


@every_driver
def test_our_own_errors_are_logged_in_their_own_words_without_their_causes(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    failure = OutcomeUnknown("it fell silent at COMMIT")
    failure.__cause__ = ValueError(CANARY)
    here = opened((b"x-session-token", TOKEN))
    assert kind.run(revoke_others_endpoint(*here), kind.backend(lambda: SESSION, raises(failure))).status == 503
    assert [record.getMessage() for record in caplog.records] == ["the backend did not answer RevokeOthers: it fell silent at COMMIT"]
    assert CANARY not in caplog.text


@every_driver
@pytest.mark.parametrize(
    "answer",
    [SessionRevoked("x"), StaleLogin("x"), SignInTooOld("x"), RateLimited(1.0), TooManySessions(1, 0)],
    ids=["revoked", "stale", "too old", "too often", "too many"],
)
def test_what_is_an_answer_is_not_logged(kind: Kind, answer: SessionwardError, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(type(answer)):
        kind.run(alive(), kind.backend(lambda: SESSION, raises(answer)))
    assert caplog.records == []


class _AnswersNow:
    """Also answers without waiting, unless that fails. ``asked``: how often."""

    answers_now: ClassVar[bool] = True
    asked = 0

    def check_now(self, credential: Credential, /) -> Checked | None:
        self.asked += 1
        raise ValueError("a row that cannot be read")


class SyncNow(_AnswersNow, Sync):
    """A sync backend whose check at once fails."""

    def check(self, credential: Credential, /) -> Checked:
        return Checked(self.find(credential))


class AsynchronousNow(_AnswersNow, Asynchronous):
    """An async backend whose check at once fails."""

    async def check(self, credential: Credential, /) -> Checked:
        return Checked(await self.find(credential))


@pytest.mark.parametrize("kind", [WSGI, THREADED, AWAITED], ids=lambda kind: kind.name)
def test_what_fails_at_once_is_asked_in_the_ordinary_way(kind: Kind) -> None:
    backend = AsynchronousNow() if kind is AWAITED else SyncNow()
    assert kind.run(iter(Check(OURS)), backend) == Checked(SESSION)
    assert (backend.asked, len(backend.threads)) == (1, 1)
    backend = AsynchronousNow(raises(ValueError("x"))) if kind is AWAITED else SyncNow(raises(ValueError("x")))
    with pytest.raises(BackendUnavailable):
        kind.run(iter(Check(OURS)), backend)


def test_an_error_without_a_traceback_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    assert str(drive._noted(Find(OURS), RuntimeError(CANARY))) == "it failed with builtins.RuntimeError"
    assert [record.getMessage() for record in caplog.records] == ["the backend did not answer Find: it failed with builtins.RuntimeError"]


# --- the deadline -----------------------------------------------------------------------------------------------------


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline, "monotonic", clock)
    return clock


def slow(clock: Clock, seconds: float, answer: object = SESSION) -> Answer:
    def answers() -> object:
        clock.now += seconds
        return answer

    return answers


def asking(times: int, raised: list[Exception]) -> Flow[int]:
    """Asks so many times, whatever happens; returns how many were answered."""
    answered = 0
    for _ in range(times):
        try:
            yield from Find(OURS)
            answered += 1
        except Exception as failure:
            raised.append(failure)
    return answered


@every_driver_that_minds_the_time
def test_p7_one_deadline_is_shared_by_all_questions_of_a_flow(kind: Kind, clock: Clock) -> None:
    backend = kind.backend(slow(clock, 0.6))
    raised: list[Exception] = []
    assert kind.run(asking(5, raised), backend, timeout=2.0) == 4
    assert [type(failure) for failure in raised] == [BackendUnavailable]
    assert "2 s" in str(raised[0])
    assert len(backend.threads) == 4, "it was not asked the fifth time"


@pytest.mark.parametrize("kind", [WSGI_TOLD, THREADED_TOLD, AWAITED_TOLD], ids=lambda kind: kind.name)
def test_a_backend_that_can_be_told_is_told_what_is_left(kind: Kind, clock: Clock) -> None:
    backend = kind.backend(slow(clock, 0.75))
    assert kind.run(asking(3, []), backend, timeout=2.0) == 3
    assert backend.told == [2.0, 1.25, 0.5], "once by the door, then only when much of it is gone"


@every_driver_that_minds_the_time
def test_the_next_flow_has_a_deadline_of_its_own(kind: Kind, clock: Clock) -> None:
    backend = kind.backend(slow(clock, 3.0))
    raised: list[Exception] = []
    if kind.asgi:
        driver = kind.driver(backend, 2.0)

        async def twice() -> list[int]:
            return [await driver(asking(2, raised)), await driver(asking(2, raised))]

        assert asyncio.run(twice()) == [1, 1]
    else:
        sync = SyncDriver(backend, 2.0, blocks=True)
        assert [sync(asking(2, raised)), sync(asking(2, raised))] == [1, 1]
    assert len(raised) == 2


@pytest.mark.parametrize("kind", [WSGI_IN_PLACE, IN_PLACE], ids=lambda kind: kind.name)
def test_a_backend_that_never_waits_has_no_deadline(kind: Kind, clock: Clock) -> None:
    assert kind.run(asking(3, []), kind.backend(slow(clock, 100.0)), timeout=2.0) == 3


@pytest.mark.parametrize(
    ("step", "kind"),
    [(Find(OURS), BackendUnavailable), (RevokeOthers(SESSION), OutcomeUnknown)],
    ids=["a read", "a write"],
)
def test_p7_an_async_backend_that_keeps_no_deadline_is_bounded(step: Step[Any], kind: type[BackendUnavailable], clock: Clock) -> None:
    backend = Silent()

    def one() -> Flow[Exception]:
        try:
            yield from step
        except Exception as failure:
            return failure
        raise AssertionError("it answered")

    failure = asyncio.run(patiently(AWAITED.driver(backend, 0.2)(one())))
    assert type(failure) is kind
    assert "0.2 s" in str(failure)
    assert backend.cancelled == 1


@every_driver
def test_a_backends_own_timeout_is_a_failure_like_any_other(kind: Kind) -> None:
    """It says nothing about our timeout, and not that anything was sent."""
    with pytest.raises(BackendUnavailable, match=r"it failed with builtins\.TimeoutError") as left:
        kind.run(alive(), kind.backend(lambda: SESSION, raises(TimeoutError(CANARY))))
    assert type(left.value) is BackendUnavailable


def test_a_backend_that_is_told_its_deadline_is_not_cancelled(clock: Clock) -> None:
    async def story() -> tuple[Session | None, int]:
        ends, late = asyncio.Event(), asyncio.get_running_loop()

        async def commit() -> int:
            late.call_later(0.05, ends.set)
            await ends.wait()
            return 2

        return await AWAITED_TOLD.driver(AsynchronousTold(lambda: SESSION, commit), 0.01)(alive())

    def alive() -> Flow[tuple[Session | None, int]]:
        return None, (yield from RevokeOthers(SESSION))

    assert asyncio.run(patiently(story())) == (None, 2)


async def patiently(awaitable: Coroutine[Any, Any, T]) -> T:
    """Fails instead of hanging."""
    async with asyncio.timeout(PATIENT):
        return await awaitable


# --- threads ----------------------------------------------------------------------------------------------------------


class Gate:
    """Holds those who enter until it is opened, and tells an event loop how many are inside."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._entered = threading.Semaphore(0)
        self.inside = 0

    def __call__(self) -> Session:
        self.inside += 1
        self._entered.release()
        assert self._open.wait(PATIENT)
        return SESSION

    def open(self) -> None:
        self._open.set()

    async def entered(self, count: int = 1) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self._entered.acquire, timeout=PATIENT)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


class Pooled(Sync):
    """A sync backend with so many connections."""

    def __init__(self, find: Answer, pool_size: int) -> None:
        super().__init__(find)
        self.pool_size = pool_size


SHORT = 0.5
"""Seconds that one waits who finds no thread. The clock of questions stands still meanwhile."""


def once(caught: list[Exception]) -> Flow[Session | None]:
    try:
        return (yield from Find(OURS))
    except Exception as failure:
        caught.append(failure)
        return None


def test_p7_a_busy_thread_limiter_is_told_within_the_deadline_and_a_late_answer_still_arrives(
    gate: Gate, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caught: list[Exception] = []

    async def story() -> tuple[Session | None, int, Session | None]:
        driver = THREADED.driver(Pooled(gate, pool_size=1), SHORT)
        first = asyncio.create_task(driver(once(caught)))
        await gate.entered()
        await driver(once(caught))  # its whole deadline passes, and so does that of the first
        refused = len(caught)
        gate.open()
        late = await first
        return late, refused, await driver(once(caught))

    assert asyncio.run(patiently(story())) == (SESSION, 1, SESSION)
    (busy,) = caught
    assert type(busy) is NoThreadFree
    assert gate.inside == 2, "the one that found no thread was never begun"
    assert [record.getMessage() for record in caplog.records] == [
        "the backend did not answer Find: all 1 threads for the backend were busy for 0.5 s; raise its pool_size"
    ]


@pytest.mark.parametrize("size", [1, 3])
def test_as_many_threads_as_the_pool_has_connections(gate: Gate, clock: Clock, size: int) -> None:
    caught: list[Exception] = []

    async def story() -> list[Session | None]:
        driver = THREADED.driver(Pooled(gate, pool_size=size), SHORT)
        inside = [asyncio.create_task(driver(once(caught))) for _ in range(size)]
        await gate.entered(size)
        await driver(once(caught))
        gate.open()
        return list(await asyncio.gather(*inside))

    assert asyncio.run(patiently(story())) == [SESSION] * size
    assert [type(failure) for failure in caught] == [NoThreadFree]


def test_a_backend_that_does_not_say_has_ten_threads(gate: Gate, clock: Clock) -> None:
    caught: list[Exception] = []

    async def story() -> None:
        driver = THREADED.driver(Sync(gate), SHORT)
        inside = [asyncio.create_task(driver(once(caught))) for _ in range(THREADS)]
        await gate.entered(THREADS)
        await driver(once(caught))
        gate.open()
        await asyncio.gather(*inside)

    asyncio.run(patiently(story()))
    assert THREADS == 10
    assert [type(failure) for failure in caught] == [NoThreadFree]


def test_begun_means_finished_even_if_the_client_goes_away(gate: Gate) -> None:
    finished = threading.Event()

    def noted() -> Flow[None]:
        yield from Find(OURS)
        yield from RevokeOthers(SESSION)
        finished.set()

    async def story() -> None:
        task = asyncio.create_task(THREADED.driver(Sync(gate))(noted()))
        await gate.entered()
        task.cancel()
        await asyncio.sleep(0)
        gate.open()
        await asyncio.wait([task])
        assert await asyncio.to_thread(finished.wait, PATIENT)

    asyncio.run(patiently(story()))
    assert finished.is_set()


def test_a_door_serves_one_event_loop_after_another() -> None:
    driver = THREADED.driver(Sync())
    assert [asyncio.run(driver(alive())) for _ in range(3)] == [(SESSION, 2)] * 3


def test_each_event_loop_has_threads_of_its_own(gate: Gate) -> None:
    driver = THREADED.driver(Pooled(gate, pool_size=1), PATIENT)

    async def here() -> None:
        task = asyncio.create_task(driver(once([])))
        await gate.entered()
        await asyncio.to_thread(lambda: asyncio.run(there()))
        await task

    async def there() -> None:
        task = asyncio.create_task(driver(once([])))
        await gate.entered()
        gate.open()
        await task

    asyncio.run(patiently(here()))
    assert gate.inside == 2


# --- hops -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one each time a flow moves to a thread."""
    made: list[object] = []

    async def counted(function: Callable[..., Any], *args: Any, **how: Any) -> Any:
        made.append(function)
        return await to_thread.run_sync(function, *args, **how)

    monkeypatch.setattr(deadline, "run_in_thread", counted)
    return made


@pytest.mark.parametrize("kind", [THREADED, THREADED_TOLD], ids=lambda kind: kind.name)
def test_a_flow_moves_to_a_thread_once_whatever_it_asks(kind: Kind, hops: list[object]) -> None:
    backend = kind.backend()
    kind.run(revoke_others_endpoint(*opened((b"x-session-token", TOKEN))), backend)
    assert len(hops) == 1
    assert len(backend.threads) == 2
    assert len({*backend.threads}) == 1
    assert threading.get_ident() not in backend.threads


@pytest.mark.parametrize("fields", [[], [(b"x-session-token", b"guest")], [(b"cookie", PAIR[:-1])]], ids=["nothing", "foreign", "forged"])
def test_a_flow_that_decides_alone_does_not_move(fields: Sequence[tuple[bytes, bytes]], hops: list[object]) -> None:
    for flow in (on_request, revoke_others_endpoint):
        THREADED.run(flow(*opened(*fields)), Sync())
    assert hops == []


@pytest.mark.parametrize("kind", [WSGI, WSGI_IN_PLACE, IN_PLACE, AWAITED, AWAITED_TOLD], ids=lambda kind: kind.name)
def test_every_other_driver_asks_where_it_stands(kind: Kind, hops: list[object]) -> None:
    backend = kind.backend()
    assert kind.run(alive(), backend) == (SESSION, 2)
    assert {*backend.threads} == {threading.get_ident()}
    assert hops == []


class WaitingMemory(MemoryBackend):
    """Pretends to wait."""

    blocking: ClassVar[bool] = True


def ask(app: ASGIMiddleware, *fields: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise NotImplementedError

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope_of(*fields), receive, send))
    return sent


@pytest.mark.parametrize(
    ("signs_in", "expected"),
    [pytest.param(False, 1, id="once before the application"), pytest.param(True, 3, id="once for its sign-in, and once after")],
)
def test_a_guarded_request_hops_once_before_the_application_and_once_after_it(signs_in: bool, expected: int, hops: list[object]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if signs_in:
            await scope["sessionward"].login("ada")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    app = ASGIMiddleware(application, WaitingMemory(), secrets=[SECRET])
    sent = ask(app, (b"x-session-token", TOKEN))
    assert sent[0]["status"] == 204
    assert (b"set-cookie" in dict(sent[0]["headers"])) == signs_in
    assert len(hops) == expected
