"""How long one request waits for answers: one deadline for all its questions, in threads and on an event loop. And what need not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from threading import Event
from time import monotonic
from typing import Any, Final, TypeAlias, TypeVar, TypeVarTuple, Unpack, cast

from anyio import CapacityLimiter, move_on_after, sleep
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync as run_in_thread

from sessionward.credential.token import Credential
from sessionward.errors import BackendUnavailable, OutcomeUnknown
from sessionward.process import DaemonThreads, NoAnswer, NoThreadFree, PerProcess, clock
from sessionward.session.call import Call, Called, ended
from sessionward.session.identifier import Identify
from sessionward.session.pause import Join, Pause, Question, Wait
from sessionward.session.session import Checked, Session
from sessionward.session.step import Flow, Step
from sessionward.session.steps import Check, Find

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

IDENTIFIER_THREADS: Final = 20
"""The most threads for identifiers that wait. They are never threads of the application."""
CALL_THREADS: Final = 10
"""The most threads for the function of one setting. One that never returns costs no thread of an identifier, nor of another setting."""


Now: TypeAlias = Callable[[Credential], Checked | None]
"""Checks a credential without waiting, on an event loop too. Returns None if that is not possible right now."""


def checking_now(backend: Any) -> Now | None:
    """Returns the method of a backend that checks a credential without waiting, if it has one (``SupportsNow``)."""
    return backend.check_now if getattr(backend, "answers_now", False) else None


def asked_now(flow: Flow[Any], now: Now, step: Step[Any]) -> Step[Any]:
    """Answers a check in place, as long as the backend need not wait. Returns the step that the flow waits at.

    Raises ``StopIteration`` at the end of the flow.
    """
    while isinstance(step, Check):
        try:
            checked = now(step.credential)
        except Exception:  # the ordinary way meets it again, and says what it means
            return step
        if checked is None:
            return step
        step = flow.send(checked)
    return step


class Asked:
    """What a backend said about a credential before there was a flow. ``began``: when it was asked, on the monotonic clock."""

    __slots__ = ("_answer", "_credential", "_failure", "began")

    def __init__(self, credential: Credential, began: float, answer: Checked | Session | None, failure: Exception | None = None) -> None:
        self._credential = credential
        self._answer = answer
        self._failure = failure
        self.began = began

    def answers(self, step: Step[Any]) -> bool:
        """Returns whether this is the question that was asked."""
        return isinstance(step, (Find, Check)) and step.credential == self._credential

    def ask(self, _step: Step[Any]) -> Checked | Session | None:
        """Returns what the backend returned, or raises what it raised."""
        failure, self._failure = self._failure, None
        if failure is None:
            return self._answer
        try:
            raise failure
        finally:
            del failure  # else its traceback would hold this frame, and the frame would hold it


class Deadline:
    """Asks a backend within the deadline of one flow. The time began with ``asked``, or begins when this object is made."""

    def __init__(self, backend: Any, timeout: float, asked: Asked | None = None) -> None:
        self._backend = backend
        self._within: Callable[[float], Any] | None = getattr(backend, "within", None)
        self._timeout = timeout
        self._ends = (monotonic() if asked is None else asked.began) + timeout

    def ask(self, step: Step[Any]) -> Any:
        """Asks a sync backend, or the identifier."""
        if isinstance(step, Identify):
            return self._waited_for(step) if step.spec.blocks else step.ask(None)
        if isinstance(step, Call):
            return self._called(step)
        if isinstance(step, Pause):
            return self._join(step.question) if isinstance(step, Join) else self._sleep(cast("Wait", step).until)
        left = self._left()
        if self._within is None or left > 0.999 * self._timeout:
            return step.ask(self._backend)
        return step.ask(self._within(left))

    def _waited_for(self, step: Identify) -> Any:
        """Asks an identifier that waits, in another thread, since it has no timeout of its own."""
        try:
            return _identifiers.threads().run(self._left(), partial(step.ask, None))
        except (NoThreadFree, NoAnswer):
            raise self._no_identity() from None

    async def ask_async(self, step: Step[Any]) -> Any:
        """Asks an async backend or the identifier. Cancels the call at the deadline, unless the backend has ``within``."""
        if isinstance(step, Identify):
            return await self._identified(step)
        if isinstance(step, Pause):
            return await self.pause(step)
        if self._within is not None:
            return await self.ask(step)
        with move_on_after(self._left()):
            answer = step.ask(self._backend)  # a sync backend beside an async identifier never waits
            return await answer if isawaitable(answer) else answer
        raise OutcomeUnknown(str(self._no_answer())) if step.writes else self._no_answer()

    async def _identified(self, step: Identify) -> Any:
        if not step.spec.is_async:
            if not step.spec.blocks:
                return step.ask(None)
            try:
                return await _identifiers.limit.run(self._left(), self._waited_for, step)
            except NoThreadFree:
                raise self._no_identity() from None
        with move_on_after(self._left()):
            return await step.ask(None)
        raise self._no_identity()

    def _called(self, step: Call) -> Any:
        """Calls the application in another thread, since it knows nothing of our deadline."""
        try:
            return _functions[step.setting].threads().run(self._left(), partial(step.ask, None))
        except (NoThreadFree, NoAnswer):
            raise self._not_returned() from None

    async def _called_async(self, step: Call) -> Any:
        if not step.must_be_awaited():
            try:
                return await _functions[step.setting].limit.run(self._left(), self._called, step)
            except NoThreadFree:
                raise self._not_returned() from None
        before = _cancellations()
        with move_on_after(self._left()):
            try:
                return await step.ask(None)
            except asyncio.CancelledError as end:
                if _cancellations() > before:  # the request is cancelled, or its time is up
                    raise
                raise ended(end) from None  # of a task of its own
            except SystemExit as end:
                raise ended(end) from None
        raise self._not_returned()

    def _not_returned(self) -> BackendUnavailable:
        return BackendUnavailable(f"it did not return within {self._timeout:g} s")

    def _sleep(self, until: float) -> None:
        began = monotonic()
        sleep_until(until)
        self._ends += monotonic() - began

    def _join(self, question: Question) -> Checked | None:
        over = Event()
        question.when_over(over.set)
        if not over.wait(self._left()):
            raise self._no_answer()
        return question.answer()

    async def pause(self, step: Pause[T]) -> T:
        """Waits for a lease, for the answer to another request's question, or for the application."""
        if isinstance(step, Call):
            return cast("T", await self._called_async(step))
        return cast("T", await (self._join_async(step.question) if isinstance(step, Join) else self._sleep_async(cast("Wait", step).until)))

    async def _sleep_async(self, until: float) -> None:
        began = monotonic()
        await sleep_until_async(until)
        self._ends += monotonic() - began

    async def _join_async(self, question: Question) -> Checked | None:
        with move_on_after(self._left()):
            await _over(question)
            return question.answer()
        raise self._no_answer()

    def _no_answer(self) -> BackendUnavailable:
        return BackendUnavailable(f"the backend did not answer within {self._timeout:g} s")

    def _no_identity(self) -> BackendUnavailable:
        return BackendUnavailable(f"the identifier did not answer within {self._timeout:g} s")

    def _left(self) -> float:
        left = self._ends - monotonic()
        if left <= 0:
            raise BackendUnavailable(f"this request has used up the {self._timeout:g} s (backend_timeout) that it may wait for the backend")
        return left


