"""The part of the backends that asks the database, and waits until no worker can still trust what has been revoked."""

from __future__ import annotations

import copy
from typing import Self, TypeVar

from sessionward.backends.sql import leases
from sessionward.backends.sql.at_once import ChecksAtOnce
from sessionward.backends.sql.executor import Lookup, Query
from sessionward.backends.sql.server import accept_server
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.backends.sql.thread_pool import AsyncPool
from sessionward.deadline import sleep_until, sleep_until_async
from sessionward.errors import BackendUnavailable, OutcomeUnknown, SessionRevoked, StaleLogin
from sessionward.lease import WAITED, may_have_ended
from sessionward.process import clock

R = TypeVar("R")


class _Views(ChecksAtOnce):
    """What a backend and its views have. ``_waits``: whether it waits for leases itself."""

    _timeout: float
    _waits: bool

    def within(self, timeout: float, /) -> Self:
        """Returns the same backend, over the same connections, with another timeout in seconds.

        It does not wait for leases. The middlewares do, without a connection or a thread.
        """
        view = copy.copy(self)
        view._timeout = timeout
        view._waits = False
        return view


class Leased(_Views):
    """Sync."""

    _pool: SyncPool

    def lease_wait(self) -> float:
        try:
            return (self._ask(leases.lease())).wait
        except BackendUnavailable as failure:  # the caller has committed, and cannot say so without the answer
            raise OutcomeUnknown(str(failure)) from failure

    def raise_lease(self, seconds: float, /) -> None:
        self._ask(leases.raise_lease(leases.checked_lease(seconds)))

    def set_lease(self, seconds: float, /) -> None:
        self._ask(leases.set_lease(leases.checked_lease(seconds)))

    def lease(self) -> leases.Lease:
        """Returns the lease, and until when revocations wait for a longer one of before."""
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
        """Runs a query that may revoke sessions. Returns or raises only when no worker can still trust them."""
        try:
            answer = self._ask(query)
        except (SessionRevoked, StaleLogin):
            self._wait()
            raise
        if may_have_ended(answer):
            self._wait()
        return answer

    def _wait(self) -> None:
        if self._waits:
            sleep_until(clock() + WAITED * self.lease_wait())  # from the commit, not from the answer to the second question


class AsyncLeased(_Views):
    """Async."""

    _pool: AsyncPool

    async def lease_wait(self) -> float:
        try:
            return (await self._ask(leases.lease())).wait
        except BackendUnavailable as failure:  # the caller has committed, and cannot say so without the answer
            raise OutcomeUnknown(str(failure)) from failure

    async def raise_lease(self, seconds: float, /) -> None:
        await self._ask(leases.raise_lease(leases.checked_lease(seconds)))

    async def set_lease(self, seconds: float, /) -> None:
        await self._ask(leases.set_lease(leases.checked_lease(seconds)))

    async def lease(self) -> leases.Lease:
        """Returns the lease, and until when revocations wait for a longer one of before."""
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
        """Runs a query that may revoke sessions. Returns or raises only when no worker can still trust them."""
        try:
            answer = await self._ask(query)
        except (SessionRevoked, StaleLogin):
            await self._wait()
            raise
        if may_have_ended(answer):
            await self._wait()
        return answer

    async def _wait(self) -> None:
        if self._waits:
            await sleep_until_async(clock() + WAITED * await self.lease_wait())
