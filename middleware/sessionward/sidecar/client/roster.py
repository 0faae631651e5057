"""The open connections of one listening address: how many there may be, and what they and their requests are counted as."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from sessionward.sidecar.client.limits import Limits
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from sessionward.sidecar.errors import SidecarProblem
from sessionward.sidecar.observe.observer import Observer


class Connection(Protocol):
    """An open connection, as far as the roster needs to know it."""

    peer: str | None
    is_counted: bool

    def check(self, now: float, /) -> None:
        """Checks its times. ``now``: by the clock of the loop."""
        ...

    def drain(self, now: float, /) -> None:
        """Ends it if nothing is under way on it."""
        ...

    def abort(self) -> None:
        """Ends it at once."""
        ...


class Roster:
    """What the connections of one address share, and where they report.

    ``limits``, ``trusted`` and ``proxied`` may be replaced while it runs: each request uses those of its own time.
    """

    def __init__(
        self, limits: Limits, observer: Observer | None = None, trusted: TrustedProxies | None = None, proxied: TrustedProxies | None = None
    ) -> None:
        """``proxied``: the peers that must send a PROXY protocol header."""
        self.limits = limits
        self.observer = observer
        self.trusted = TrustedProxies(()) if trusted is None else trusted
        self.proxied = TrustedProxies(()) if proxied is None else proxied
        self.is_draining = False
        self._open: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._under_way = 0
        self._closed = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many connections of clients are open."""
        return len(self._open)

    @property
    def under_way(self) -> int:
        """How many requests and tunnels are being served."""
        return self._under_way

    def opened(self, connection: Connection) -> bool:
        """Counts a new connection. Returns whether it may stay."""
        self._open.add(connection)
        if len(self._open) > self.limits.max_connections:
            self.bound("connections")
            return False
        return self.counted(connection)

    def counted(self, connection: Connection) -> bool:
        """Counts a connection for its address. Returns whether it may stay."""
        peer = connection.peer
        if peer is None or peer in self.trusted or peer in self.proxied:
            return True
        self._by_address[peer] += 1
        connection.is_counted = True
        if self._by_address[peer] > self.limits.max_connections_per_address:
            self.bound("connections_per_address")
            return False
        return True

    def closed(self, connection: Connection) -> None:
        """Forgets a connection that is gone."""
        self._open.discard(connection)
        peer = connection.peer
        if peer is not None and connection.is_counted:
            self._by_address[peer] -= 1
            if not self._by_address[peer]:
                del self._by_address[peer]
        if not self._open:
            self._closed.set()

    def begins(self) -> None:
        """Counts a request that begins."""
        self._under_way += 1
        if self.observer is not None:
            self.observer.begins()

    def done(self, request: Request, status: int, size: int, result: str, *, is_tunnel: bool) -> None:
        """Counts and logs a request that is over."""
        self._under_way -= 1
        if self.observer is not None:
            self.observer.done(request, status, size, result, tunnel=is_tunnel)

    def tunnel(self, more: float) -> None:
        """Counts open tunnels."""
        if self.observer is not None:
            self.observer.tunnel(more)

    def bound(self, name: str) -> None:
        """Counts and logs what a bound has refused or cut. ``name``: may be empty."""
        if name and self.observer is not None:
            self.observer.bound(name)

    def refused(self, peer: str | None, problem: SidecarProblem, known: Request | None, request_id: str) -> None:
        """Counts and logs what could not be read as a request. ``known``: what is known of it."""
        if self.observer is not None:
            self.observer.refused(peer, int(problem.status), problem.id, known, request_id)
