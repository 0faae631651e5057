"""Connections of an async driver, and the deadline of what is asked on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.util import await_only, greenlet_spawn

from sessionward.backends.sql.pool import Pool
from sessionward.backends.sql.source import Source, own_engine
from sessionward.backends.sql.wire import Wire
from sessionward.errors import BackendUnavailable

R = TypeVar("R")


class LoopPool:
    """Connections of one event loop each: a driver's futures belong to the loop that made them."""

    def __init__(self, source: Source, *, size: int, deadline: float) -> None:
        self._source = source
        self._size = size
        self._deadline = deadline
        self._made: dict[asyncio.AbstractEventLoop, tuple[Pool, AsyncGenerator[None]]] = {}
        self._running: set[asyncio.Task[Any]] = set()

    async def ask(self, question: Callable[[Wire], R], deadline: float, *, writes: bool) -> R:
        pool = await self._here()
        if not writes:
            return await _ask(pool, question, deadline)
        return await self._to_the_end(_ask(pool, question, deadline))

    async def with_engine(self, function: Callable[[Engine], R]) -> R:
        pool = await self._here()
        return await self._to_the_end(greenlet_spawn(function, pool.engine))

    async def close(self) -> None:
        made = self._made.pop(asyncio.get_running_loop(), None)
        if made is not None:
            await made[1].aclose()

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

    async def _here(self) -> Pool:
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is not None:
            return made[0]
        for other in [other for other in self._made if other.is_closed()]:
            del self._made[other]
        source = self._source
        if source.engine is not None:
            pool = Pool(source.engine, source.language, own=False)
        else:
            pool = Pool(own_engine(source, pool_size=self._size, deadline=self._deadline, connect=None), source.language, own=True)
        closing = self._until_the_loop_ends(pool)
        self._made[loop] = pool, closing
        await closing.__anext__()
        return pool

    async def _until_the_loop_ends(self, pool: Pool) -> AsyncGenerator[None]:
        """Waits at its ``yield`` until it is closed: by ``close()``, or by the loop, which ends its generators first."""
        try:
            yield
        finally:
            self._made.pop(asyncio.get_running_loop(), None)
            if self._source.engine is None:
                await greenlet_spawn(pool.engine.dispose)


async def _ask(pool: Pool, question: Callable[[Wire], R], deadline: float) -> R:
    try:
        async with asyncio.timeout(deadline) as timeout:
            return await greenlet_spawn(pool.ask, question, _LoopLimit(deadline, timeout))
    except TimeoutError as late:
        raise BackendUnavailable(f"no connection within {deadline:g} s") from late


class _LoopLimit:
    """A deadline kept by the event loop: the wait for a connection is cancelled, a connection in use is killed.

    Cancelling a query would make some drivers wait for the server, which is just what may have fallen silent.
    """

    __slots__ = ("_ends", "_handle", "_in_time", "_timeout", "deadline")

    def __init__(self, deadline: float, timeout: asyncio.Timeout) -> None:
        self.deadline = deadline
        self._ends = asyncio.get_running_loop().time() + deadline
        self._timeout = timeout
        self._handle: asyncio.TimerHandle | None = None
        self._in_time = True

    def left(self) -> float:
        return max(0.0, self._ends - asyncio.get_running_loop().time())

    def connecting(self) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(self._ends)

    def connected(self, kill: Callable[[], None]) -> None:
        if not self._timeout.expired():
            self._timeout.reschedule(None)
        self._handle = asyncio.get_running_loop().call_at(self._ends, self._expire, kill)

    def call_off(self) -> bool:
        if self._handle is not None:
            self._handle.cancel()
        return self._in_time

    def pause(self, seconds: float) -> None:
        await_only(asyncio.sleep(seconds))

    def _expire(self, kill: Callable[[], None]) -> None:
        self._in_time = False
        kill()
