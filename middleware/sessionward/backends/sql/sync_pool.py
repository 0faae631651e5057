"""Connections of a plain driver in one process, and the deadline of what is asked on them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, Final, TypeVar
from weakref import WeakSet

from sessionward.backends.sql.connect import Database, create_tables, own_engine
from sessionward.backends.sql.dialect import SQLITE
from sessionward.backends.sql.executor import Query
from sessionward.backends.sql.pool import C, Pool, put_away
from sessionward.backends.sql.watchdog import watchdog
from sessionward.errors import BackendUnavailable

R = TypeVar("R")


_pools: Final[WeakSet[SyncPool]] = WeakSet()


def _renew() -> None:
    for pool in list(_pools):
        pool.renew_lock()


os.register_at_fork(after_in_child=_renew)


class SyncPool:
    """Connections of one process; a forked child makes its own and leaves the parent's alone."""

    def __init__(self, database: Database, *, size: int, timeout: float) -> None:
        self._database = database
        self._size = size
        self._timeout = timeout
        self._lock = threading.Lock()
        self._made: _Made | None = None
        _pools.add(self)

    def renew_lock(self) -> None:
        """In a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()

    def ask(self, query: Query[R], timeout: float) -> R:
        made = self._here()
        deadline = _SyncDeadline(timeout, watches=query.writes or self._database.sql.dialect is not SQLITE)
        if made.permits is None:
            return made.pool.ask(query.run, deadline)
        if not made.permits.take(timeout):
            raise BackendUnavailable(f"all {self._size} connections were in use for {timeout:g} s")
        try:
            return made.pool.ask(query.run, deadline)
        finally:
            made.permits.give()

    def create_tables(self) -> None:
        create_tables(self._database, timeout=self._timeout)

    def close(self) -> None:
        """Close what is idle. The next question opens again."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None and made.process == os.getpid():
            made.pool.close()

    def _here(self) -> _Made:
        made = self._made
        if made is not None and made.process == os.getpid():
            return made
        with self._lock:
            if self._made is None or self._made.process != os.getpid():
                if self._made is not None:
                    _of_parents.append(self._made)
                self._made = self._make()
            return self._made

    def _make(self) -> _Made:
        database = self._database
        if database.engine is not None:
            return _Made(Pool(database.engine, database.sql, own=False), None)
        engine = own_engine(database, pool_size=self._size, timeout=self._timeout)
        return _Made(Pool(engine, database.sql, own=True), _Permits(self._size))


class _Permits:
    """So many may work at once, first come, first served: those of the standard library let the quick starve others."""

    def __init__(self, number: int) -> None:
        self._lock = threading.Lock()
        self._free = number
        self._waiting: deque[threading.Lock] = deque()

    def take(self, seconds: float) -> bool:
        """Wait for a permit, so long at most; whether there was one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        if gate.acquire(timeout=seconds):
            return True
        with self._lock:
            if gate in self._waiting:
                self._waiting.remove(gate)
                return False
            return True  # it was handed over at the last moment

    def give(self) -> None:
        """Hand the permit to whoever has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class _Made:
    """A pool and the process that made it. ``permits``: as many as it has connections; None for the user's Engine."""

    def __init__(self, pool: Pool, permits: _Permits | None) -> None:
        self.pool = pool
        self.permits = permits
        self.process = os.getpid()


_of_parents: Final[list[_Made]] = []
"""Connections inherited by a fork: kept, so that nobody closes them from here. They belong to the parent."""


class _SyncDeadline:
    """A deadline kept by the watchdog. ``watches``: false for reads of SQLite, which nothing can make wait."""

    __slots__ = ("_ends", "_key", "_watches", "timeout")

    def __init__(self, timeout: float, *, watches: bool) -> None:
        self.timeout = timeout
        self._ends = monotonic() + timeout
        self._watches = watches
        self._key = 0

    def left(self) -> float:
        return max(0.0, self._ends - monotonic())

    def bounded(self, connect: Callable[[], C]) -> C:
        """In a thread of its own: neither all drivers nor pools can be told how long they may take."""
        made: Future[C] = Future()

        def run() -> None:
            try:
                made.set_result(connect())
            except BaseException as failure:
                made.set_exception(failure)

        threading.Thread(target=run, name="sessionward connect", daemon=True).start()
        try:
            return made.result(self.left())
        except TimeoutError:
            made.add_done_callback(_close_late)
            raise BackendUnavailable(f"no connection within {self.timeout:g} s") from None

    def connected(self, abort: Callable[[], None]) -> None:
        if self._watches:
            self._key = watchdog().watch(self._ends, abort)

    def give_back(self, close: Callable[[], None]) -> None:
        given: Future[None] = Future()

        def run() -> None:
            with suppress(Exception):
                close()
            given.set_result(None)

        threading.Thread(target=run, name="sessionward give back", daemon=True).start()
        with suppress(TimeoutError):
            given.result(self.left())

    def call_off(self) -> bool:
        return watchdog().call_off(self._key) if self._watches else True

    def pause(self, seconds: float) -> None:
        sleep(seconds)


def _close_late(made: Future[Any]) -> None:
    if made.exception() is None:
        put_away(made.result())
