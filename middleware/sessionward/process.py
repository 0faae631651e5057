"""What each process makes for itself, at the first question: locks, threads and connections.

Never at import or in a constructor: those may run in a master process, before it forks its workers or gevent patches the
standard library. A lock from before does not work among greenlets, and a thread from before is not there after a fork. We do not
count on ``os.register_at_fork`` either, since uWSGI forks without it.
"""

from __future__ import annotations

import mmap
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Final, Generic, TypeVar

from sessionward.errors import BackendUnavailable

T = TypeVar("T")


clock: Final[Callable[[], float]] = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else monotonic
"""Returns seconds for leases. It goes on while the machine is suspended, where the system has such a clock."""


class PerProcess(Generic[T]):
    """Makes a value at the first call in each process, and anew once the standard library has been patched.

    ``make`` does nothing that waits: two threads may both call it, and one of the two values is dropped unused.
    """

    __slots__ = ("_last", "_made", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[tuple[int, object], T] = {}
        self._last: tuple[int, object, T] | None = None
        """The process, its lock class, and the value that it got last."""

    def __call__(self) -> T:
        last = self._last
        if _is_same[0] and last is not None and last[0] == _process[0] and last[1] is threading.Lock:  # gevent puts another one there
            return last[2]
        return self._looked_up()

    def _looked_up(self) -> T:
        key = (_process_id(), threading.Lock)
        made = self._made.get(key)
        if made is None:
            _inherited.update((id(other), other) for (process, _), other in list(self._made.items()) if process != key[0])
            made = self._made.setdefault(key, self._make())
        self._last = (*key, made)
        return made

    def pop(self) -> T | None:
        """Forgets the value of this process, and returns it if there is one."""
        self._last = None
        return self._made.pop((_process_id(), threading.Lock), None)


# os.getpid() is a system call, and costs 0.26 us for each question. A byte that the kernel clears at each fork costs 0.02 us.


def _page() -> bytearray | mmap.mmap:
    """Returns memory whose first byte is 0 in each new process until it is set there, also if the fork does not tell Python.

    Elsewhere than on Linux we set nothing there, and the byte stays 0.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # before Linux 4.14
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(MADV_WIPEONFORK)
            os.register_at_fork(after_in_child=partial(page.__setitem__, 0, 0))  # where something only pretends to be Linux
            return page
    return bytearray(1)


def _process_id() -> int:
    """Returns the id of this process."""
    if not _is_same[0]:
        _process[0] = os.getpid()
        if isinstance(_is_same, mmap.mmap):
            _is_same[0] = 1
    return _process[0]


MADV_WIPEONFORK: Final = 18
"""madvise(2)"""
_is_same: Final = _page()
"""Whether ``_process`` has been set in this process."""
_process: Final = [0]


_inherited: Final[dict[int, object]] = {}
"""What a fork has inherited belongs to the parent. We keep it, so that nothing closes its connections in this process."""


class NoThreadFree(BackendUnavailable):
    """Every thread was busy for a whole timeout. The function has not been called."""


class NoAnswer(BackendUnavailable):
    """A function did not return in time. It goes on, and its thread stays busy until it returns."""


class DaemonThreads:
    """At most so many threads that wait in the place of others. None of them keeps the process from its end.

    Make it by :class:`PerProcess`. It starts a thread when a call finds none idle.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._permits = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle = 0
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self, timeout: float, function: Callable[[], T]) -> T:
        """Returns what ``function`` returns in one of the threads, in the caller's context.

        Raises what it raises, and :class:`NoThreadFree` or :class:`NoAnswer` after ``timeout`` seconds.
        """
        ends_at = monotonic() + timeout
        if not self._permits.acquire(timeout=timeout):
            raise NoThreadFree(f"all {self._size} threads were busy for {timeout:g} s")
        answer: Future[T] = Future()
        try:
            self._have_one_idle()
        except BaseException:
            self._permits.release()
            raise
        context = copy_context()
        self._jobs.put(lambda: context.run(lambda: _fulfil(answer, function)))
        try:
            return answer.result(max(0.0, ends_at - monotonic()))
        except TimeoutError:
            if answer.done():  # it is the function's own, or came at the last moment
                return answer.result()
            raise NoAnswer(f"no answer within {timeout:g} s") from None

    def _have_one_idle(self) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
                return
        threading.Thread(target=self._work, name="sessionward identifier", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._jobs.get()()
            with self._lock:
                self._idle += 1
            self._permits.release()


def _fulfil(answer: Future[T], function: Callable[[], T]) -> None:
    try:
        answer.set_result(function())
    except BaseException as failure:
        answer.set_exception(failure)
