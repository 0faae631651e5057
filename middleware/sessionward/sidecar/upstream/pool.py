"""The connections to the upstream that we keep for the next request, and how we open new ones."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, cast

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType] - its types are incomplete

from sessionward.sidecar.client.limits import keep_alive
from sessionward.sidecar.errors import CannotConnect, TooSlow, UpstreamError
from sessionward.sidecar.upstream.connection import UpstreamConnection

MAX_IDLE: Final = 64
"""Connections that we keep for the next request."""
IDLE: Final = 1.5
"""Seconds that we keep a connection. Servers keep it longer (gunicorn: 2 s), so that we rarely meet its end."""
NEXT_ADDRESS: Final = 0.25
"""Seconds after which we also try the next address of a name (RFC 8305, 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the upstream listens: a host and a port, or the path of a unix socket; ``tls`` if it speaks TLS."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str | None = None

    async def connect(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], asyncio.Protocol]) -> asyncio.BaseProtocol:
        """Opens a connection. Raises OSError, also ``ssl.SSLError`` if the certificate does not prove the upstream."""
        name = (self.server_name or self.host or "localhost") if self.tls else None
        if self.path:
            return (await loop.create_unix_connection(factory, self.path, ssl=self.tls, server_hostname=name))[1]
        if _is_address(self.host):
            transport, protocol = await loop.create_connection(factory, self.host, self.port, ssl=self.tls, server_hostname=name)
        else:  # an address that swallows packets must not take the whole time
            found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            connected = await start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS, interleave=1, loop=loop)
            transport, protocol = await loop.create_connection(factory, sock=connected, ssl=self.tls, server_hostname=name)
        keep_alive(transport.get_extra_info("socket"))
        return protocol


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class Pool:
    """The connections to one upstream, of one event loop. It lends the one that was used last.

    ``keeps``: whether connections are kept at all. ``idle``: for how many seconds. ``factory``: makes a connection.
    """

    def __init__(
        self,
        place: Place,
        *,
        connect_timeout: float,
        keeps: bool = True,
        idle: float = IDLE,
        factory: Callable[[asyncio.AbstractEventLoop], UpstreamConnection] = UpstreamConnection,
    ) -> None:
        self._place = place
        self._timeout = connect_timeout
        self._keeps = keeps
        self._idle_timeout = idle
        self._factory = factory
        self._idle: deque[UpstreamConnection] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()
        """The event loop itself holds no task."""
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._idle)

    def kept(self) -> UpstreamConnection | None:
        """Returns a connection that is still free, or None. Bytes that we did not ask for end a connection, also while it is idle."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_quiet:
                return connection
            connection.abort()
        return None

    async def open(self) -> UpstreamConnection:
        """Opens a new connection. Raises :class:`CannotConnect` or :class:`TooSlow`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                return cast("UpstreamConnection", await self._place.connect(loop, lambda: self._factory(loop)))
        except TimeoutError as late:
            raise TooSlow(f"no connection within {self._timeout:g} s") from late
        except OSError as error:  # also ssl.SSLError and socket.gaierror
            raise CannotConnect(f"{type(error).__name__}: {error.strerror or error}") from error
        except ValueError as error:  # a name that is no name, such as one with a label of 64 bytes
            raise CannotConnect(f"{type(error).__name__}: {error}") from error

    def open_for(self, then: Callable[[UpstreamConnection], None], failed: Callable[[UpstreamError], None]) -> None:
        """Opens a new connection, and calls ``then`` with it, or ``failed``."""
        task = asyncio.get_running_loop().create_task(self._open_for(then, failed))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_for(self, then: Callable[[UpstreamConnection], None], failed: Callable[[UpstreamError], None]) -> None:
        try:
            connection = await self.open()
        except UpstreamError as failure:
            failed(failure)
        else:
            then(connection)

    async def reachable(self) -> None:
        """Opens a connection and closes it. Raises as :meth:`open`."""
        (await self.open()).abort()

    def keep(self, connection: UpstreamConnection) -> None:
        """Keeps a connection whose exchange is over, if it is free. Else ends it."""
        is_free = connection.is_free
        connection.release()
        if not is_free or not self._keeps or self._is_closed or len(self._idle) >= MAX_IDLE:
            connection.abort()
            return
        loop = connection.loop
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_timeout, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the connections that have been idle for too long. They are the first ones."""
        now, idle = loop.time(), self._idle
        while idle and now - idle[0].idle_since >= self._idle_timeout * 0.99:
            idle.popleft().abort()
        self._sweeper = loop.call_later(self._idle_timeout / 2, self._sweep, loop) if idle else None

    def close(self) -> None:
        """Ends the idle connections, and keeps no more."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
