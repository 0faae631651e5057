"""The connection of one client: requests in, responses out, one at a time.

====================  =====================================================================================================
``Phase.IDLE``        waits for a request
``Phase.HEAD``        a part of a head has come
``Phase.BUSY``        a handler serves a request; what the client sends behind it waits here, and then in the socket
``Phase.TUNNEL``      the request has become a WebSocket: bytes in both directions
``Phase.LINGERING``   the response is out, and we close; what the client still sends is discarded, so that it can read the response
``Phase.CLOSING``     the rest of the response is on its way to the client, then the connection is closed
====================  =====================================================================================================
"""

from __future__ import annotations

import asyncio
import enum
import os
import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol, cast
from uuid import uuid4

from sessionward.request.request import Fields
from sessionward.response.answer import Response, refused
from sessionward.sidecar.client.limits import Pace, keep_alive, unacknowledged
from sessionward.sidecar.client.reader import Refused, RequestReader
from sessionward.sidecar.client.request import Request, Unreadable
from sessionward.sidecar.client.response import CONTINUE, SWITCHING, Framing, closing, length_of
from sessionward.sidecar.client.trusted_proxies import plain_address
from sessionward.sidecar.errors import SidecarProblem

if TYPE_CHECKING:
    from sessionward.sidecar.client.listener import Listener

_NO_ORIGINS: Final = frozenset[bytes]()


class Phase(enum.Enum):
    """What a connection is doing."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BUSY = enum.auto()
    TUNNEL = enum.auto()
    LINGERING = enum.auto()
    CLOSING = enum.auto()


_IDLE, _HEAD, _BUSY, _TUNNEL, _LINGERING, _CLOSING = Phase


class Handler(Protocol):
    """What serves one request. It gives the response through the methods of the connection."""

    def body(self, data: bytes, /) -> None:
        """Takes a part of the request's body, or bytes of a tunnel."""
        ...

    def whole(self) -> None:
        """The request has ended."""
        ...

    def gone(self) -> None:
        """The client is gone, or its request cannot be read to its end. The handler gives no response any more."""
        ...

    def client_is_full(self) -> None:
        """The client reads slowly: it should get no more bytes for now."""
        ...

    def client_has_room(self) -> None:
        """The client can take bytes again."""
        ...

    def check(self, now: float, /) -> None:
        """Checks the handler's own times. ``now``: by the clock of the loop."""
        ...


