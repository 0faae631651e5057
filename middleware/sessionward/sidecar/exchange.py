"""One request of a client and its answer, written as the application gives it.

In place of uvicorn's own cycle, which lower-cases names, adds a coding that HTTP/1.0 does not know, and checks again what
the upstream's parser has checked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, Self

from starlette.types import ASGIApp, Message
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from sessionward.request.request import Fields, Mapping
from sessionward.response.answer import Problem
from sessionward.sidecar.forwarding import Cut
from sessionward.sidecar.proxy import refuse
from sessionward.sidecar.record import RECORD
from sessionward.sidecar.upstream import SWITCHING, moves

log = logging.getLogger("sessionward")

_LINES: Final = {int(status): b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in HTTPStatus}
_BODILESS: Final = (SWITCHING, 204, 304)


@dataclass(slots=True)
class Head:
    """The head of an answer as bytes, and how its body is framed.

    ``left``: bytes of the body that are to come; None where nobody knows: it is chunked, or ends with the connection.
    """

    data: bytes
    left: int | None
    chunked: bool
    keep_alive: bool

    @classmethod
    def of(cls, status: int, reason: bytes | None, fields: Fields, length: int | None, scope: Mapping, *, keep_alive: bool) -> Self:
        """``length``: what stands in Content-Length."""
        lines = [name + b": " + value for name, value in fields]
        lines.insert(0, (_LINES.get(status) or b"HTTP/1.1 %d " % status) if reason is None else b"HTTP/1.1 %d %b" % (status, reason))
        chunked = False
        if status in _BODILESS or scope["method"] == "HEAD":
            length = 0
        elif length is None:
            if scope["http_version"] == "1.1":
                chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:  # HTTP/1.0 knows no chunks: the end of the connection ends the body
                keep_alive = False
        if not keep_alive and status != SWITCHING:
            lines.append(b"connection: close")
        lines.append(b"\r\n")
        return cls(b"\r\n".join(lines), length, chunked, keep_alive)

    def framed(self, body: bytes, *, more: bool) -> bytes:
        """A part of the body as it goes over the wire."""
        if not self.chunked:
            return body if self.left is None else body[: self.left]
        part = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return part if more else part + b"0\r\n\r\n"


def _reset(transport: asyncio.Transport) -> None:
    """End a connection with a reset: where the end of the connection ends the body, an orderly end would look like one."""
    peer = transport.get_extra_info("socket")
    if peer is not None:
        with socket.socket(fileno=os.dup(peer.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Client(Protocol):
    """The connection of a client, as far as an answer on it needs to know."""

    transport: asyncio.Transport
    flow: FlowControl
    logger: logging.Logger
    access_logger: logging.Logger
    expect_100_continue: bool
    draining: Callable[[], bool]

    def on_response_complete(self) -> None: ...
    def linger(self) -> None: ...


class Exchange(RequestResponseCycle):
    """What the ASGI application receives from and sends to."""

    scope: Any

    def __init__(self, listener: Client, scope: Any, *, keep_alive: bool) -> None:
        super().__init__(
            scope,
            listener.transport,
            listener.flow,
            listener.logger,
            listener.access_logger,
            False,
            [],
            asyncio.Event(),
            listener.expect_100_continue,
            keep_alive,
            listener.on_response_complete,
        )
        self._listener = listener
        self._head: Head | None = None
        self._to_write = b""

    async def run_asgi(self, app: ASGIApp) -> None:  # type: ignore[override]
        try:
            await app(self.scope, self.receive, self.send)
        except Cut:
            self._cut()
        except Exception:
            log.exception("a request could not be served")
            if self.response_started:
                self._cut()
            else:
                await refuse(Problem.UNAVAILABLE, self.scope, self.send)
        finally:
            if not self.response_complete and not self.disconnected:
                self._cut()

    def _cut(self) -> None:
        """End the connection so that the client can tell that the answer is not whole."""
        self.disconnected = True
        if self._head is not None and self._head.left is None and not self._head.chunked:
            _reset(self.transport)
        else:
            self.transport.close()

    async def receive(self) -> Any:
        if self.scope["type"] == "websocket":
            return {"type": "websocket.connect"}
        return await super().receive()

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if self.flow.write_paused and not self.disconnected:
            await self._room()
        if self.transport.is_closing():
            self.disconnected = True
            self.message_event.set()
        if self.disconnected or self.response_complete:
            if RECORD in self.scope:
                self.scope[RECORD].gone = True
            return
        kind: str = message["type"]
        if kind.endswith("start"):
            self._start(message["status"], message["headers"], message.get("reason"))
        elif kind.endswith("body"):
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "websocket.accept":
            self._start(SWITCHING, message["headers"], message.get("reason"))
            self.transport.write(self._to_write)
            self.response_complete = True
        else:  # websocket.close before the handshake
            self._start(403, [(b"content-length", b"0")], None)
            self._go_on(b"", more=False)

    async def _room(self) -> None:
        """Wait until the client has taken some of what it was sent; one that takes nothing any more is cut off."""
        drained = asyncio.ensure_future(self.flow.drain())
        try:
            if not await moves(drained, self.transport):
                self.transport.abort()
        finally:
            drained.cancel()

    def _start(self, status: int, fields: Fields, reason: bytes | None) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        keep_alive = self.keep_alive and not self._listener.draining()
        length = next((int(value) for name, value in fields if len(name) == 14 and name.lower() == b"content-length"), None)
        self._head = head = Head.of(status, reason, fields, length, self.scope, keep_alive=keep_alive)
        self._to_write = head.data
        self.keep_alive = head.keep_alive

    def _go_on(self, body: bytes, *, more: bool) -> None:
        head = self._head
        assert head is not None
        data = self._to_write + head.framed(body, more=more)
        self._to_write = b""
        if data:
            self.transport.write(data)
        if head.left is not None:
            head.left -= min(len(body), head.left)
        if more:
            return
        if head.left:
            self._cut()
            return
        self.response_complete = True
        self.message_event.set()
        if self.more_body:
            self._listener.linger()
        elif not self.keep_alive:
            self.transport.close()
        self.on_response()
