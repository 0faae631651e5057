"""Connections of an async driver, and the deadline of a query on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from sessionward.backends.sql.connect import Database, create_tables, own_engine
from sessionward.backends.sql.executor import Executor, Query
from sessionward.backends.sql.pool import C, Pool
from sessionward.errors import BackendUnavailable

R = TypeVar("R")


class LoopPool:
    """Keeps one pool of connections for each event loop, since a driver's futures belong to the loop that made them."""

    def __init__(self, database: Database, *, size: int, timeout: float) -> None:
        self._database = database
        self._size = size
        self._timeout = timeout
        self._opened: dict[asyncio.AbstractEventLoop, _Opened] = {}
        self._running: set[asyncio.Task[Any]] = set()

    async def ask(self, query: Query[R], timeout: float) -> R:
        opened = self._opened.get(asyncio.get_running_loop()) or await self._open()
        answer = _ask(opened, query.run, timeout)
        # Giving a connection back to the user's Engine takes an await, and a cancelled task would not get past it.
        return await (self._run_to_the_end(answer) if query.writes or opened.permits is None else answer)

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
            pool, permits = Pool(database.engine, database.sql, own=False), None
        else:
            engine = own_engine(database, pool_size=self._size, timeout=self._timeout)
            pool, permits = Pool(engine, database.sql, own=True), asyncio.Semaphore(self._size)
        opened = _Opened(pool, permits, self._close_with_loop(pool))
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
    """The pool of one loop. ``permits``: as many as it has connections; None for the user's Engine."""

    pool: Pool
    permits: asyncio.Semaphore | None
    closing: AsyncGenerator[None]


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

    __slots__ = ("_abort", "_ends_at", "_expired", "_handle", "_loop", "_task", "_uncancel_to", "timeout")

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._loop = loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._ends_at = loop.time() + timeout
        self._handle = loop.call_at(self._ends_at, self._expire)
        self._abort: Callable[[], None] | None = None
        self._expired = False
        self._uncancel_to: int | None = None

    def left(self) -> float:
        return max(0.0, self._ends_at - self._loop.time())

    def connect(self, connect: Callable[[], C]) -> C:
        if self._expired:
            raise BackendUnavailable(f"no connection within {self.timeout:g} s")
        self._abort = None
        return connect()

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
            self._uncancel_to = self._task.cancelling()
            self._task.cancel()
