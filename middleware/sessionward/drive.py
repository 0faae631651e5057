"""Carries a flow on: the only file where sync and async meet.

Two loops, equal but for one ``await``. A backend is driven by the loop of its own colour; under ASGI a plain backend
that waits is moved to a thread once for a whole stretch of questions, never once for each.

The clock is here as well: one stretch has one deadline (P7). A backend that can be told how long it may take has
``within(seconds)``, which gives a view of itself with that deadline.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple, Unpack

from anyio import CapacityLimiter, fail_after
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

from sessionward.errors import BackendUnavailable, OutcomeUnknown, SessionEnded, SessionwardError, StaleLogin
from sessionward.session import Question
from sessionward.step import Flow, Step

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = logging.getLogger("sessionward")

THREADS = 10
"""At most so many threads for a plain backend that does not say its ``pool_size``."""


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """A flow has returned."""

    value: T


def start(flow: Flow[T], answer: object = None) -> Step[Any] | Finished[T]:
    """The first step of a flow, or the next one after an answer."""
    try:
        return flow.send(answer)
    except StopIteration as end:
        return Finished(end.value)


def _fail(flow: Flow[T], question: Question[Any], failure: Exception) -> Step[Any] | Finished[T]:
    """The next step after a backend raised, at the line of the question."""
    if not isinstance(failure, (SessionEnded, StaleLogin)):
        log.error("the backend did not answer %s: %s", type(question).__name__, _spoken(failure))
    try:
        return flow.throw(failure)
    except StopIteration as end:
        return Finished(end.value)


def _spoken(failure: Exception) -> str:
    """What may be logged: our own words in full, of other people's errors the kind and the place (they quote values)."""
    if isinstance(failure, SessionwardError):
        return str(failure)
    place = failure.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
    return f"{type(failure).__module__}.{type(failure).__qualname__}{where}"


class _Patience:
    """The backend, for as long as this stretch of questions may still take."""

    __slots__ = ("_backend", "_ends", "_within", "deadline")

    def __init__(self, backend: Any, deadline: float, ends: float) -> None:
        self._backend = backend
        self._within: Callable[[float], Any] | None = getattr(backend, "within", None)
        self._ends = ends
        self.deadline = deadline

    def left(self) -> float:
        left = self._ends - monotonic()
        if left <= 0:
            raise BackendUnavailable(f"no time left of the {self.deadline:g} s that a request may wait for the backend")
        return left

    def backend(self) -> Any:
        left = self.left()
        if self._within is None or left > 0.95 * self.deadline:
            return self._backend
        return self._within(left)


# --- the two loops ----------------------------------------------------------------------------------------------------


def carry(flow: Flow[T], step: Step[Any] | Finished[T], backend: Callable[[], Any]) -> Step[Any] | Finished[T]:
    """Answer a flow's questions with a plain backend, until it passes the request on or ends."""
    while isinstance(step, Question):
        question: Question[Any] = step
        try:
            answer = question.ask(backend())
        except Exception as failure:
            step = _fail(flow, question, failure)
        else:
            step = start(flow, answer)
    return step


async def carry_async(flow: Flow[T], step: Step[Any] | Finished[T], patience: _Patience, bounds: bool) -> Step[Any] | Finished[T]:
    """Answer a flow's questions with an async backend. ``bounds``: it keeps no deadline by itself."""
    while isinstance(step, Question):
        question: Question[Any] = step
        try:
            if bounds:
                answer = await _bounded(question, patience)
            else:
                answer = await question.ask(patience.backend())
        except Exception as failure:
            step = _fail(flow, question, failure)
        else:
            step = start(flow, answer)
    return step


async def _bounded(question: Question[Any], patience: _Patience) -> Any:
    try:
        with fail_after(patience.left()):
            return await question.ask(patience.backend())
    except TimeoutError as late:
        kind = OutcomeUnknown if question.writes else BackendUnavailable
        raise kind(f"the backend did not answer within {patience.deadline:g} s") from late


# --- the drivers of the doors -----------------------------------------------------------------------------------------


