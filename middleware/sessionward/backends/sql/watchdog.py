"""Breaks off questions that take too long: one thread a process, for drivers that have no deadline of their own.

Started with the first question, and again in a forked child. A thread for each question would cost more than the
question does; an entry here costs less than a microsecond, and the thread is woken once in a deadline at most.
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
    """Calls whatever has not been called off by its time. Times are those of ``time.monotonic``."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._entries: dict[int, Entry] = {}
        self._next = 0
        self._wakes_at = 0.0
        self._thread: Thread | None = None

    def watch(self, at: float, call: Callable[[], None]) -> int:
        """Have ``call`` called at a time, by another thread; answers the key to call it off."""
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

    def call_off(self, key: int) -> bool:
        """Whether it had not been called. Waits for a call that is being made."""
        with self._changed:
            return self._entries.pop(key, None) is not None

    def _run(self) -> None:
        with self._changed:
            while True:
                now = monotonic()
                for key, (at, call) in list(self._entries.items()):
                    if at <= now:
                        del self._entries[key]
                        with suppress(Exception):  # one that fails must not end the watch over all others
                            call()  # under the lock: nobody can have called it off and gone on meanwhile
                self._wakes_at = min((at for at, _ in self._entries.values()), default=float("inf"))
                wait = None if self._wakes_at == float("inf") else self._wakes_at - monotonic()
                if wait is None or wait > 0:
                    self._changed.wait(wait)


_watchdogs: Final[list[Watchdog]] = [Watchdog()]


def watchdog() -> Watchdog:
    """The watchdog of this process."""
    return _watchdogs[0]


def _renew() -> None:
    _watchdogs[0] = Watchdog()  # threads do not survive a fork, and a lock may have been held


os.register_at_fork(after_in_child=_renew)
