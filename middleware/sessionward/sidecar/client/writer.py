"""The response on a client's connection: its head, its body as it goes over the wire, and whether the client reads it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from sessionward.request.request import Fields
from sessionward.sidecar.client.limits import Limits, Pace, unacknowledged
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.response import CONTINUE, Framing


class ResponseWriter:
    """Writes the responses of one connection, one after the other.

    ``status`` and ``size``: of the response that is under way, or was the last. ``is_full``: the client takes bytes slowly.
    """

    __slots__ = ("_out", "_pace", "_sent", "_transport", "framing", "is_full", "size", "status")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._out: list[bytes] = []
        self._sent = 0
        self._pace: Pace | None = None
        self.framing: Framing | None = None
        self.is_full = False
        self.status = self.size = 0

    def begin(self) -> None:
        """Prepares for the response to the next request."""
        self.framing = None
        self.status = self.size = 0

    def start(
        self, request: Request, status: int, reason: bytes | None, fields: Fields, length: int | None, *, keeps_alive: bool, has_date: bool
    ) -> None:
        """Adds the head of a response. It goes out with the next :meth:`flush`."""
        assert self.framing is None, "a response has one head"
        self.framing = framing = Framing.of(
            status, reason, fields, length, method=request.method, version=request.version, keeps_alive=keeps_alive, date=not has_date
        )
        self.status = status
        self._out.append(framing.head)

    def send(self, data: bytes) -> None:
        """Adds a part of the body."""
        framing = self.framing
        assert framing is not None
        part = framing.framed(data)
        if part:
            self.size += len(data)
            self._out.append(part)

    def flush(self) -> None:
        """Sends what has been added."""
        out = self._out
        if out:
            self.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def finish(self) -> bool:
        """Ends the response and sends it. Returns False if its body is shorter than its length."""
        framing = self.framing
        assert framing is not None
        if framing.end:
            self._out.append(framing.end)
        self.flush()
        return not framing.left

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        if not self._transport.is_closing():
            self._sent += len(data)
            self._transport.write(data)

    def may_continue(self) -> None:
        """Tells the client that it may send the body of its request."""
        if self.framing is None:
            self.write(CONTINUE)

    def cut(self) -> None:
        """Ends the connection so that the client can tell that the response is not whole.

        Where the end of the connection ends the body, an orderly end would look like a whole response, so we reset it.
        """
        self.flush()
        if self.framing is not None and not self.framing.ends_with_connection:
            self._transport.close()
            return
        peer = self._transport.get_extra_info("socket")
        if peer is not None:
            with socket.socket(fileno=os.dup(peer.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def is_unread(self, now: float, limits: Limits) -> bool:
        """Returns whether the client does not read what was sent to it, also if all of it is in our buffer already."""
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            self._pace = None
            return False
        if self._pace is None:
            self._pace = Pace(limits)
        waiting += unacknowledged(self._transport.get_extra_info("socket"))
        return self._pace.is_too_slow(now, self._sent - waiting)
