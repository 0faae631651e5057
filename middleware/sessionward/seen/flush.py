"""Records that sessions are used, behind the requests: no request waits for it.

A session is noted at most once in each pause. What is noted waits for up to ``EVERY`` seconds, and then one question records all of
it, as of the oldest use. One that has waited too long is dropped. One that fails, or finds no room, is lost, too:
then the session seems to have been used less recently, and with an idle limit it ends early. Nothing here makes a session live
again; the backend sees to that.

==================  ==================================================================================================
``AtOnce``          a backend that never waits: the request itself records, at most once in each pause
``ByThread``        a sync backend: one thread for each process, which starts with the first use, and again after a fork
``ByLoop``          an async backend: one task at a time for each event loop
==================  ==================================================================================================
"""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
import time
import weakref
from asyncio import AbstractEventLoop, Task
from contextlib import suppress
from contextvars import Context as ContextVariables
from time import monotonic
from typing import Any, Final

from sessionward.deadline import Threads
from sessionward.door.parts import warn
from sessionward.drive import AsyncDriver, SyncDriver, async_driver
from sessionward.errors import SessionwardError
from sessionward.handle.sessions import running_loop
from sessionward.modes.mode import Mode
from sessionward.process import PerProcess
from sessionward.seen.notes import AtOnce, Seen
from sessionward.seen.waiting import Waiting
from sessionward.session.session import Session

EVERY: Final = 1.0
"""Seconds from the first use that is noted to the question that records it."""
TIMEOUT: Final = 2.0
"""Seconds that a record may take, whatever the setting says. It is less than ``TOO_LATE``, so that a record is committed before a
session that it extends has expired (P6)."""


def seen_of(mode: Mode[Any], backend: Any) -> Seen | None:
    """Returns what notes the sessions of a mode, or None if the settings do not ask for it or the backend cannot keep it."""
    settings, capabilities = mode.settings, mode.capabilities
    if not capabilities.supports_seen or not (settings.api or settings.idle_timeout is not None):
        return None
    timeout, idle_timeout = min(settings.backend_timeout, TIMEOUT), settings.idle_timeout
    if capabilities.is_async:
        return ByLoop(idle_timeout, async_driver(backend, timeout, is_async=True, blocks=capabilities.blocks))
    driver = SyncDriver(backend, timeout, blocks=capabilities.blocks)
    return ByThread(idle_timeout, driver) if capabilities.blocks else AtOnce(idle_timeout, driver)


class ByThread(Seen):
    """For a sync backend. Its thread ends when nothing waits any more."""

    def __init__(self, idle_timeout: float | None, driver: SyncDriver) -> None:
        super().__init__(idle_timeout)
        self._driver = driver
        self._here = PerProcess(Waiting)
        self._threads = Threads(1)

    async def flush(self) -> None:
        with suppress(SessionwardError):  # another flush takes too long, and nothing is certain at the end of a server
            await self._threads.run(TIMEOUT, self.flush_now)

    def flush_now(self) -> None:
        """Records what waits, in the calling thread."""
        here = self._here()
        self._forget(here.late())
        while batch := here.take():
            began = monotonic()
            try:
                due_again = self._driver(self._question(batch.sessions, batch.age))
            except Exception:  # the thread must go on; it does not try the other batches, each for as long
                self._forget([*batch.sessions, *here.drop()])
            else:
                self._answered(began, due_again)

    def _wait(self, session: Session) -> bool:
        here = self._here()
        if not here.add(session):
            return False
        if (here.is_stuck() or _threads_stop()) and running_loop() is None:
            self.flush_now()
            return False  # the answer has said when it is due again
        if here.begins():
            _at_exit().add(self)
            try:
                threading.Thread(target=_work, args=(weakref.ref(self), here), name="sessionward last use", daemon=True).start()
            except RuntimeError:  # the system has no thread left: the next session that is noted tries again
                here.is_running = False
        return True


def _threads_stop() -> bool:
    """Returns whether the server runs no thread between two requests: uWSGI without ``--enable-threads``, ``--threads`` or gevent.

    There a thread could stop in the middle of a transaction, and keep its locks until the next request (P8).
    """
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    return options is not None and _WITH_THREADS.isdisjoint(name.decode() if isinstance(name, bytes) else name for name in options)


_WITH_THREADS: Final = frozenset({"enable-threads", "threads", "gevent"})


def _work(owner: weakref.ref[ByThread], here: Waiting) -> None:
    """Runs in the thread. A middleware that is gone, as after a test, records nothing more."""
    while not here.ends():
        time.sleep(EVERY)  # by its module: gevent patches it there
        seen = owner()
        if seen is None:
            return
        here.is_recording = True
        seen.flush_now()
        here.is_recording = False
        del seen


def _opened() -> weakref.WeakSet[ByThread]:
    opened: weakref.WeakSet[ByThread] = weakref.WeakSet()
    atexit.register(_flush_all, opened)
    return opened


def _flush_all(opened: weakref.WeakSet[ByThread]) -> None:
    for seen in list(opened):
        seen.flush_now()


_at_exit: Final = PerProcess(_opened)
"""Returns those that have something to record in this process. A WSGI server does not tell us when it ends."""


class ByLoop(Seen):
    """For an async backend, whose connections belong to an event loop."""

    def __init__(self, idle_timeout: float | None, driver: AsyncDriver) -> None:
        super().__init__(idle_timeout)
        self._driver = driver
        self._by_loop: dict[AbstractEventLoop, Waiting] = {}
        self._tasks: set[Task[None]] = set()

    async def flush(self) -> None:
        with suppress(RuntimeError):  # trio
            await self._record(self._by_loop.get(asyncio.get_running_loop()) or Waiting())

    def _wait(self, session: Session) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            warn(_TRIO)
            return True
        here = self._by_loop.get(loop)
        if here is None:
            for other in list(self._by_loop):
                if other.is_closed():
                    self._by_loop.pop(other, None)
            here = self._by_loop[loop] = Waiting()
        if not here.add(session):
            return False
        if here.begins():
            self._later(loop, here)
        return True

    def _later(self, loop: AbstractEventLoop, here: Waiting) -> None:
        loop.call_later(EVERY, self._begin, loop, here, context=ContextVariables())  # else the timer would keep those of a request

    def _begin(self, loop: AbstractEventLoop, here: Waiting) -> None:
        task = loop.create_task(self._run(loop, here), context=ContextVariables())
        self._tasks.add(task)  # a loop keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    async def _run(self, loop: AbstractEventLoop, here: Waiting) -> None:
        try:
            await self._record(here)
        finally:  # also if other code has cancelled the task, or nothing would come any more
            if not here.ends() and not loop.is_closed():
                self._later(loop, here)

    async def _record(self, here: Waiting) -> None:
        self._forget(here.late())
        while batch := here.take():
            began = monotonic()
            try:
                due_again = await self._driver(self._question(batch.sessions, batch.age))
            except asyncio.CancelledError:
                self._forget(batch.sessions)
                raise
            except Exception:  # it does not try the other batches, each for as long
                self._forget([*batch.sessions, *here.drop()])
            else:
                self._answered(began, due_again)


_TRIO: Final = (
    "under trio an async backend does not record when sessions are used: with idle_timeout they end although they are used; use the"
    " sync backend, or a server on asyncio"
)
