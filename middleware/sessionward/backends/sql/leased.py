"""The part of the backends that asks the database, and what it knows of the lease and of the server."""

from __future__ import annotations

import copy
from functools import partial
from typing import Self, TypeVar

from sessionward.backends import leased
from sessionward.backends.leased import Lease, checked_lease
from sessionward.backends.sql import leases
from sessionward.backends.sql.at_once import ChecksAtOnce
from sessionward.backends.sql.executor import Lookup, Query
from sessionward.backends.sql.server import accept_server
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.backends.sql.thread_pool import AsyncPool

R = TypeVar("R")


class Leased(ChecksAtOnce, leased.Leased):
    """Sync."""

    _pool: SyncPool

    def raise_lease(self, seconds: float, /) -> None:
        self._ask(leases.raise_lease(checked_lease(seconds)))

    def set_lease(self, seconds: float, /) -> None:
        self._ask(leases.set_lease(checked_lease(seconds)))

    def lease(self) -> Lease:
        return self._ask(leases.lease())

    def on_any_server(self) -> Self:
        """Returns the same backend, over connections of its own, for a PostgreSQL server that is refused since commits may be missing.

        It is for what an operator decides: ``revoke_everybody()``, and then ``accept_server()``. Close it after that. For another
        database it is the same backend over the same connections.
        """
        view = copy.copy(self)
        view._pool = self._pool.on_any_server()
        return view

    def accept_server(self) -> str:
        """Accepts a PostgreSQL server that is refused since commits may be missing. Before, revoke all users, or know that none is missing.

        All calls are refused on such a server, but those of :meth:`on_any_server`. Returns the server and its timeline, or an
        empty string if there is nothing to accept: for another database, or if the role may not see them.
        """
        return self._ask(accept_server())

    def _ask(self, query: Query[R] | Lookup[R]) -> R:
        return self._pool.ask(query, self._timeout)

    def _settled(self, query: Query[R]) -> R:
        return self._once_settled(partial(self._ask, query))


class AsyncLeased(ChecksAtOnce, leased.AsyncLeased):
    """Async."""

    _pool: AsyncPool

    async def raise_lease(self, seconds: float, /) -> None:
        await self._ask(leases.raise_lease(checked_lease(seconds)))

    async def set_lease(self, seconds: float, /) -> None:
        await self._ask(leases.set_lease(checked_lease(seconds)))

    async def lease(self) -> Lease:
        return await self._ask(leases.lease())

    def on_any_server(self) -> Self:
        """Returns a view for a PostgreSQL server that is refused. See ``SQLBackend.on_any_server``."""
        view = copy.copy(self)
        view._pool = self._pool.on_any_server()
        return view

    async def accept_server(self) -> str:
        """Accepts a PostgreSQL server on which commits are missing, as it is. See ``SQLBackend.accept_server``."""
        return await self._ask(accept_server())

    async def _ask(self, query: Query[R] | Lookup[R]) -> R:
        return await self._pool.ask(query, self._timeout)

    async def _settled(self, query: Query[R]) -> R:
        return await self._once_settled(self._ask(query))
