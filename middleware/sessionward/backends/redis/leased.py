"""The part of the backends that asks Redis, and waits until no worker can still trust what has been revoked."""

from __future__ import annotations

import copy
from typing import Self, TypeVar

from sessionward.backends.redis import state
from sessionward.backends.redis.call import Flow
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.run import AsyncRunner, SyncRunner
from sessionward.deadline import sleep_until, sleep_until_async
from sessionward.errors import BackendUnavailable, OutcomeUnknown, SessionRevoked, StaleLogin
from sessionward.lease import WAITED, may_have_ended
from sessionward.process import clock

R = TypeVar("R")


class _Views:
    """What a backend and its views have. ``_waits``: whether it waits for leases itself."""

    _place: Place
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

    _runner: SyncRunner

    def lease_wait(self) -> float:
        try:
            return self.lease().wait
        except BackendUnavailable as failure:  # the caller has committed, and cannot say so without the answer
            raise OutcomeUnknown(str(failure)) from failure

    def raise_lease(self, seconds: float, /) -> None:
        self._ask(state.raise_lease(self._place, state.checked_lease(seconds)))

    def set_lease(self, seconds: float, /) -> None:
        self._ask(state.set_lease(self._place, state.checked_lease(seconds)))

    def lease(self) -> state.Lease:
        """Returns the lease, and until when revocations wait for a longer one of before."""
        return self._ask(state.lease(self._place))

    def _ask(self, flow: Flow[R]) -> R:
        return self._runner.ask(flow, self._timeout)

    def _settled(self, flow: Flow[R]) -> R:
        """Runs a flow that may revoke sessions. Returns or raises only when no worker can still trust them."""
        try:
            answer = self._ask(flow)
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

    _runner: AsyncRunner

    async def lease_wait(self) -> float:
        try:
            return (await self.lease()).wait
        except BackendUnavailable as failure:  # the caller has committed, and cannot say so without the answer
            raise OutcomeUnknown(str(failure)) from failure

    async def raise_lease(self, seconds: float, /) -> None:
        await self._ask(state.raise_lease(self._place, state.checked_lease(seconds)))

    async def set_lease(self, seconds: float, /) -> None:
        await self._ask(state.set_lease(self._place, state.checked_lease(seconds)))

    async def lease(self) -> state.Lease:
        """Returns the lease, and until when revocations wait for a longer one of before."""
        return await self._ask(state.lease(self._place))

    async def _ask(self, flow: Flow[R]) -> R:
        return await self._runner.ask(flow, self._timeout)

    async def _settled(self, flow: Flow[R]) -> R:
        """Runs a flow that may revoke sessions. Returns or raises only when no worker can still trust them."""
        try:
            answer = await self._ask(flow)
        except (SessionRevoked, StaleLogin):
            await self._wait()
            raise
        if may_have_ended(answer):
            await self._wait()
        return answer

    async def _wait(self) -> None:
        if self._waits:
            await sleep_until_async(clock() + WAITED * await self.lease_wait())
