"""The connections to the upstream that are kept open for the next request, and how new ones are made."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from sessionward.sidecar.failures import CannotConnect, TooSlow
from sessionward.sidecar.upstream import Connection

MAX_IDLE: Final = 64
"""Connections that are kept open for the next request."""
IDLE: Final = 1.5
"""Seconds that a connection is kept. Less than any server keeps it (gunicorn: 2 s), so that a request rarely meets its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the upstream listens: a host and a port, or the path of a unix socket; ``tls`` if it speaks TLS."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str | None = None

    async def connect(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], asyncio.Protocol]) -> asyncio.BaseProtocol:
        """Open a connection. Raises OSError, or an ``ssl.SSLError`` for what is not proven to be the upstream."""
        name = (self.server_name or self.host or "localhost") if self.tls else None
        if self.path:
            return (await loop.create_unix_connection(factory, self.path, ssl=self.tls, server_hostname=name))[1]
        return (await loop.create_connection(factory, self.host, self.port, ssl=self.tls, server_hostname=name))[1]


class Pool:
    """The connections to one upstream, of one event loop. The one that was used last is used first."""

    def __init__(self, place: Place, *, connect_timeout: float) -> None:
        self._place = place
        self._timeout = connect_timeout
        self._idle: deque[Connection] = deque()
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._idle)

    def kept(self) -> Connection | None:
        """A connection from before, if one is at hand."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.reusable:
                return connection
        return None

    async def new(self) -> Connection:
        """A fresh connection. Raises :class:`CannotConnect` or :class:`TooSlow`."""
        loop = asyncio.get_running_loop()
        return cast("Connection", await self.open(lambda: Connection(loop)))

    async def reachable(self) -> None:
        """Open a connection and close it again. Raises as :meth:`new`."""
        (await self.new()).abort()

    async def open(self, factory: Callable[[], asyncio.Protocol]) -> asyncio.BaseProtocol:
        """A fresh connection of another protocol. Raises as :meth:`new`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._place.connect(asyncio.get_running_loop(), factory)
        except TimeoutError as late:
            raise TooSlow("no connection in time") from late
        except OSError as error:  # ssl.SSLError and socket.gaierror too
            raise CannotConnect(f"{type(error).__name__}: {error.strerror or error}") from error

    def keep(self, connection: Connection) -> None:
        """Take a connection back, whose exchange is over."""
        connection.release()
        if not connection.reusable or len(self._idle) >= MAX_IDLE:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close those that have been idle for too long: they stand in front."""
        now, idle = loop.time(), self._idle
        while idle and now - idle[0].idle_since >= IDLE * 0.99:
            idle.popleft().abort()
        self._sweeper = loop.call_later(IDLE / 2, self._sweep, loop) if idle else None

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
