"""What each process makes for itself, at the first question: locks, threads and connections.

Never at import or in a constructor: those may run in a master process, before it forks its workers or gevent patches the
standard library. A lock from before does not work among greenlets, and a thread from before is not there after a fork. We do not
count on ``os.register_at_fork`` either, since uWSGI forks without it.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from time import monotonic
from typing import Final, Generic, TypeVar

from sessionward.errors import BackendUnavailable

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Makes a value at the first call in each process, and anew once the standard library has been patched.

    ``make`` does nothing that waits: two threads may both call it, and one of the two values is dropped unused.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[tuple[int, object], T] = {}

    def __call__(self) -> T:
        key = (os.getpid(), threading.Lock)  # gevent puts another one there
        made = self._made.get(key)
        if made is None:
            _inherited.update((id(other), other) for (process, _), other in list(self._made.items()) if process != key[0])
            made = self._made.setdefault(key, self._make())
        return made

    def pop(self) -> T | None:
        """Forgets the value of this process, and returns it if there is one."""
        return self._made.pop((os.getpid(), threading.Lock), None)


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
