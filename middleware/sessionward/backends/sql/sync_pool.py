"""Connections of a sync driver in one process, and the deadline of a query on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from sessionward.backends.permits import Permits
from sessionward.backends.sql.connect import Database, create_tables, own_engine
from sessionward.backends.sql.connecting import CONNECTING, Patience
from sessionward.backends.sql.dialect import POSTGRESQL, SQLITE
from sessionward.backends.sql.executor import Lookup, Query
from sessionward.backends.sql.pool import C, Pool, close_or_return
from sessionward.backends.sql.witness import Witness
from sessionward.backends.watchdog import watchdog
from sessionward.errors import BackendUnavailable
from sessionward.process import PerProcess

R = TypeVar("R")


class SyncPool:
    """Connections of one process. A forked child opens its own and does not use those of its parent."""

    def __init__(self, database: Database, *, size: int, timeout: float, witness: Witness | None = None) -> None:
        self._database = database
        self._witness = witness
        self._size = size
        self._timeout = timeout
        self._opened: PerProcess[_Opened] = PerProcess(self._open)

    def ask(self, query: Query[R] | Lookup[R], timeout: float) -> R:
        opened = self._opened()
        deadline = _SyncDeadline(timeout, is_watched=query.writes or self._database.sql.dialect is not SQLITE)
        if opened.permits is None:
            return opened.pool.ask(query.run, deadline)
        if not opened.permits.take(timeout):
            raise BackendUnavailable(
                f"all {self._size} connections were in use for {timeout:g} s; raise pool_size, or look for slow queries"
            )
        try:
            return opened.pool.ask(query.run, deadline)
        finally:
            opened.permits.give()

    def on_any_server(self) -> SyncPool:
        """Returns a pool that also uses a PostgreSQL server which is refused since commits may be missing."""
        if self._witness is None or self._database.sql.dialect is not POSTGRESQL:
            return self
        return SyncPool(self._database, size=self._size, timeout=self._timeout)

    def create_tables(self) -> None:
        create_tables(self._database, timeout=self._timeout)

    def close(self) -> None:
        """Closes the idle connections. The next query opens new ones."""
        opened = self._opened.pop()
        if opened is not None:
            opened.pool.close()

    def _open(self) -> _Opened:
        database = self._database
        if database.engine is not None:
            return _Opened(Pool(database.engine, database.sql, own=False, witness=self._witness), None)
        engine = own_engine(database, pool_size=self._size, timeout=self._timeout)
        return _Opened(Pool(engine, database.sql, own=True, witness=self._witness), Permits(self._size))


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """A pool of one process. ``permits``: as many as it has connections; None for the user's Engine."""

    pool: Pool
    permits: Permits | None


class _SyncDeadline:
    """A deadline that the watchdog enforces. ``is_watched``: False for reads of SQLite, which ends their wait by itself."""

    __slots__ = ("_ends_at", "_key", "_watchdog", "timeout")

    def __init__(self, timeout: float, *, is_watched: bool) -> None:
        self.timeout = timeout
        self._ends_at = monotonic() + timeout
        self._watchdog = watchdog() if is_watched else None
        self._key = 0

    def left(self) -> float:
        return max(0.0, self._ends_at - monotonic())

    def connect(self, connect: Callable[[], C]) -> C:
        """Connects in a separate thread, since not all drivers and pools accept a timeout."""
        connected: Future[C] = Future()
        patience = Patience()

        def run() -> None:
            CONNECTING.set(patience)
            try:
                connected.set_result(connect())
            except BaseException as failure:
                connected.set_exception(failure)

        threading.Thread(target=run, name="sessionward connect", daemon=True).start()
        try:
            return connected.result(self.left())
        except BaseException as failure:
            connected.add_done_callback(_close_late)  # does nothing if it has failed
            patience.end()
            if not isinstance(failure, TimeoutError):
                raise
            raise BackendUnavailable(f"no connection within {self.timeout:g} s") from None

    def arm(self, abort: Callable[[], None]) -> None:
        if self._watchdog is not None:
            self._key = self._watchdog.watch(self._ends_at, abort)

    def give_back(self, close: Callable[[], None]) -> None:
        returned: Future[None] = Future()

        def run() -> None:
            with suppress(Exception):
                close()
            returned.set_result(None)

        threading.Thread(target=run, name="sessionward give back", daemon=True).start()
        with suppress(TimeoutError):
            returned.result(self.left())

    def disarm(self) -> bool:
        return True if self._watchdog is None else self._watchdog.cancel(self._key)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # by its module: gevent patches it there


def _close_late(connected: Future[Any]) -> None:
    if connected.exception() is None:
        close_or_return(connected.result())
