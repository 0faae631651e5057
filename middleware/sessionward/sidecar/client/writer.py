"""The response on a client's connection: its head, its body as it goes over the wire, and whether the client reads it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import Final

from sessionward.request.request import Fields
from sessionward.sidecar.client.limits import Limits, Pace, unacknowledged
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.response import BODILESS, CONTINUE, SWITCHING, date_line, status_line

_JOINED: Final = b": ".join


class ResponseWriter:
    """Writes the responses of one connection, one after the other.

    - ``has_begun``: whether the head of the response is there. ``keeps_alive``: whether the connection stays open behind it.
    - ``status`` and ``size``: of the response that is under way, or was the last.
    """

    __slots__ = ("_is_chunked", "_left", "_out", "_pace", "_sent", "_transport", "has_begun", "keeps_alive", "size", "status")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._out: list[bytes] = []
        self._sent = 0
        self._pace: Pace | None = None
        self._left: int | None = 0
        """Bytes of the body that are still to be sent; None if the body is chunked, or ends with the connection."""
        self._is_chunked = self.keeps_alive = self.has_begun = False
        self.status = self.size = 0

    def begin(self) -> None:
        """Prepares for the response to the next request."""
        self.has_begun = False
        self.status = self.size = 0

    def start(
        self, request: Request, status: int, reason: bytes | None, fields: Fields, length: int | None, keeps_alive: bool, has_date: bool
    ) -> None:
        """Adds the head of a response. It goes out with the next :meth:`flush`.

        ``length``: the value of Content-Length. ``has_date``: else we add Date (RFC 9110, 6.6.1).
        """
        self._out.append(self._head(request, status, reason, fields, length, keeps_alive, has_date))

    def whole(
        self,
        request: Request,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        keeps_alive: bool,
        has_date: bool,
        body: bytes,
    ) -> bool:
        """Sends a response whose body is there: what :meth:`start`, :meth:`send` and :meth:`finish` do, in one call for three."""
        head = self._head(request, status, reason, fields, length, keeps_alive, has_date)
        if self._left != len(body):
            self._out.append(head)
            self.send(body)
            return self.finish()
        self._left, self.size = 0, len(body)
        self.write(head + body)
        return True

    def _head(
        self, request: Request, status: int, reason: bytes | None, fields: Fields, length: int | None, keeps_alive: bool, has_date: bool
    ) -> bytes:
        assert not self.has_begun, "a response has one head"
        lines = [status_line(status, reason), *map(_JOINED, fields)]
        if not has_date:
            lines.append(date_line())
        self._is_chunked = False
        if status in BODILESS or request.method == b"HEAD":
            length = 0
        elif length is None:
            if request.version == "1.1":
                self._is_chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:  # HTTP/1.0 knows no chunks: the end of the connection ends the body
                keeps_alive = False
        if not keeps_alive and status != SWITCHING:
            lines.append(b"connection: close")
        lines.append(b"\r\n")
        self._left, self.keeps_alive, self.status, self.has_begun = length, keeps_alive, status, True
        return b"\r\n".join(lines)

    def send(self, data: bytes) -> None:
        """Adds a part of the body. Drops what exceeds the length."""
        left = self._left
        if left is not None:
            if len(data) > left:
                data = data[:left]
            self._left = left - len(data)
        if data:
            self.size += len(data)
            self._out.append(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def flush(self) -> None:
        """Sends what has been added."""
        out = self._out
        if out:
            self.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def finish(self) -> bool:
        """Ends the response and sends it. Returns False if its body is shorter than its length."""
        if self._is_chunked:
            self._out.append(b"0\r\n\r\n")
        self.flush()
        return not self._left

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        if not self._transport.is_closing():
            self._sent += len(data)
            self._transport.write(data)

    def may_continue(self) -> None:
        """Tells the client that it may send the body of its request."""
        if not self.has_begun:
            self.write(CONTINUE)

    def cut(self) -> None:
        """Ends the connection so that the client can tell that the response is not whole.

        Where the end of the connection ends the body, an orderly end would look like a whole response, so we reset it.
        """
        self.flush()
        if self.has_begun and (self._is_chunked or self._left is not None):
            self._transport.close()
            return
        peer = self._transport.get_extra_info("socket")
        if peer is not None:
            # Without a free descriptor the end is orderly, and better than none.
            with suppress(OSError), socket.socket(fileno=os.dup(peer.fileno())) as same:
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
