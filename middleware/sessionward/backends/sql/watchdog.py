"""Aborts queries that take too long: one thread for each process, for drivers that have no timeout of their own.

The thread starts with the first query, and again in a forked child. A thread for each query would cost more than the query
itself. An entry here costs less than a microsecond, and the thread wakes up at most once in a timeout.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread
from time import monotonic
from typing import Final, TypeAlias

Entry: TypeAlias = tuple[float, Callable[[], None]]


class Watchdog:
    """Calls each function at its time, unless the function was cancelled before. Times are those of ``time.monotonic``."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._entries: dict[int, Entry] = {}
        self._next = 0
        self._wakes_at = 0.0
        self._thread: Thread | None = None

    def watch(self, at: float, call: Callable[[], None]) -> int:
        """Has another thread call ``call`` at a time. Returns the key that cancels it."""
        with self._changed:
            self._next += 1
            self._entries[self._next] = (at, call)
            if self._thread is None or not self._thread.is_alive():
                thread = Thread(target=self._run, name="sessionward watchdog", daemon=True)
                thread.start()
                self._thread = thread
            elif at < self._wakes_at:
                self._changed.notify()
            return self._next

    def cancel(self, key: int) -> bool:
        """Cancels a call. Returns whether it had not begun. Waits for a call that is under way."""
        with self._changed:
            return self._entries.pop(key, None) is not None

    def _run(self) -> None:
        with self._changed:
            while True:
                now = monotonic()
                for key, (at, call) in list(self._entries.items()):
                    if at <= now:
                        del self._entries[key]
                        with suppress(Exception):  # a call that fails must not stop the thread, which watches all others
                            call()  # under the lock: cancel() waits until this call has returned
                self._wakes_at = min((at for at, _ in self._entries.values()), default=float("inf"))
                wait = None if self._wakes_at == float("inf") else self._wakes_at - monotonic()
                if wait is None or wait > 0:
                    self._changed.wait(wait)


_watchdogs: Final[list[Watchdog]] = [Watchdog()]


def watchdog() -> Watchdog:
    """Returns the watchdog of this process."""
    return _watchdogs[0]


def _renew() -> None:
    _watchdogs[0] = Watchdog()  # no thread survives a fork, and another thread may have held the lock


os.register_at_fork(after_in_child=_renew)
