"""Connections of an async driver, and the deadline of what is asked on them."""

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
    """Connections of one event loop each: a driver's futures belong to the loop that made them."""

    def __init__(self, database: Database, *, size: int, timeout: float) -> None:
        self._database = database
        self._size = size
        self._timeout = timeout
        self._made: dict[asyncio.AbstractEventLoop, _Made] = {}
        self._running: set[asyncio.Task[Any]] = set()

    async def ask(self, query: Query[R], timeout: float) -> R:
        made = self._made.get(asyncio.get_running_loop()) or await self._make()
        asked = _ask(made, query.run, timeout)
        # A lent connection goes back by an await, which a cancelled task would not get through.
        return await (self._to_the_end(asked) if query.writes or made.permits is None else asked)

    async def create_tables(self) -> None:
        await self._to_the_end(greenlet_spawn(partial(create_tables, self._database, timeout=self._timeout)))

    async def close(self) -> None:
        made = self._made.get(asyncio.get_running_loop())
        if made is not None:
            await made.closing.aclose()

    async def _to_the_end(self, work: Coroutine[Any, Any, R]) -> R:
        """Begun means finished: whoever is cancelled stops waiting, and the work goes on until its deadline."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that an answer nobody waits for is not reported as lost

    async def _make(self) -> _Made:
        for other in [other for other in self._made if other.is_closed()]:
            del self._made[other]
        database = self._database
        if database.engine is not None:
            pool, permits = Pool(database.engine, database.sql, own=False), None
        else:
            engine = own_engine(database, pool_size=self._size, timeout=self._timeout)
            pool, permits = Pool(engine, database.sql, own=True), asyncio.Semaphore(self._size)
        made = _Made(pool, permits, self._until_the_loop_ends(pool))
        self._made[asyncio.get_running_loop()] = made
        await made.closing.__anext__()
        return made

    async def _until_the_loop_ends(self, pool: Pool) -> AsyncGenerator[None]:
        """Waits at its ``yield`` until it is closed: by ``close()``, or by the loop, which ends its generators first."""
        try:
            yield
        finally:
            self._made.pop(asyncio.get_running_loop(), None)
            await greenlet_spawn(pool.close)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """The pool of one loop. ``permits``: as many as it has connections; None for the user's Engine."""

    pool: Pool
    permits: asyncio.Semaphore | None
    closing: AsyncGenerator[None]


async def _ask(made: _Made, question: Callable[[Executor], R], timeout: float) -> R:
    deadline = _LoopDeadline(timeout)
    try:
        if made.permits is None:
            return await greenlet_spawn(made.pool.ask, question, deadline)
        async with made.permits:
            return await greenlet_spawn(made.pool.ask, question, deadline)
    except asyncio.CancelledError:
        if deadline.finish():
            raise BackendUnavailable(f"no connection within {timeout:g} s") from None
        raise
    finally:
        deadline.finish()


class _LoopDeadline:
    """A deadline kept by the event loop: the wait for a connection is cancelled, a connection in use is killed.

    Cancelling a query would make some drivers wait for the server, which is just what may have fallen silent; and
    cancelling what only puts a connection away would lose the answer.
    """

    __slots__ = ("_ends", "_expired", "_handle", "_kill", "_loop", "_task", "_uncancel_to", "timeout")

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._loop = loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._ends = loop.time() + timeout
        self._handle = loop.call_at(self._ends, self._expire)
        self._kill: Callable[[], None] | None = None
        self._expired = False
        self._uncancel_to: int | None = None

    def left(self) -> float:
        return max(0.0, self._ends - self._loop.time())

    def bounded(self, connect: Callable[[], C]) -> C:
        if self._expired:
            raise BackendUnavailable(f"no connection within {self.timeout:g} s")
        self._kill = None
        return connect()

    def connected(self, abort: Callable[[], None]) -> None:
        self._kill = abort

    def give_back(self, close: Callable[[], None]) -> None:
        close()  # under the same abort as the question

    def call_off(self) -> bool:
        return not self._expired

    def pause(self, seconds: float) -> None:
        self._kill = None
        await_only(asyncio.sleep(seconds))

    def finish(self) -> bool:
        """The question is over. Whether it was this timeout, and nobody else, that cancelled it."""
        self._handle.cancel()
        before, self._uncancel_to = self._uncancel_to, None
        return before is not None and self._task is not None and self._task.uncancel() <= before

    def _expire(self) -> None:
        self._expired = True
        if self._kill is not None:
            self._kill()
        elif self._task is not None:
            self._uncancel_to = self._task.cancelling()
            self._task.cancel()
