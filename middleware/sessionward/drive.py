"""Runs a flow to its end. This is the only file where sync and async meet.

It has two loops, which differ by one ``await``: one for sync backends, one for async backends. Under ASGI a flow over a sync
backend that waits moves to a thread once, not once for each question.

One flow has one deadline (P7). A backend with ``within(seconds)`` gets the time that is left, and enforces it itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import partial
from inspect import isawaitable
from time import monotonic
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple, Unpack, cast

from anyio import CapacityLimiter, move_on_after
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync as run_in_thread

from sessionward.errors import BackendUnavailable, InvalidCredential, OutcomeUnknown, SessionRevoked, SessionwardError, StaleLogin
from sessionward.process import DaemonThreads, NoAnswer, NoThreadFree, PerProcess
from sessionward.session.identifier import Identify
from sessionward.session.session import user_mark
from sessionward.session.step import Flow, Step
from sessionward.session.steps import Adopt, Login

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = logging.getLogger("sessionward")

THREADS: Final = 10
"""The most threads for a sync backend without ``pool_size``."""
IDENTIFIER_THREADS: Final = 20
"""The most threads for identifiers that wait. They are never threads of the application."""


# --- the two loops ----------------------------------------------------------------------------------------------------


def run_sync(flow: Flow[T], ask: Callable[[Step[Any]], Any], step: Step[Any] | None = None) -> T:
    """Runs a flow with a sync function ``ask``, which answers its questions. Returns what the flow returns.

    ``step``: the question that the flow waits at, if it has begun.
    """
    try:
        if step is None:
            step = flow.send(None)
        while True:
            try:
                answer = ask(step)
            except Exception as failure:
                step = flow.throw(_noted(step, failure))
            else:
                step = flow.send(answer)
    except StopIteration as end:
        return cast("T", end.value)


async def run_async(flow: Flow[T], ask: Callable[[Step[Any]], Coroutine[Any, Any, Any]], step: Step[Any] | None = None) -> T:
    """Runs a flow with an async function ``ask``, which answers its questions. See :func:`run_sync`."""
    try:
        if step is None:
            step = flow.send(None)
        while True:
            try:
                answer = await ask(step)
            except Exception as failure:
                step = flow.throw(_noted(step, failure))
            else:
                step = flow.send(answer)
    except StopIteration as end:
        return cast("T", end.value)


def _noted(step: Step[Any], failure: Exception) -> Exception:
    """Returns the exception that the flow gets, and logs it unless it is an answer to the question.

    An exception that is not ours becomes ``BackendUnavailable`` with its type and place. Its message may quote values, so we drop it.
    """
    if isinstance(failure, StaleLogin) and isinstance(step, (Login, Adopt)):
        log.warning("a sign-in of user %s was refused: %s", user_mark(step.new.user_id), failure)
    if isinstance(failure, (SessionRevoked, StaleLogin, InvalidCredential)):
        return failure
    if not isinstance(failure, SessionwardError):
        failure = BackendUnavailable(f"it failed with {_kind_and_place(failure)}")
        failure.__suppress_context__ = True
    asked = f"identifier {type(step.spec.identifier).__name__}" if isinstance(step, Identify) else "backend"
    log.error("the %s did not answer %s: %s", asked, type(step).__name__, failure)
    return failure


def _kind_and_place(failure: Exception) -> str:
    place = failure.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
    return f"{type(failure).__module__}.{type(failure).__qualname__}{where}"


# --- the deadline -----------------------------------------------------------------------------------------------------


class _Deadline:
    """Asks a backend within the deadline of one flow. The time begins when this object is made."""

    def __init__(self, backend: Any, timeout: float) -> None:
        self._backend = backend
        self._within: Callable[[float], Any] | None = getattr(backend, "within", None)
        self._timeout = timeout
        self._ends = monotonic() + timeout

    def ask(self, step: Step[Any]) -> Any:
        """Asks a sync backend, or the identifier."""
        if isinstance(step, Identify):
            return self._waited_for(step) if step.spec.blocks else step.ask(None)
        left = self._left()
        if self._within is None or left > 0.999 * self._timeout:
            return step.ask(self._backend)
        return step.ask(self._within(left))

    def _waited_for(self, step: Identify) -> Any:
        """Asks an identifier that waits, in another thread, since it has no timeout of its own."""
        try:
            return _identifier_threads().run(self._left(), partial(step.ask, None))
        except (NoThreadFree, NoAnswer):
            raise self._no_identity() from None

    async def ask_async(self, step: Step[Any]) -> Any:
        """Asks an async backend or the identifier. Cancels the call at the deadline, unless the backend has ``within``."""
        if isinstance(step, Identify):
            return await self._identified(step)
        if self._within is not None:
            return await self.ask(step)
        with move_on_after(self._left()):
            answer = step.ask(self._backend)  # a sync backend beside an async identifier never waits
            return await answer if isawaitable(answer) else answer
        kind = OutcomeUnknown if step.writes else BackendUnavailable
        raise kind(f"the backend did not answer within {self._timeout:g} s")

    async def _identified(self, step: Identify) -> Any:
        if not step.spec.is_async:
            if not step.spec.blocks:
                return step.ask(None)
            try:
                return await _identifier_limit.run(self._left(), self._waited_for, step)
            except NoThreadFree:
                raise self._no_identity() from None
        with move_on_after(self._left()):
            return await step.ask(None)
        raise self._no_identity()

    def _no_identity(self) -> BackendUnavailable:
        return BackendUnavailable(f"the identifier did not answer within {self._timeout:g} s")

    def _left(self) -> float:
        left = self._ends - monotonic()
        if left <= 0:
            raise BackendUnavailable(f"this request has used up the {self._timeout:g} s (backend_timeout) that it may wait for the backend")
        return left


def _told(backend: Any, timeout: float) -> Any:
    """Returns the backend with this timeout, if it has ``within``."""
    return backend.within(timeout) if hasattr(backend, "within") else backend


# --- the drivers of the middlewares -----------------------------------------------------------------------------------


class SyncDriver:
    """Runs flows over a sync backend in the calling thread: for WSGI, and for blocking verbs under ASGI."""

    def __init__(self, backend: Any, timeout: float, *, blocks: bool) -> None:
        self._backend = _told(backend, timeout)
        self._timeout = timeout
        self._blocks = blocks

    def __call__(self, flow: Flow[T]) -> T:
        return run_sync(flow, _Deadline(self._backend, self._timeout).ask if self._blocks else self._ask)

    def _ask(self, step: Step[Any]) -> Any:
        return step.ask(self._backend)


class AsyncDriver(Protocol):
    """Runs flows for the ASGI middleware and the sidecar. ``step``: the question that the flow waits at, if it has begun."""

    async def __call__(self, flow: Flow[T], step: Step[Any] | None = None, /) -> T: ...


def async_driver(backend: Any, timeout: float, *, is_async: bool, blocks: bool) -> AsyncDriver:
    """Returns the driver for a mode. ``is_async``: whether any answer is async; ``blocks``: whether any answer may wait."""
    if is_async:
        return _Async(backend, timeout)
    return _InThread(backend, timeout) if blocks else _Direct(backend)


class _Direct:
    """Runs flows over a sync backend that never waits, on the event loop."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    async def __call__(self, flow: Flow[T], step: Step[Any] | None = None, /) -> T:
        return run_sync(flow, self._ask, step)

    def _ask(self, step: Step[Any]) -> Any:
        return step.ask(self._backend)


