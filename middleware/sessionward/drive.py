"""Runs a flow to its end. Here and in ``deadline.py`` sync and async meet.

It has two loops: one for sync backends, one for async backends. Under ASGI a flow over a sync backend that waits moves to a
thread once, not once for each question. It leaves the thread to wait for a lease. One flow has one deadline (P7). A backend with
``within(seconds)`` gets the time that is left, and enforces it itself. Waiting for a lease does not count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from threading import Lock
from typing import Any, Final, Protocol, TypeVar, cast

from sessionward.deadline import Asked, Deadline, Now, Threads, asked_now, checking_now
from sessionward.errors import ANSWERS, BackendUnavailable, SessionwardError, StaleLogin, TooManySessions
from sessionward.process import NoThreadFree
from sessionward.session.call import Call
from sessionward.session.pause import Pause
from sessionward.session.session import user_mark
from sessionward.session.step import Flow, Step
from sessionward.session.steps import Adopt, Login

T = TypeVar("T")

log = logging.getLogger("sessionward")

THREADS: Final = 10
"""The most threads for a sync backend without ``pool_size``."""


# --- the two loops ----------------------------------------------------------------------------------------------------


def run_sync(flow: Flow[T], ask: Callable[[Step[Any]], Any], step: Step[Any] | None = None) -> T:
    """Runs a flow with a sync function ``ask``, which answers its questions. Returns what the flow returns.

    ``step``: the question that the flow waits at, if it has begun.
    """
    try:
        if step is None:
            step = flow.send(None)
        while True:
            step = _answered(flow, ask, step)
    except StopIteration as end:
        return cast("T", end.value)
    except BaseException:  # interrupted: others may wait for the answer that this flow will not get
        flow.close()
        raise


def _answered(flow: Flow[Any], ask: Callable[[Step[Any]], Any], step: Step[Any]) -> Step[Any]:
    """Answers one question of a flow. Returns the next one. Raises ``StopIteration`` at the end of the flow."""
    try:
        answer = ask(step)
    except Exception as failure:
        return flow.throw(_noted(step, failure))
    return flow.send(answer)


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
    except BaseException:  # cancelled: others may wait for the answer that this flow will not get
        flow.close()
        raise


def _noted(step: Step[Any], failure: Exception) -> Exception:
    """Returns the exception that the flow gets, and logs it unless it is an answer to the question, or the flow reports it.

    An exception that is not ours becomes ``BackendUnavailable`` with its type and place. Its message may quote values, so we drop it.
    """
    if isinstance(failure, (StaleLogin, TooManySessions)) and isinstance(step, (Login, Adopt)):
        log.warning("a sign-in of user %s was refused: %s", user_mark(step.new.user_id), failure)
    if not step.is_vital if isinstance(step, Call) else isinstance(failure, ANSWERS):
        return failure
    if not isinstance(failure, SessionwardError):
        failure = BackendUnavailable(f"it failed with {kind_and_place(failure)}")
        failure.__suppress_context__ = True
    log.error("%s", step.complaint(failure))
    return failure


def kind_and_place(failure: Exception) -> str:
    """Returns what the log says of an exception that is not ours."""
    place = failure.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
    return f"{type(failure).__module__}.{type(failure).__qualname__}{where}"


# --- the drivers of the middlewares -----------------------------------------------------------------------------------


def _told(backend: Any, timeout: float) -> Any:
    """Returns the backend with this timeout, if it has ``within``."""
    return backend.within(timeout) if hasattr(backend, "within") else backend


def _begun(flow: Flow[Any], step: Step[Any] | None, asked: Asked | None, now: Now | None) -> Step[Any]:
    """Begins a flow, and answers what need not wait. Returns the step that it waits at. Raises ``StopIteration`` at its end."""
    if step is None:
        step = flow.send(None)
    if asked is not None and asked.answers(step):
        return _answered(flow, asked.ask, step)
    return step if now is None else asked_now(flow, now, step)


class SyncDriver:
    """Runs flows over a sync backend in the calling thread: for WSGI, and for blocking verbs under ASGI.

    ``backend``: with the timeout, if it takes one.
    """

    def __init__(self, backend: Any, timeout: float, *, blocks: bool) -> None:
        self.backend = _told(backend, timeout)
        self._timeout = timeout
        self._blocks = blocks
        self._now = checking_now(backend)

    def __call__(self, flow: Flow[T], asked: Asked | None = None) -> T:
        """Runs a flow to its end. ``asked``: what answers its first question, if it asks that."""
        try:
            step = _begun(flow, None, asked, self._now)
        except StopIteration as end:
            return cast("T", end.value)
        return run_sync(flow, Deadline(self.backend, self._timeout, asked).ask if self._blocks else self._ask, step)

    def _ask(self, step: Step[Any]) -> Any:
        return step.ask(self.backend)


class AsyncDriver(Protocol):
    """Runs flows for the ASGI middleware and the sidecar.

    ``step``: the question that the flow waits at, if it has begun. ``asked``: what answers that question, if it is the one.
    ``backend``: with the timeout, if it takes one.
    """

    backend: Any

    async def __call__(self, flow: Flow[T], step: Step[Any] | None = None, asked: Asked | None = None, /) -> T: ...


def async_driver(backend: Any, timeout: float, *, is_async: bool, blocks: bool) -> AsyncDriver:
    """Returns the driver for a mode. ``is_async``: whether any answer is async; ``blocks``: whether any answer may wait."""
    if is_async:
        return _Async(backend, timeout)
    return _InThread(backend, timeout) if blocks else _Direct(backend)


class _Direct:
    """Runs flows over a sync backend that never waits, on the event loop."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    async def __call__(self, flow: Flow[T], step: Step[Any] | None = None, asked: Asked | None = None, /) -> T:
        try:
            step = _begun(flow, step, asked, None)
        except StopIteration as end:
            return cast("T", end.value)
        return run_sync(flow, self._ask, step)

    def _ask(self, step: Step[Any]) -> Any:
        return step.ask(self.backend)