class Hold(enum.IntFlag):
    """Why we do not read from the client."""

    NEXT = 1  # another request waits behind the one that is being served
    UPSTREAM = 2  # the upstream takes the body slowly


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_body_pace", "_discarded", "_framing", "_handler", "_holds", "_is_full", "_is_reading", "_listener", "_mark", "_out", "_pending", "_reader",
        "_received", "_request", "_result", "_sent", "_served", "_since", "_size", "_status", "_transport", "_unread_pace", "loop", "peer", "phase",
    )  # fmt: skip

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self.loop = loop
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._reader = RequestReader()
        self.phase = _IDLE
        self.peer: str | None = None
        self._handler: Handler | None = None
        self._request: Request | None = None
        self._framing: Framing | None = None
        self._out: list[bytes] = []
        self._pending = b""
        self._holds = 0
        self._is_full = self._is_reading = False
        self._status = self._size = self._sent = self._served = self._received = 0
        self._mark: tuple[Phase, int] | None = None
        self._since = 0.0
        self._body_pace: Pace | None = None
        self._unread_pace: Pace | None = None

    # --- what the transport says ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = plain_address(transport.get_extra_info("peername"))
        keep_alive(transport.get_extra_info("socket"))
        if not self._listener.opened(self):
            self._refuse(Refused(SidecarProblem.TOO_MANY_CONNECTIONS))

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase is _TUNNEL:
            self._received += len(data)
            cast("Handler", self._handler).body(data)
        elif phase is not _LINGERING and phase is not _CLOSING:
            self._read(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason changes nothing
        self._listener.closed(self)
        handler = self._handler
        self.phase = _CLOSING
        if handler is not None:
            self._end("cut")
            handler.gone()

    def pause_writing(self) -> None:
        self._is_full = True
        if self._handler is not None:
            self._handler.client_is_full()

    def resume_writing(self) -> None:
        self._is_full = False
        if self._handler is not None:
            self._handler.client_has_room()
        elif self._pending:
            self._go_on()

    # --- reading ---

    def _read(self, data: bytes) -> None:
        if self._is_reading:  # a handler that answers at once leads back to here
            self._pending += data
            return
        self._is_reading = True
        reader = self._reader
        try:
            while data:
                if (self._handler is not None and reader.is_whole) or (self._is_full and self._handler is None):
                    self._pending += data
                    self._hold(Hold.NEXT)
                    break
                data = reader.read(data)
                if reader.head is not None:
                    self._begin(reader.head)
                elif reader.is_in_head:
                    self.phase = _HEAD
                handler = self._handler
                if reader.body and handler is not None:
                    self._received += len(reader.body)
                    handler.body(reader.body)
                if reader.is_whole and self._handler is not None:
                    if self.phase is _TUNNEL:
                        self._body_pace = None
                    self._body_pace = None
                    self._handler.whole()
                if self.phase is _TUNNEL:
                    if data and self._handler is not None:
                        self._handler.body(data)
                    break
                if self.phase is _LINGERING or self.phase is _CLOSING:
                    break
        except Refused as refusal:
            self._refuse(refusal)
        finally:
            self._is_reading = False

    def _begin(self, request: Request) -> None:
        listener = self._listener
        request.peer = peer = self.peer
        request.is_trusted = is_trusted = peer in listener.trusted
        request.address = listener.trusted.client_of(peer, request.fields) if is_trusted else peer
        self.phase = _BUSY
        self._request = request
        self._framing = None
        self._status = self._size = 0
        self._served += 1
        if request.has_body:
            self._body_pace, self._received = Pace(listener.limits), 0
        if listener.observer is not None:
            listener.observer.begins()
        listener.begins(1)
        self._handler = None
        self._handler = handler = listener.service.begin(self, request)
        if self._request is None:  # it has answered already
            self._handler = None
        elif self._is_full:
            handler.client_is_full()

    def _go_on(self) -> None:
        """Reads what waits behind the request that has just been answered."""
        data, self._pending = self._pending, b""
        if self._transport.is_closing():
            return
        self._release(Hold.NEXT)
        if data:
            self._read(data)

    # --- for the handler ---

    @property
    def sends(self) -> bool:
        """Whether the request is not whole yet."""
        return not self._reader.is_whole

    @property
    def has_begun(self) -> bool:
        """Whether the head of the response is out."""
        return self._framing is not None

    @property
    def is_full(self) -> bool:
        """Whether the client should get no more bytes for now."""
        return self._is_full

    def hold(self) -> None:
        """Stops reading the body of the request, since the upstream takes it slowly."""
        self._hold(Hold.UPSTREAM)

    def release(self) -> None:
        """Reads the body again."""
        self._release(Hold.UPSTREAM)

    def may_continue(self) -> None:
        """Tells a client that waits for it that it may send the body."""
        if self._framing is None and not self._transport.is_closing():
            self._transport.write(CONTINUE)

    def start(self, status: int, reason: bytes | None, fields: Fields, length: int | None, *, has_date: bool = False) -> None:
        """Begins a response. It goes out with the next :meth:`flush`."""
        request = self._request
        assert request is not None
        assert self._framing is None
        keeps_alive = request.keeps_alive and not self._listener.is_draining
        self._framing = framing = Framing.of(
            status, reason, fields, length, method=request.method, version=request.version, keeps_alive=keeps_alive, date=not has_date
        )
        self._status = status
        self._body_pace = None  # the client may be slow now: its answer is under way
        self._out.append(framing.head)

    def send(self, data: bytes) -> None:
        """Adds a part of the body."""
        framing = self._framing
        assert framing is not None
        part = framing.framed(data)
        if part:
            self._size += len(data)
            self._out.append(part)

    def flush(self) -> None:
        """Sends what has been added."""
        out = self._out
        if out and not self._transport.is_closing():
            data = out[0] if len(out) == 1 else b"".join(out)
            self._sent += len(data)
            self._transport.write(data)
        out.clear()

    def finish(self, result: str) -> None:
        """Ends the response. ``result``: what became of the request, for the counters and the log."""
        framing = self._framing
        assert framing is not None
        if framing.left:
            self.cut()
            return
        if framing.end:
            self._out.append(framing.end)
        self.flush()
        is_whole = self._reader.is_whole
        self._end(result)
        if self._transport.is_closing():
            return
        if not is_whole:
            self._linger()
        elif not framing.keeps_alive:
            self._close()
        else:
            self.phase = _IDLE
            if self._pending:
                self.loop.call_soon(self._go_on)

    def respond(self, response: Response, result: str) -> None:
        """Gives a response of our own."""
        self.start(int(response.status), None, response.headers, length_of(response.headers) or 0)
        self.send(response.body)
        self.finish(result)

    def cut(self) -> None:
        """Ends the connection so that the client can tell that the response is not whole."""
        framing = self._framing
        self.flush()
        self._end("cut")
        self.phase = _CLOSING
        if framing is None or framing.ends_with_connection:
            self._reset()
        else:
            self._transport.close()

    def switch(self, fields: Fields, reason: bytes, *, has_date: bool) -> asyncio.Transport:
        """Answers 101: from now on the handler gets raw bytes. Returns the transport, which takes raw bytes too."""
        self.start(SWITCHING, reason, fields, None, has_date=has_date)
        self.phase = _TUNNEL
        self.flush()
        if self._listener.observer is not None:
            self._listener.observer.tunnel(1.0)
        return self._transport

    def close_tunnel(self) -> None:
        """Ends a tunnel, once the client has what was sent to it."""
        if self.phase is _TUNNEL:
            self._end("passed")
            self._close()

    def moved(self, count: int) -> None:
        """Counts bytes of a tunnel, so that it is not idle."""
        self._received += count
        self._size += count
        self._sent += count

    # --- ends ---

    def _end(self, result: str) -> None:
        """The request is over, whichever way it ended."""
        request = self._request
        if request is None:
            return
        listener, is_tunnel = self._listener, self.phase is _TUNNEL
        self._request = self._handler = self._body_pace = None
        listener.begins(-1)
        if self._holds & Hold.UPSTREAM:
            self._release(Hold.UPSTREAM)
        if listener.observer is not None:
            if is_tunnel:
                listener.observer.tunnel(-1.0)
            listener.observer.done(request, self._status, self._size, result, tunnel=is_tunnel)

    def _refuse(self, refusal: Refused) -> None:
        """Responds to what cannot be read, and closes."""
        request, handler, listener = self._request, self._handler, self._listener
        if refusal.bound and listener.observer is not None:
            listener.observer.bound(refusal.bound)
        if self._framing is not None and handler is not None:  # the response is under way already
            self.cut()
            handler.gone()
            return
        identity = request.id if request is not None else _id_of(self._reader)
        response = refused(refusal.problem, Unreadable(identity), _NO_ORIGINS)
        self._status, self._size = int(response.status), len(response.body)
        if listener.observer is not None:
            if request is None:
                method, path = self._reader.request_line
                listener.observer.refused(self.peer, self._status, refusal.problem.id, method, path, identity)
        if handler is not None or request is not None:
            self._end("refused")
            if handler is not None:
                handler.gone()
        data = closing(response)
        self._sent += len(data)
        self._transport.write(data)
        self._linger()

    def _linger(self) -> None:
        """Closes, but not at once on a client that still sends: a reset would take the response from it."""
        self.phase = _LINGERING
        self._pending = b""
        self._holds = 0
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def _close(self) -> None:
        self.phase = _CLOSING
        self._transport.close()

    def _reset(self) -> None:
        """Ends the connection with a reset: where its end ends the body, an orderly end would look like a whole response."""
        peer = self._transport.get_extra_info("socket")
        if peer is not None:
            with socket.socket(fileno=os.dup(peer.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        """Ends the connection at once, whatever it is doing."""
        self._transport.abort()

    def drain(self, now: float) -> None:
        """Ends the connection if it is idle, or a tunnel that has been silent."""
        if self.phase is _IDLE and not self._pending:
            self._close()
        elif self.phase is _TUNNEL and self._mark is not None and self._mark[1] == self._received and now - self._since >= 2.0:
            self.abort()

    def _hold(self, reason: Hold) -> None:
        if not self._holds and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holds |= reason

    def _release(self, reason: Hold) -> None:
        before, self._holds = self._holds, self._holds & ~reason
        if before and not self._holds and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- time ---

    def check(self, now: float) -> None:
        """Checks the times of this connection. The listener calls it again and again."""
        phase, limits = self.phase, self._listener.limits
        mark = (phase, self._received if phase is _TUNNEL else self._served)
        if mark != self._mark:
            self._mark, self._since = mark, now
        spent = now - self._since
        if phase is _IDLE:
            if spent > limits.idle_timeout and not self._pending:
                self._close()
        elif phase is _HEAD:
            if spent > limits.head_timeout:
                self._refuse(Refused(SidecarProblem.REQUEST_TIMEOUT, "head_time"))
        elif phase is _LINGERING:
            if spent > limits.linger:
                self._close()
        elif phase is _TUNNEL:
            if spent > limits.tunnel_idle_timeout:
                self._bound("tunnel_idle")
        elif phase is _BUSY and self._handler is not None:
            self._check_body(now)
            if self._handler is not None:
                self._handler.check(now)
        self._check_unread(now)

    def _check_body(self, now: float) -> None:
        pace = self._body_pace
        if pace is None:
            return
        if self._holds:
            pace.rest()
        elif pace.is_too_slow(now, self._received):
            self._refuse(Refused(SidecarProblem.REQUEST_TIMEOUT, "body_rate"))

    def _check_unread(self, now: float) -> None:
        """Cuts a client that does not read its response, also when all of it is in our buffer already."""
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            self._unread_pace = None
            return
        if self._unread_pace is None:
            self._unread_pace = Pace(self._listener.limits)
        waiting += unacknowledged(self._transport.get_extra_info("socket"))
        if self._unread_pace.is_too_slow(now, self._sent - waiting):
            self._bound("unread_answer")

    def _bound(self, name: str) -> None:
        if self._listener.observer is not None:
            self._listener.observer.bound(name)
        self.abort()


def _id_of(reader: RequestReader) -> str:
    """Returns the id of a request that cannot be read: its own, if that much has come, or a new UUID."""
    return reader.head.id if reader.head is not None else str(uuid4())
