"""The connections of one listening address in one worker: how many there may be, how long they last, and how they end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.client.connection import ClientConnection
from sessionward.sidecar.client.limits import Limits
from sessionward.sidecar.client.phase import Handler
from sessionward.sidecar.client.reader import RequestReader
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from sessionward.sidecar.errors import SidecarProblem
from sessionward.sidecar.observe.observer import Observer

BACKLOG: Final = 2048
"""Connections that wait to be accepted."""

log = logging.getLogger("sessionward")


class Service(Protocol):
    """What serves requests: the proxy, the checks for another proxy, or the admin address."""

    def begin(self, connection: Channel, request: Request, /) -> Handler:
        """Begins to serve a request. The handler may have answered already when this returns."""
        ...


class Listener:
    """Accepts connections, and checks their times.

    ``service``, ``trusted`` and ``limits`` may be replaced while it runs: each request uses those of its own time.
    """

    def __init__(
        self,
        service: Service,
        limits: Limits,
        observer: Observer | None = None,
        trusted: TrustedProxies | None = None,
        proxied: TrustedProxies | None = None,
    ) -> None:
        """``proxied``: the peers that must send a PROXY protocol header."""
        self.service = service
        self.limits = limits
        self.observer = observer
        self.trusted = TrustedProxies(()) if trusted is None else trusted
        self.proxied = TrustedProxies(()) if proxied is None else proxied
        self.is_draining = self._closes_idle = False
        self._servers: list[asyncio.Server] = []
        self._open: set[ClientConnection] = set()
        self._by_address: Counter[str] = Counter()
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accepts connections on these sockets."""
        loop = asyncio.get_running_loop()
        for each in sockets:
            self._servers.append(await loop.create_server(lambda: ClientConnection(self, loop), sock=each, backlog=BACKLOG))
        self._timer = loop.call_later(self.limits.tick, self._check, loop)

    def stop(self) -> None:
        """Accepts no more connections."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def announce(self) -> None:
        """Tells each client with its next response that the connection closes, so that none loses a request later."""
        self.is_draining = True

    def drain(self) -> None:
        """Keeps no connection open for another request. Closes those that are idle, and tunnels that have been silent."""
        self.is_draining = self._closes_idle = True
        self._drain(asyncio.get_running_loop().time())

    def _drain(self, now: float) -> None:
        for connection in list(self._open):
            connection.drain(now)
        if not self._open:
            self._closed.set()

    @property
    def connections(self) -> int:
        """How many connections of clients are open."""
        return len(self._open)

    @property
    def under_way(self) -> int:
        """How many requests and tunnels are being served."""
        return self._under_way

    async def wait_closed(self) -> None:
        """Returns when the last connection is closed."""
        while self._open:
            self._closed.clear()
            await self._closed.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cut(self) -> int:
        """Ends all connections at once. Returns how many requests were under way."""
        under_way = self._under_way
        for connection in list(self._open):
            connection.abort()
        return under_way

    # --- what the connections report ---

    def opened(self, connection: ClientConnection) -> bool:
        """Counts a new connection. Returns whether it may stay."""
        self._open.add(connection)
        if len(self._open) > self.limits.max_connections:
            self.bound("connections")
            return False
        return self.counted(connection)

    def counted(self, connection: ClientConnection) -> bool:
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

    def closed(self, connection: ClientConnection) -> None:
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

    def refused(self, peer: str | None, problem: SidecarProblem, reader: RequestReader, id: str) -> None:
        """Counts and logs what could not be read as a request."""
        if self.observer is not None:
            self.observer.refused(peer, int(problem.status), problem.id, reader.as_far_as_known(peer, id), id)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.limits.tick, self._check, loop)  # first, so that no fault below can end the checks
        now = loop.time()
        for connection in list(self._open):
            try:
                connection.check(now)
            except Exception:  # which must not end the limits of all other connections
                log.exception("a connection was cut, since its times could not be checked")
                connection.abort()
        if self._closes_idle:
            self._drain(now)