class _Async:
    """Runs flows over an async backend."""

    def __init__(self, backend: Any, timeout: float) -> None:
        self._backend = _told(backend, timeout)
        self._timeout = timeout

    async def __call__(self, flow: Flow[T], step: Step[Any] | None = None, /) -> T:
        return await run_async(flow, _Deadline(self._backend, self._timeout).ask_async, step)


class _InThread:
    """Runs flows over a sync backend that waits, in our own threads: as many as its pool has connections."""

    def __init__(self, backend: Any, timeout: float) -> None:
        self._backend = _told(backend, timeout)
        self._timeout = timeout
        self._threads = Threads(getattr(backend, "pool_size", THREADS))

    async def __call__(self, flow: Flow[T], step: Step[Any] | None = None, /) -> T:
        try:
            step = step or flow.send(None)
        except StopIteration as end:  # the flow has decided without the backend
            return cast("T", end.value)
        deadline = _Deadline(self._backend, self._timeout)
        try:
            return await self._threads.run(self._timeout, run_sync, flow, deadline.ask, step)
        except NoThreadFree as busy:
            return run_sync(flow, _refusing(busy), step)


def _refusing(failure: Exception) -> Callable[[Step[Any]], Any]:
    def refuse(_step: Step[Any]) -> Any:
        raise failure

    return refuse


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


_identifier_threads: Final = PerProcess(partial(DaemonThreads, IDENTIFIER_THREADS))
_identifier_limit: Final = Threads(IDENTIFIER_THREADS)