class PlainDriver:
    """For the WSGI door, and for blocking verbs under ASGI: a plain backend, in the thread that asks."""

    def __init__(self, backend: Any, deadline: float, *, blocks: bool) -> None:
        self._backend = _told(backend, deadline)
        self._deadline = deadline
        self._blocks = blocks

    def __call__(self, flow: Flow[T], step: Step[Any] | Finished[T]) -> Step[Any] | Finished[T]:
        backend = self._backend
        if not self._blocks:
            return carry(flow, step, lambda: backend)
        return carry(flow, step, _Patience(backend, self._deadline, monotonic() + self._deadline).backend)


class AsyncDriver(Protocol):
    """For the ASGI door: carries a flow on from a step."""

    def __call__(self, flow: Flow[T], step: Step[Any] | Finished[T], /) -> Awaitable[Step[Any] | Finished[T]]: ...


def async_driver(backend: Any, deadline: float, *, is_async: bool, blocks: bool) -> AsyncDriver:
    """The driver that suits a backend's colour."""
    if is_async:
        return _Awaited(backend, deadline)
    return _Threaded(backend, deadline) if blocks else _InPlace(backend, deadline)


class _InPlace:
    """A plain backend that never waits."""

    def __init__(self, backend: Any, deadline: float) -> None:
        self._carry = PlainDriver(backend, deadline, blocks=False)

    async def __call__(self, flow: Flow[T], step: Step[Any] | Finished[T], /) -> Step[Any] | Finished[T]:
        return self._carry(flow, step)


class _Awaited:
    """An async backend."""

    def __init__(self, backend: Any, deadline: float) -> None:
        self._backend = _told(backend, deadline)
        self._deadline = deadline
        self._bounds = not hasattr(backend, "within")

    async def __call__(self, flow: Flow[T], step: Step[Any] | Finished[T], /) -> Step[Any] | Finished[T]:
        patience = _Patience(self._backend, self._deadline, monotonic() + self._deadline)
        return await carry_async(flow, step, patience, self._bounds)


class _Threaded:
    """A plain backend that waits, in threads of our own: as many as its pool has connections."""

    def __init__(self, backend: Any, deadline: float) -> None:
        self._backend = _told(backend, deadline)
        self._deadline = deadline
        self._threads = Threads(getattr(backend, "pool_size", THREADS))

    async def __call__(self, flow: Flow[T], step: Step[Any] | Finished[T], /) -> Step[Any] | Finished[T]:
        if not isinstance(step, Question):
            return step
        patience = _Patience(self._backend, self._deadline, monotonic() + self._deadline)
        try:
            return await self._threads.run(self._deadline, carry, flow, step, patience.backend)
        except BackendUnavailable as busy:
            return _fail(flow, step, busy)


class Threads:
    """So many threads for each event loop, and none is waited for longer than a deadline."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._limiters: RunVar[CapacityLimiter] = RunVar("sessionward threads")

    async def run(self, deadline: float, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """Call a function in a thread. Once it runs it is waited for to its end, come what may: it minds its own time.

        Raises ``BackendUnavailable`` if no thread was free within ``deadline`` seconds.
        """
        try:
            with fail_after(deadline):
                return await run_sync(function, *args, limiter=self._limiter())
        except TimeoutError as late:
            raise BackendUnavailable(f"all {self._size} threads for the backend were busy for {deadline:g} s") from late

    def _limiter(self) -> CapacityLimiter:
        try:
            return self._limiters.get()
        except LookupError:
            limiter = CapacityLimiter(self._size)
            self._limiters.set(limiter)
            return limiter


def _told(backend: Any, deadline: float) -> Any:
    """The backend, told the door's deadline if it can be told one."""
    return backend.within(deadline) if hasattr(backend, "within") else backend


# --- flows without an application in the middle -----------------------------------------------------------------------


def finish(driver: PlainDriver, flow: Flow[T]) -> T:
    """Carry a flow to its end."""
    try:
        return ended(driver(flow, start(flow)))
    finally:
        flow.close()


async def finish_async(driver: AsyncDriver, flow: Flow[T]) -> T:
    """Carry a flow to its end."""
    try:
        return ended(await driver(flow, start(flow)))
    finally:
        flow.close()


def ended(step: Step[Any] | Finished[T]) -> T:
    """What a flow has returned."""
    if not isinstance(step, Finished):
        raise TypeError(f"this flow asked for {type(step).__name__} where there is no application")
    return step.value
