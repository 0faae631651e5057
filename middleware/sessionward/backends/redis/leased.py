"""The part of the backends that asks Redis, and what it knows of the lease."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from sessionward.backends import leased
from sessionward.backends.leased import Lease, checked_lease
from sessionward.backends.redis import state
from sessionward.backends.redis.call import Flow
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.run import AsyncRunner, SyncRunner

R = TypeVar("R")


class Leased(leased.Leased):
    """Sync."""

    _place: Place
    _runner: SyncRunner

    def raise_lease(self, seconds: float, /) -> None:
        self._ask(state.raise_lease(self._place, checked_lease(seconds)))

    def set_lease(self, seconds: float, /) -> None:
        self._ask(state.set_lease(self._place, checked_lease(seconds)))

    def lease(self) -> Lease:
        return self._ask(state.lease(self._place))

    def _ask(self, flow: Flow[R]) -> R:
        return self._runner.ask(flow, self._timeout)

    def _settled(self, flow: Flow[R]) -> R:
        return self._once_settled(partial(self._ask, flow))


class AsyncLeased(leased.AsyncLeased):
    """Async."""

    _place: Place
    _runner: AsyncRunner

    async def raise_lease(self, seconds: float, /) -> None:
        await self._ask(state.raise_lease(self._place, checked_lease(seconds)))

    async def set_lease(self, seconds: float, /) -> None:
        await self._ask(state.set_lease(self._place, checked_lease(seconds)))

    async def lease(self) -> Lease:
        return await self._ask(state.lease(self._place))

    async def _ask(self, flow: Flow[R]) -> R:
        return await self._runner.ask(flow, self._timeout)

    async def _settled(self, flow: Flow[R]) -> R:
        return await self._once_settled(self._ask(flow))
