"""A WebSocket on its way through: after the handshake it is bytes, in both directions, and nobody looks at them.

So its compression, its pings, its fragments and its codes are those of the two ends.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sessionward.sidecar.failures import ClientGone
from sessionward.sidecar.upstream import HIGH_WATER, Connection

TUNNEL: Final = "sessionward.tunnel"
"""The key of a websocket scope that holds the tunnel from the client."""


class Tunnel:
    """The two ends: ``near`` is the client, ``far`` the upstream. Each is read only as fast as the other takes it."""

    def __init__(self, near: asyncio.Transport) -> None:
        self._near = near
        self._far: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._size = 0
        self._asked: Connection | None = None
        self._over = asyncio.Event()

    def waits_for(self, connection: Connection) -> None:
        """The handshake is under way: if the client goes away meanwhile, nobody waits for it."""
        self._asked = connection
        if self._over.is_set():
            connection.abort(ClientGone("it has gone away"))

    async def join(self, connection: Connection) -> None:
        """Carry bytes until one end closes; then the other one is closed, once it has got what was sent before."""
        self._far = connection.transport
        try:
            self.far_has_room()
            self.near_has_room()
            self._near.write(connection.relay(self))  # which may find a side full already
            for data in self._early:
                self._far.write(data)
            self._early = []
            await self._over.wait()
        finally:  # closing sends what is still to be sent
            self._near.close()
            self._far.close()

    def near_received(self, data: bytes) -> None:
        if self._far is None:
            self._early.append(data)
            self._size += len(data)
            if self._size > HIGH_WATER:
                self._near.pause_reading()
        else:
            self._far.write(data)

    def near_is_full(self) -> None:
        if self._far is not None and not self._far.is_closing():
            self._far.pause_reading()

    def near_has_room(self) -> None:
        if self._far is not None and not self._far.is_closing():
            self._far.resume_reading()

    def near_lost(self) -> None:
        self._over.set()
        if self._far is None and self._asked is not None:
            self._asked.abort(ClientGone("it has gone away"))

    def far_received(self, data: bytes, /) -> None:
        self._near.write(data)

    def far_is_full(self) -> None:
        if not self._near.is_closing():
            self._near.pause_reading()

    def far_has_room(self) -> None:
        if not self._near.is_closing():
            self._near.resume_reading()

    def far_lost(self) -> None:
        self._over.set()