def _cancellations() -> int:
    """Returns how often the task of the request was cancelled. 0 under trio, which has an exception of its own for it."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return 0
    return 0 if task is None else task.cancelling()


def sleep_until(moment: float) -> None:
    """Sleeps until a moment of :data:`~sessionward.process.clock`."""
    while (left := moment - clock()) > 0:  # a sleep may end early
        time.sleep(left)  # by its module: gevent patches it there


async def sleep_until_async(moment: float) -> None:
    """Does what :func:`sleep_until` does, while the event loop runs."""
    while (left := moment - clock()) > 0:  # noqa: ASYNC110 - a sleep may end early
        await sleep(left)


async def _over(question: Question) -> None:
    """Waits until a question is over, which another thread may answer."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio
        while not question.is_over:  # noqa: ASYNC110 - a thread, which knows no event of trio's, may end it
            await sleep(0.001)
        return
    over = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # we were cancelled, and the loop has been closed since
            loop.call_soon_threadsafe(over.set)

    question.when_over(wake)
    await over.wait()


class Threads:
    """A limited number of threads for each event loop. No caller waits for a free thread longer than its timeout."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._limiters: RunVar[CapacityLimiter] = RunVar("sessionward threads")

    async def run(self, timeout: float, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Calls a function in a thread. Returns what it returns.

        If the caller is cancelled, a function that has begun still runs to its end; it must have its own timeout.

        Raises :class:`NoThreadFree` if no thread was free within ``timeout`` seconds.
        """
        with move_on_after(timeout):  # limits only the wait for a thread; the wait for the function is shielded
            return await run_in_thread(function, *args, limiter=self._limiter())
        raise NoThreadFree(f"all {self._size} threads for the backend were busy for {timeout:g} s; raise its pool_size")

    def _limiter(self) -> CapacityLimiter:
        try:
            return self._limiters.get()
        except LookupError:
            limiter = CapacityLimiter(self._size)
            self._limiters.set(limiter)
            return limiter


class _OwnThreads:
    """Threads for what has no deadline of its own, and as many that wait for them in the place of an event loop."""

    def __init__(self, size: int) -> None:
        self.threads = PerProcess(partial(DaemonThreads, size))
        self.limit = Threads(size)


_identifiers: Final = _OwnThreads(IDENTIFIER_THREADS)
_functions: Final[Mapping[Called, _OwnThreads]] = {"also": _OwnThreads(CALL_THREADS), "page.place": _OwnThreads(CALL_THREADS)}
