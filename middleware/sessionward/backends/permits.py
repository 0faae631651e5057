"""Permits for at most so many callers at once, first come, first served."""

from __future__ import annotations

import threading
from collections import deque


class Permits:
    """Lets at most ``number`` callers work at once, first come, first served.

    The semaphores of the standard library let quick callers starve the others. Make it by
    :class:`~sessionward.process.PerProcess`, since it has locks.
    """

    def __init__(self, number: int) -> None:
        self._lock = threading.Lock()
        self._free = number
        self._waiting: deque[threading.Lock] = deque()

    def take(self, seconds: float) -> bool:
        """Waits at most ``seconds`` for a permit. Returns whether there was one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        try:
            if gate.acquire(timeout=seconds):
                return True
        except BaseException:  # gevent.Timeout, a killed greenlet, a signal: this caller will never give a permit back
            with self._lock:
                is_handed_over = gate not in self._waiting
                if not is_handed_over:
                    self._waiting.remove(gate)
            if is_handed_over:
                self.give()
            raise
        with self._lock:
            if gate in self._waiting:
                self._waiting.remove(gate)
                return False
            return True  # another caller handed its permit over at the last moment

    def give(self) -> None:
        """Hands the permit to the caller that has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
