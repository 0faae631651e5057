"""Connections of an async driver, and the deadline of a query on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from sessionward.backends.sql.connect import Database, create_tables, own_engine
from sessionward.backends.sql.connecting import CONNECTING
from sessionward.backends.sql.dialect import POSTGRESQL
from sessionward.backends.sql.executor import Executor, Lookup, Query
from sessionward.backends.sql.lane import FETCHERS, Lane
from sessionward.backends.sql.pool import C, Pool
from sessionward.backends.sql.witness import Witness
from sessionward.errors import BackendUnavailable

R = TypeVar("R")


class LoopPool:
    """Keeps one pool of connections for each event loop, since a driver's futures belong to the loop that made them."""

    def __init__(self, database: Database, *, size: int, timeout: float, witness: Witness | None = None) -> None:
        self._database = database
        self._witness = witness
        self._size = size
        self._timeout = timeout
        self._opened: dict[asyncio.AbstractEventLoop, _Opened] = {}
        self._running: set[asyncio.Task[Any]] = set()

    async def ask(self, query: Query[R] | Lookup[R], timeout: float) -> R:
        loop = asyncio.get_running_loop()
        opened = self._opened.get(loop) or await self._open()
        if opened.lane is not None and isinstance(query, Lookup):
            ends_at = loop.time() + timeout
            found = await opened.short(opened.lane, query, timeout)
            if found is not None:
                return found[0]
            if loop.time() >= ends_at:
                raise BackendUnavailable(f"{self._database.sql.dialect.display_name} did not answer within {timeout:g} s")
            timeout = ends_at - loop.time()
        answer = _ask(opened, query.run, timeout)
        # Giving a connection back to the user's Engine takes an await, and a cancelled task would not get past it.
        return await (self._run_to_the_end(answer) if query.writes or opened.permits is None else answer)

    def on_any_server(self) -> LoopPool:
        """Does what that of ``SyncPool`` does."""
        if self._witness is None or self._database.sql.dialect is not POSTGRESQL:
            return self
        return LoopPool(self._database, size=self._size, timeout=self._timeout)

    async def create_tables(self) -> None:
        await self._run_to_the_end(greenlet_spawn(partial(create_tables, self._database, timeout=self._timeout)))

    async def close(self) -> None:
        opened = self._opened.get(asyncio.get_running_loop())
        if opened is not None:
            await opened.closing.aclose()

    async def _run_to_the_end(self, work: Coroutine[Any, Any, R]) -> R:
        """Returns what ``work`` returns. If the caller is cancelled, it stops waiting, and the work goes on until its deadline."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved; asyncio would log an exception that no caller retrieves

    async def _open(self) -> _Opened:
        for other in [other for other in self._opened if other.is_closed()]:
            del self._opened[other]
        database = self._database
        if database.engine is not None:
            pool, permits, fetch = Pool(database.engine, database.sql, own=False, witness=self._witness), None, None
        else:
            engine = own_engine(database, pool_size=self._size, timeout=self._timeout)
            pool, permits = Pool(engine, database.sql, own=True, witness=self._witness), asyncio.Semaphore(self._size)
            fetch = FETCHERS.get(engine.dialect.driver) if database.sql.dialect is POSTGRESQL else None
        lane = None if fetch is None else Lane(pool, database.sql, fetch)
        opened = _Opened(pool, permits, lane, self._close_with_loop(pool))
        self._opened[asyncio.get_running_loop()] = opened
        await opened.closing.__anext__()
        return opened

    async def _close_with_loop(self, pool: Pool) -> AsyncGenerator[None]:
        """Closes the pool when ``close()`` closes this generator, or when the event loop does, just before the loop ends."""
        try:
            yield
        finally:
            self._opened.pop(asyncio.get_running_loop(), None)
            await greenlet_spawn(pool.close)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """The pool of one loop. ``permits``: as many as it has connections; None for the user's Engine. ``lane``: the short way, if any."""

    pool: Pool
    permits: asyncio.Semaphore | None
    lane: Lane | None
    closing: AsyncGenerator[None]

    async def short(self, lane: Lane, lookup: Lookup[R], timeout: float) -> tuple[R] | None:
        """Asks on the short way if a permit is free at once. Returns the answer in a tuple, or None: ask on the ordinary way."""
        permits = self.permits
        if permits is None or permits.locked():
            return None
        async with permits:
            return await lane.read(lookup, timeout)


async def _ask(opened: _Opened, run: Callable[[Executor], R], timeout: float) -> R:
    deadline = _LoopDeadline(timeout)
    try:
        if opened.permits is None:
            return await greenlet_spawn(opened.pool.ask, run, deadline)
        async with opened.permits:
            return await greenlet_spawn(opened.pool.ask, run, deadline)
    except asyncio.CancelledError:
        if deadline.finish():
            raise BackendUnavailable(f"no connection within {timeout:g} s") from None
        raise
    finally:
        deadline.finish()


class _LoopDeadline:
    """A deadline that the event loop enforces. It cancels the wait for a connection, and aborts a connection that is in use.

    If we cancelled a query, some drivers would first wait for the server, and the server may be what does not answer. If we
    cancelled the code that only gives a connection back, we would lose the answer.
    """

    __slots__ = ("_abort", "_cancelling", "_ends_at", "_expired", "_handle", "_loop", "_task", "_uncancel_to", "timeout")

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._loop = loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._ends_at = loop.time() + timeout
        self._handle = loop.call_at(self._ends_at, self._expire)
        self._abort: Callable[[], None] | None = None
        self._expired = False
        self._uncancel_to: int | None = None
        self._cancelling = 0 if self._task is None else self._task.cancelling()

    def left(self) -> float:
        return max(0.0, self._ends_at - self._loop.time())

    def connect(self, connect: Callable[[], C]) -> C:
        if self._expired:
            raise BackendUnavailable(f"no connection within {self.timeout:g} s")
        self._abort = None
        waited = CONNECTING.set(self)
        try:
            return connect()
        except Exception:
            if self._expired:
                raise BackendUnavailable(f"no connection within {self.timeout:g} s") from None
            raise
        finally:
            CONNECTING.reset(waited)

    def made(self, abort: Callable[[], None]) -> None:
        """Has a new connection aborted at the deadline, in place of the task: some drivers would first wait for the server."""
        self._abort = abort
        if self._expired:
            abort()

    def arm(self, abort: Callable[[], None]) -> None:
        self._abort = abort

    def give_back(self, close: Callable[[], None]) -> None:
        close()  # armed with the same abort as the query

    def disarm(self) -> bool:
        return not self._expired

    def pause(self, seconds: float) -> None:
        self._abort = None
        await_only(asyncio.sleep(seconds))

    def finish(self) -> bool:
        """Stops the deadline. Returns whether the deadline, and no other code, has cancelled the task."""
        self._handle.cancel()
        before, self._uncancel_to = self._uncancel_to, None
        return before is not None and self._task is not None and self._task.uncancel() <= before

    def _expire(self) -> None:
        self._expired = True
        if self._abort is not None:
            self._abort()
        elif self._task is not None:
            self._uncancel_to = self._cancelling
            self._task.cancel()
