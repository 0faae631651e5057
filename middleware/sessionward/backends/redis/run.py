"""Asks Redis what a flow of calls asks: for sync code in one process, and for async code on its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from sessionward.backends.permits import Permits
from sessionward.backends.redis.async_link import AsyncLinks
from sessionward.backends.redis.call import Flow
from sessionward.backends.redis.course import Asked, Course
from sessionward.backends.redis.part import Wait
from sessionward.backends.redis.scan import Scan
from sessionward.backends.redis.server import Server
from sessionward.backends.redis.startup import Startup
from sessionward.backends.redis.sync_link import SyncLinks
from sessionward.backends.redis.topology import Topology
from sessionward.errors import BackendUnavailable
from sessionward.process import PerProcess

R = TypeVar("R")


class SyncRunner:
    """Connections of one process. A forked child opens its own and does not use those of its parent."""

    def __init__(self, server: Server, *, size: int, wait: Wait | None = None, strict: bool = False) -> None:
        self._server = server
        self._size = size
        self._wait = wait
        self._startup = Startup(server.kind, wait, strict=strict)
        self._opened: PerProcess[_SyncOpened] = PerProcess(self._open)
        self.is_cluster = server.kind == "cluster"
        self.waits = wait is not None

    def ask(self, flow: Flow[R], timeout: float) -> R:
        """Returns what the flow returns, within ``timeout`` seconds.

        Raises what the flow raises; :class:`BackendUnavailable` if nothing has changed; and
        :class:`~sessionward.errors.OutcomeUnknown` if something may have.
        """
        opened = self._opened()
        return self._run(opened, Course(flow, opened.topology, self._wait), timeout)

    def _run(self, opened: _SyncOpened, course: Course[R], timeout: float) -> R:
        ends_at = monotonic() + timeout
        if not opened.permits.take(timeout):
            course.close()
            raise BackendUnavailable(_all_in_use(self._size, timeout))
        try:
            return opened.links.run(course, timeout, ends_at)
        finally:
            opened.permits.give()

    def scan(self, pattern: bytes, timeout: float) -> Iterator[list[bytes]]:
        """Yields the keys that a pattern of SCAN matches, of each primary, in batches. Each batch takes at most ``timeout`` seconds.

        A key that exists all the time is among them, perhaps twice, unless its slot is moved meanwhile.
        """
        opened = self._opened()
        scan = Scan(opened.topology, pattern)
        while (batch := self._run(opened, Course(scan.batch(), opened.topology), timeout)) is not None:
            yield batch

    def close(self) -> None:
        """Closes the idle connections. The next call opens new ones."""
        opened = self._opened.pop()
        if opened is not None:
            opened.links.close()

    def _open(self) -> _SyncOpened:
        return _SyncOpened(self._server.topology(), Permits(self._size), SyncLinks(self._server, self._startup))


@dataclass(frozen=True, slots=True, eq=False)
class _SyncOpened:
    topology: Topology
    permits: Permits
    links: SyncLinks


class AsyncRunner:
    """Connections of each event loop of each process, since a connection belongs to the loop that has made it."""

    def __init__(self, server: Server, *, size: int, wait: Wait | None = None, strict: bool = False) -> None:
        self._server = server
        self._size = size
        self._wait = wait
        self._startup = Startup(server.kind, wait, strict=strict)
        self._opened: PerProcess[dict[asyncio.AbstractEventLoop, _AsyncOpened]] = PerProcess(dict)
        self._running: set[asyncio.Task[Any]] = set()
        self.is_cluster = server.kind == "cluster"
        self.waits = wait is not None

    async def ask(self, flow: Flow[R], timeout: float) -> R:
        """Does what :meth:`SyncRunner.ask` does.

        If the caller is cancelled, a flow that has come to a call that may change something goes on to its end.
        """
        loop = asyncio.get_running_loop()
        opened = self._opened().get(loop) or await self._open(loop)
        return await self._asked(opened, flow, timeout)

    async def _asked(self, opened: _AsyncOpened, flow: Asked[R], timeout: float) -> R:
        course = Course(flow, opened.topology, self._wait)
        ends_at = asyncio.get_running_loop().time() + timeout
        course.go_on()
        if course.writes or not await self._timed(opened, course, timeout, ends_at, to_writes=True):
            await self._to_the_end(self._timed(opened, course, timeout, ends_at, to_writes=False))
        return course.answer

    async def scan(self, pattern: bytes, timeout: float) -> AsyncIterator[list[bytes]]:
        """Does what :meth:`SyncRunner.scan` does."""
        loop = asyncio.get_running_loop()
        opened = self._opened().get(loop) or await self._open(loop)
        scan = Scan(opened.topology, pattern)
        while (batch := await self._asked(opened, scan.batch(), timeout)) is not None:
            yield batch

    async def close(self) -> None:
        """Closes the idle connections of this loop. The next call opens new ones."""
        opened = self._opened().get(asyncio.get_running_loop())
        if opened is not None:
            await opened.closing.aclose()

    async def _timed(self, opened: _AsyncOpened, course: Course[Any], timeout: float, ends_at: float, *, to_writes: bool) -> bool:
        has_permit = False
        try:
            async with asyncio.timeout_at(ends_at):
                await opened.permits.acquire()
                has_permit = True
                return await opened.links.run(course, timeout, ends_at, to_writes=to_writes)
        except TimeoutError:
            course.close()
            raise course.late(timeout) if has_permit else BackendUnavailable(_all_in_use(self._size, timeout)) from None
        except BaseException:
            course.close()
            raise
        finally:
            if has_permit:
                opened.permits.release()

    async def _to_the_end(self, work: Coroutine[Any, Any, bool]) -> None:
        """Waits for ``work``. If the caller is cancelled, it stops waiting, and the work goes on until its deadline."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved; asyncio would log an exception that no caller retrieves

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _AsyncOpened:
        pools = self._opened()
        for other in [other for other in pools if other.is_closed()]:
            del pools[other]
        links = AsyncLinks(self._server, self._startup)
        opened = _AsyncOpened(self._server.topology(), asyncio.Semaphore(self._size), links, self._close_with_loop(links))
        pools[loop] = opened
        await opened.closing.__anext__()
        return opened

    async def _close_with_loop(self, links: AsyncLinks) -> AsyncGenerator[None]:
        """Closes the connections when ``close()`` closes this generator, or when the loop does, just before it ends."""
        try:
            yield
        finally:
            self._opened().pop(asyncio.get_running_loop(), None)
            links.close()


@dataclass(frozen=True, slots=True, eq=False)
class _AsyncOpened:
    topology: Topology
    permits: asyncio.Semaphore
    links: AsyncLinks
    closing: AsyncGenerator[None]


def _all_in_use(size: int, timeout: float) -> str:
    return f"all {size} connections were in use for {timeout:g} s; raise pool_size, or look for slow calls"
