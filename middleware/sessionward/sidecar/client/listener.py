"""The connections of one listening address in one worker: how many there may be, how long they last, and how they end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Final

from sessionward.sidecar.client.connection import ClientConnection, Service, Site
from sessionward.sidecar.client.limits import Limits
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from sessionward.sidecar.observe.observer import Observer

BACKLOG: Final = 2048
"""Connections that wait to be accepted."""

log = logging.getLogger("sessionward")


class Listener(Site):
    """Accepts connections, and checks their times."""

    def __init__(
        self,
        service: Service,
        limits: Limits,
        observer: Observer | None = None,
        trusted: TrustedProxies | None = None,
        proxied: TrustedProxies | None = None,
    ) -> None:
        """``proxied``: the peers that must send a PROXY protocol header."""
        super().__init__(limits, observer, trusted, proxied)
        self.service = service
        self._closes_idle = False
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

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
