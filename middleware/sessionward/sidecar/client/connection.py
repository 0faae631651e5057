"""The connection of one client: requests in, responses out, one at a time."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

from sessionward.request.request import Fields
from sessionward.response.answer import Response, refused
from sessionward.sidecar.client.limits import Limits, Pace, keep_alive
from sessionward.sidecar.client.phase import Handler, Overdue, Phase, Watch
from sessionward.sidecar.client.proxy_protocol import parse
from sessionward.sidecar.client.reader import Refused, RequestReader
from sessionward.sidecar.client.request import Request, Unreadable
from sessionward.sidecar.client.response import SWITCHING, closing, length_of
from sessionward.sidecar.client.trusted_proxies import plain_address
from sessionward.sidecar.client.writer import ResponseWriter
from sessionward.sidecar.errors import SidecarProblem

if TYPE_CHECKING:
    from sessionward.sidecar.client.listener import Listener

_NO_ORIGINS: Final = frozenset[bytes]()
MAX_EARLY: Final = 65_536
"""Bytes that a client may send behind the handshake of a WebSocket before it is answered."""
_IDLE, _HEAD, _BUSY, _TUNNEL, _LINGERING, _CLOSING = Phase


class Hold(enum.IntFlag):
    """Why we do not read from the client."""

    NEXT = 1  # another request waits behind the one that is being served
    UPSTREAM = 2  # the upstream takes the body slowly


_NEXT, _UPSTREAM = int(Hold.NEXT), int(Hold.UPSTREAM)


class ClientConnection(asyncio.Protocol):
    """One connection of a client. It parses one request at a time; the next one waits here, and then in the socket."""

    __slots__ = (
        "_handler", "_holds", "_is_reading", "_listener", "_pending", "_preamble", "_reader", "_request", "_served", "_transport", "_watch",
        "_writer", "is_counted", "is_full", "loop", "peer", "phase",
    )  # fmt: skip

    _transport: asyncio.Transport
    _writer: ResponseWriter

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self.loop = loop
        self._reader = RequestReader()
        self._watch = Watch()
        self.phase = _IDLE
        self.peer: str | None = None
        self.is_counted = False
        self._preamble: bytes | None = None
        """The part of a PROXY protocol header that has come, as long as one must come."""
        self._handler: Handler | None = None
        self._request: Request | None = None
        self._pending = b""
        self._holds = self._served = 0
        self._is_reading = False
        self.is_full = False
        """Whether the client should get no more bytes for now."""

    # --- what the transport says ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._writer = ResponseWriter(self._transport)
        self.peer = plain_address(transport.get_extra_info("peername"))
        keep_alive(transport.get_extra_info("socket"))
        if self._listener.proxied and self.peer in self._listener.proxied:
            self._preamble = b""
        if not self._listener.opened(self):
            self._refuse(Refused(SidecarProblem.TOO_MANY_CONNECTIONS))

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase is _TUNNEL:
            self._watch.received += len(data)
            cast("Handler", self._handler).body(data)
        elif phase is _LINGERING or phase is _CLOSING:
            pass  # what a client sends after its last response
        elif self._preamble is None:
            self._read(data)
        else:
            self._read_preamble(self._preamble + data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason changes nothing
        self._listener.closed(self)
        handler = self._handler
        self._end("passed" if self.phase is _TUNNEL else "cut")
        self.phase = _CLOSING
        if handler is not None:
            handler.gone()

    def pause_writing(self) -> None:
        self.is_full = True
        if self._handler is not None:
            self._handler.client_is_full()

    def resume_writing(self) -> None:
        self.is_full = False
        if self._handler is not None:
            self._handler.client_has_room()
        elif self._pending:
            self._go_on()

    # --- reading ---

    def _read_preamble(self, data: bytes) -> None:
        """Reads the PROXY protocol header that this peer must send, and believes it."""
        self.phase, self._preamble = _HEAD, data
        try:
            found = parse(data)
        except ValueError:
            self._listener.bound("proxy_protocol")
            self.abort()
            return
        if found is None:
            return
        proxied, length = found
        self.phase, self._preamble = _IDLE, None
        if proxied is not None:
            self.peer = plain_address((proxied.source, 0))
            if not self._listener.counted(self):
                self._refuse(Refused(SidecarProblem.TOO_MANY_CONNECTIONS))
                return
        if len(data) > length:
            self._read(data[length:])

    def _read(self, data: bytes) -> None:
        if self._pending or self._is_reading:  # a handler that answers at once leads back to here
            self._wait(data)
            return
        self._is_reading = True
        reader = self._reader
        try:
            while data:
                if (self._handler is not None and reader.is_whole) or (self._handler is None and self.is_full):
                    self._wait(data)
                    break
                data = reader.read(data)
                if reader.head is not None:
                    self._begin(reader.head)
                elif reader.is_in_head:
                    self.phase = _HEAD
                elif self._handler is not None:
                    self._read_body()
                if self.phase is _LINGERING or self.phase is _CLOSING:
                    break
        except Refused as refusal:
            self._refuse(refusal)
        finally:
            self._is_reading = False

    def _read_body(self) -> None:
        reader = self._reader
        if reader.body and self._handler is not None:
            self._watch.received += len(reader.body)
            self._handler.body(reader.body)
        if reader.is_whole and self._handler is not None:
            self._watch.body = None
            self._handler.whole()

    def _begin(self, request: Request) -> None:
        listener = self._listener
        request.peer = peer = self.peer
        if listener.trusted and peer in listener.trusted:
            request.is_trusted = True
            request.address = listener.trusted.client_of(peer, request.fields)
        else:
            request.address = peer
        self.phase = _BUSY
        self._request = request
        self._writer.begin()
        self._served += 1
        if request.has_body:
            self._watch.body, self._watch.received = Pace(listener.limits), 0
        listener.begins()
        handler = listener.service.begin(self, request)
        if self._request is request:  # else it has answered already
            self._handler = handler
            if self.is_full:
                handler.client_is_full()

    def _wait(self, data: bytes) -> None:
        self._pending += data
        is_handshake = self._request is not None and self._request.wants_websocket
        if not is_handshake or len(self._pending) > MAX_EARLY:  # only who reads sees that the client is gone
            self._hold(_NEXT)

    def _go_on(self) -> None:
        """Reads what waits behind the request that has just been answered."""
        data, self._pending = self._pending, b""
        if self._handler is not None or self._transport.is_closing():
            self._pending = data
            return
        self._release(_NEXT)
        if data:
            self._read(data)

    # --- for the handler ---

    @property
    def sends(self) -> bool:
        """Whether the request is not whole yet."""
        return not self._reader.is_whole

    @property
    def limits(self) -> Limits:
        """The bounds of this worker."""
        return self._listener.limits

    def hold(self) -> None:
        """Stops reading the body of the request, since the upstream takes it slowly."""
        self._hold(_UPSTREAM)

    def release(self) -> None:
        """Reads the body again."""
        self._release(_UPSTREAM)

    def may_continue(self) -> None:
        """Tells a client that waits for it that it may send the body."""
        self._writer.may_continue()

    def start(self, status: int, reason: bytes | None, fields: Fields, length: int | None, *, has_date: bool = False) -> None:
        """Begins a response. It goes out with the next :meth:`flush`."""
        request = self._request
        assert request is not None, "a response answers a request"
        keeps_alive = request.keeps_alive and not self._listener.is_draining
        self._writer.start(request, status, reason, fields, length, keeps_alive, has_date)
        self._watch.body = None  # the client may be slow now, since its answer is under way

    def send(self, data: bytes) -> None:
        """Adds a part of the body."""
        self._writer.send(data)

    def flush(self) -> None:
        """Sends what has been added."""
        self._writer.flush()

    def finish(self, result: str) -> None:
        """Ends the response. ``result``: what became of the request, for the counters and the log."""
        writer = self._writer
        if not writer.finish():
            self.cut()
            return
        self._end(result)
        if self._transport.is_closing():
            return
        if not self._reader.is_whole:
            self._linger()
        elif not writer.keeps_alive:
            self._close()
        else:
            self.phase = _IDLE
            if self._pending:
                self.loop.call_soon(self._go_on)

    def respond(self, response: Response, result: str) -> None:
        """Gives a response of our own."""
        self.start(int(response.status), None, response.headers, length_of(response.headers) or 0)
        self._writer.send(response.body)
        self.finish(result)

    def cut(self) -> None:
        """Ends the connection so that the client can tell that the response is not whole."""
        self._end("cut")
        self.phase = _CLOSING
        self._writer.cut()

    def become(self, tunnel: Handler, fields: Fields, reason: bytes, *, has_date: bool) -> None:
        """Answers 101: from now on ``tunnel`` gets the bytes of the client."""
        self.start(SWITCHING, reason, fields, None, has_date=has_date)
        self.flush()
        self.phase = _TUNNEL
        self._handler = tunnel
        self._listener.tunnel(1.0)
        if self.is_full:
            tunnel.client_is_full()
        data, self._pending = self._pending, b""
        self._release(_NEXT)
        if data:
            tunnel.body(data)

    def pass_on(self, data: bytes) -> None:
        """Sends bytes of a tunnel."""
        self._watch.received += len(data)
        self._writer.size += len(data)
        self._writer.write(data)

    def close_tunnel(self) -> None:
        """Ends a tunnel, once the client has what was sent to it."""
        if self.phase is _TUNNEL:
            self._end("passed")
            self._close()

    # --- ends ---

    def _end(self, result: str) -> None:
        """The request is over, whichever way it ended."""
        request = self._request
        if request is None:
            return
        is_tunnel = self.phase is _TUNNEL
        self._request = self._handler = self._watch.body = None
        if self._holds & _UPSTREAM:
            self._release(_UPSTREAM)
        if is_tunnel:
            self._listener.tunnel(-1.0)
        self._listener.done(request, self._writer.status, self._writer.size, result, is_tunnel=is_tunnel)

    def _refuse(self, refusal: Refused) -> None:
        """Responds to what cannot be read, and closes."""
        request, handler = self._request, self._handler
        self._listener.bound(refusal.bound)
        if request is not None and self._writer.has_begun:  # the response is under way already
            self.cut()
        else:
            request_id = request.id if request is not None else str(uuid4())
            response = refused(refusal.problem, Unreadable(request_id), _NO_ORIGINS)
            self._writer.status, self._writer.size = int(response.status), len(response.body)
            if request is None:
                self._listener.refused(self.peer, refusal.problem, self._reader, request_id)
            self._end("refused")
            self._writer.write(closing(response))
            self._linger()
        if handler is not None:
            handler.gone()

    def _linger(self) -> None:
        """Closes, but not at once on a client that still sends: a reset would take the response from it."""
        self.phase = _LINGERING
        self._pending = b""
        if self._transport.is_closing():
            return
        self._release(self._holds)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        self.phase = _CLOSING
        self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once, whatever it is doing."""
        self._transport.abort()

    def drain(self, now: float) -> None:
        """Ends the connection if it is idle, or a tunnel that has been silent."""
        if self.phase is _IDLE and not self._pending:
            self._close()
        elif self.phase is _TUNNEL and self._watch.is_silent(now):
            self.abort()

    def _hold(self, reason: int) -> None:
        if not self._holds and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holds |= reason

    def _release(self, reason: int) -> None:
        before, self._holds = self._holds, self._holds & ~reason
        if before and not self._holds and not self._transport.is_closing():
            self._transport.resume_reading()

    def check(self, now: float) -> None:
        """Checks the times of this connection. The listener calls it every tick."""
        limits = self._listener.limits
        overdue = self._watch.overdue(now, self.phase, self._served, limits, is_held=bool(self._holds))
        if overdue is Overdue.HEAD or overdue is Overdue.BODY:
            self._refuse(Refused(SidecarProblem.REQUEST_TIMEOUT, overdue.value))
        elif overdue is Overdue.TUNNEL:
            self._listener.bound(overdue.value)
            self.abort()
        elif overdue is not None and not self._pending:
            self._close()
        if self._handler is not None and self.phase is _BUSY:
            self._handler.check(now)
        if self._writer.is_unread(now, limits):
            self._listener.bound("unread_answer")
            self.abort()