class _Async:
    """Runs flows over an async backend."""

    def __init__(self, backend: Any, timeout: float) -> None:
        self.backend = _told(backend, timeout)
        self._timeout = timeout
        self._now = checking_now(backend)

    async def __call__(self, flow: Flow[T], step: Step[Any] | None = None, asked: Asked | None = None, /) -> T:
        try:
            step = _begun(flow, step, asked, self._now)
        except StopIteration as end:
            return cast("T", end.value)
        return await run_async(flow, Deadline(self.backend, self._timeout, asked).ask_async, step)


class _InThread:
    """Runs flows over a sync backend that waits, in our own threads: as many as its pool has connections."""

    def __init__(self, backend: Any, timeout: float) -> None:
        self.backend = _told(backend, timeout)
        self._timeout = timeout
        self._threads = Threads(getattr(backend, "pool_size", THREADS))
        self._now = checking_now(backend)

    async def __call__(self, flow: Flow[T], step: Step[Any] | None = None, asked: Asked | None = None, /) -> T:
        try:
            at = _begun(flow, step, asked, self._now)
        except StopIteration as end:  # the flow has decided without a thread
            return cast("T", end.value)
        deadline = Deadline(self.backend, self._timeout, asked)
        while True:
            if isinstance(at, Pause):
                ended, at = await _paused(flow, deadline, at)
            else:
                stay = _Stay(flow)
                try:
                    ended, at = await self._threads.run(self._timeout, stay.run, deadline.ask, at)
                except NoThreadFree as busy:
                    ended, at = _until_pause(flow, _refusing(busy), at)
                except BaseException:
                    stay.leave()
                    raise
            if ended is not None:
                return cast("T", ended.value)


class _Stay:
    """The stay of a flow in a thread. If the request is cancelled, a flow that has begun there goes on to its end or to a pause.

    After that we close it, since others may wait for its answer. One that has not begun we close at once.
    """

    __slots__ = ("_flow", "_has_begun", "_is_left", "_is_over", "_lock")

    def __init__(self, flow: Flow[Any]) -> None:
        self._flow = flow
        self._lock = Lock()
        self._has_begun = self._is_over = self._is_left = False

    def run(self, ask: Callable[[Step[Any]], Any], step: Step[Any]) -> tuple[StopIteration | None, Step[Any]]:
        with self._lock:
            if self._is_left:
                return None, step
            self._has_begun = True
        try:
            return _until_pause(self._flow, ask, step)
        finally:
            with self._lock:
                self._is_over, is_left = True, self._is_left
            if is_left:
                self._flow.close()

    def leave(self) -> None:
        """The request was cancelled."""
        with self._lock:
            self._is_left, is_ours = True, self._is_over or not self._has_begun
        if is_ours:
            self._flow.close()


def _until_pause(flow: Flow[Any], ask: Callable[[Step[Any]], Any], step: Step[Any]) -> tuple[StopIteration | None, Step[Any]]:
    """Runs a flow in a thread, to its end or to a pause, which holds no thread."""
    try:
        step = _answered(flow, ask, step)
        while not isinstance(step, Pause):
            step = _answered(flow, ask, step)
    except StopIteration as end:
        return end, step
    return None, step


async def _paused(flow: Flow[Any], deadline: Deadline, step: Pause[Any]) -> tuple[StopIteration | None, Step[Any]]:
    """Waits for a lease, or for the application, on the event loop."""
    try:
        try:
            answer = await deadline.pause(step)
        except Exception as failure:
            return None, flow.throw(_noted(step, failure))
        return None, flow.send(answer)
    except StopIteration as end:
        return end, step
    except BaseException:
        flow.close()
        raise


def _refusing(failure: Exception) -> Callable[[Step[Any]], Any]:
    def refuse(_step: Step[Any]) -> Any:
        raise failure

    return refuse
