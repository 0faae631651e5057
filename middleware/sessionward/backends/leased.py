"""The rule of P1 for the backends that keep a lease: an answer is given when no worker can still trust what has been revoked."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple, Self, TypeVar

from sessionward.deadline import sleep_until, sleep_until_async
from sessionward.errors import BackendUnavailable, OutcomeUnknown, SessionRevoked, StaleLogin, UsageError
from sessionward.lease import WAITED, may_have_ended
from sessionward.process import clock
from sessionward.settings import MAX_LEASE

R = TypeVar("R")


class Lease(NamedTuple):
    """The lease of an installation. ``wait``: as in :class:`~sessionward.session.session.Checked`.

    ``former_until``: until when ``wait`` is the longer lease of before, by the store's clock, or None.
    """

    seconds: float
    wait: float
    former_until: datetime | None


def checked_lease(seconds: object) -> float:
    """Returns the lease. Raises :class:`UsageError` for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= MAX_LEASE:
        raise UsageError(f"a lease must be 0 to {MAX_LEASE:g} seconds, not {seconds!r}")
    return float(seconds)


class Views:
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


class Leased(Views):
    """A sync backend with leases."""

    def lease(self) -> Lease:
        """Returns the lease, and until when revocations wait for a longer one of before."""
        raise NotImplementedError

    def lease_wait(self) -> float:
        try:
            return self.lease().wait
        except BackendUnavailable as failure:  # the caller has committed, and cannot say so without the answer
            raise OutcomeUnknown(str(failure)) from failure

    def _once_settled(self, ask: Callable[[], R]) -> R:
        """Asks what may revoke sessions. Returns or raises only when no worker can still trust them."""
        try:
            answer = ask()
        except (SessionRevoked, StaleLogin):
            self._wait()
            raise
        if may_have_ended(answer):
            self._wait()
        return answer

    def _wait(self) -> None:
        if self._waits:
            sleep_until(clock() + WAITED * self.lease_wait())  # from the commit, not from the answer to the second question


class AsyncLeased(Views):
    """An async backend with leases."""

    async def lease(self) -> Lease:
        """Returns the lease, and until when revocations wait for a longer one of before."""
        raise NotImplementedError

    async def lease_wait(self) -> float:
        try:
            return (await self.lease()).wait
        except BackendUnavailable as failure:  # the caller has committed, and cannot say so without the answer
            raise OutcomeUnknown(str(failure)) from failure

    async def _once_settled(self, answer: Awaitable[R]) -> R:
        """Asks what may revoke sessions. Returns or raises only when no worker can still trust them."""
        try:
            found = await answer
        except (SessionRevoked, StaleLogin):
            await self._wait()
            raise
        if may_have_ended(found):
            await self._wait()
        return found

    async def _wait(self) -> None:
        if self._waits:
            await sleep_until_async(clock() + WAITED * await self.lease_wait())
