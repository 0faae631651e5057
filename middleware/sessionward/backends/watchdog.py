"""Aborts queries that take too long: one thread for each process, for drivers that have no timeout of their own.

The thread starts with the first query, and again in a forked child. A thread for each query would cost more than the query
itself. An entry here costs less than a microsecond, and the thread wakes up at most once in a timeout.

It is a thread of the operating system also where gevent has patched the standard library. A greenlet could not run while a
driver that was imported before the patch, or one in C, holds up all of them: that is when it is needed.

The first call returns when the thread sleeps. A server may fork next, and uWSGI forks without Python's lock of the interpreter: a
thread that is about to run would take that lock just then, and the worker would wait for it for ever.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from time import monotonic
from typing import Any, Final, TypeAlias

from sessionward.process import PerProcess

Entry: TypeAlias = tuple[float, Callable[[], None]]


STARTS_WITHIN: Final = 1.0
"""Seconds after which we do not wait any longer for the thread to start."""


def _unpatched(name: str) -> Any:
    """Returns a function of the module ``_thread`` as it was before gevent patched it, if it did."""
    gevent = sys.modules.get("gevent.monkey")
    return getattr(import_module("_thread"), name) if gevent is None else gevent.get_original("_thread", name)


class Watchdog:
    """Calls each function at its time, unless the function was cancelled before. Times are those of ``time.monotonic``."""

    def __init__(self) -> None:
        allocate_lock, self._start = _unpatched("allocate_lock"), _unpatched("start_new_thread")
        self._lock = allocate_lock()  # held for no longer than an entry takes, or the call that aborts a connection
        self._bell = allocate_lock()
        self._bell.acquire()
        self._sleeps = allocate_lock()
        self._sleeps.acquire()
        self._entries: dict[int, Entry] = {}
        self._next = 0
        self._wakes_at = 0.0
        self._is_running = False

    def watch(self, at: float, call: Callable[[], None]) -> int:
        """Has another thread call ``call`` at a time. Returns the key that cancels it."""
        with self._lock:
            self._next = key = self._next + 1
            self._entries[key] = (at, call)
            is_first = not self._is_running
            if is_first:
                self._start(self._run, ())
                self._is_running = True
            elif at < self._wakes_at:
                self._wakes_at = at
                self._ring()
        if is_first:
            self._sleeps.acquire(timeout=STARTS_WITHIN)
        return key

    def cancel(self, key: int) -> bool:
        """Cancels a call. Returns whether it had not begun. Waits for a call that is under way."""
        with self._lock:
            return self._entries.pop(key, None) is not None

    def _ring(self) -> None:
        if self._bell.locked():
            self._bell.release()

    def _run(self) -> None:
        while True:
            with self._lock:
                now = monotonic()
                for key, (at, call) in list(self._entries.items()):
                    if at <= now:
                        del self._entries[key]
                        with suppress(Exception):  # a call that fails must not stop the thread, which watches all others
                            call()  # under the lock: cancel() waits until this call has returned
                self._wakes_at = min((at for at, _ in self._entries.values()), default=float("inf"))
                wait = self._wakes_at - monotonic()
            if self._sleeps.locked():
                self._sleeps.release()
            if wait > 0:
                self._bell.acquire(timeout=min(wait, threading.TIMEOUT_MAX))


watchdog: Final = PerProcess(Watchdog)
"""Returns the watchdog of this process."""
