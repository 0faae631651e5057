"""The pool of an async backend: over an async driver, or for SQLite threads around a sync driver."""

from __future__ import annotations

from time import monotonic
from typing import Protocol, TypeVar

from sessionward.backends.sql.connect import Database
from sessionward.backends.sql.dialect import SQLITE
from sessionward.backends.sql.executor import Lookup, Query
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.backends.sql.witness import Witness
from sessionward.deadline import Threads

R = TypeVar("R")


class AsyncPool(Protocol):
    """Connections on which an async backend runs its queries."""

    async def ask(self, query: Query[R] | Lookup[R], timeout: float) -> R: ...

    def on_any_server(self) -> AsyncPool: ...

    async def create_tables(self) -> None: ...

    async def close(self) -> None: ...


def open_async_pool(database: Database, *, size: int, timeout: float, witness: Witness | None = None) -> AsyncPool:
    """Returns the pool that suits a database. Opens no connection."""
    if database.engine is None and database.sql.dialect is SQLITE:
        return ThreadPool(database, size=size, timeout=timeout)
    from sessionward.backends.sql.async_pool import LoopPool  # imports greenlet, which the extra of the driver installs

    return LoopPool(database, size=size, timeout=timeout, witness=witness)


class ThreadPool:
    """A sync pool behind threads. A whole query is one hop to a thread."""

    def __init__(self, database: Database, *, size: int, timeout: float) -> None:
        self._sync = SyncPool(database, size=size, timeout=timeout)
        self._threads = Threads(size)

    async def ask(self, query: Query[R] | Lookup[R], timeout: float) -> R:
        deadline = monotonic() + timeout

        def ask() -> R:
            return self._sync.ask(query, max(0.001, deadline - monotonic()))

        return await self._threads.run(timeout, ask)

    def on_any_server(self) -> ThreadPool:
        return self

    async def create_tables(self) -> None:
        await self._threads.run(60.0, self._sync.create_tables)

    async def close(self) -> None:
        await self._threads.run(60.0, self._sync.close)
