"""The connection of one client: requests in, responses out, one at a time."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from sessionward.sidecar.client.channel import NEXT, Channel
from sessionward.sidecar.client.framing import Refused
from sessionward.sidecar.client.limits import Pace, keep_alive
from sessionward.sidecar.client.phase import Handler, Overdue, Phase
from sessionward.sidecar.client.proxy_protocol import parse
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.response import closing
from sessionward.sidecar.client.roster import Roster
from sessionward.sidecar.client.trusted_proxies import plain_address
from sessionward.sidecar.client.writer import ResponseWriter
from sessionward.sidecar.errors import SidecarProblem, refusal_of

MAX_AT_ONCE: Final = 32
"""Requests of one client that are answered in one turn of the event loop, where no answer waits for anything."""
MAX_EARLY: Final = 65_536
"""Bytes that a client may send behind the handshake of a WebSocket before it is answered."""
_IDLE, _HEAD, _BUSY, _TUNNEL, _LINGERING, _CLOSING = Phase


class Service(Protocol):
    """What serves requests: the proxy, the checks for another proxy, or the admin address."""

    def begin(self, connection: Channel, request: Request, /) -> Handler:
        """Begins to serve a request. The handler may have answered already when this returns."""
        ...


class Site(Roster):
    """The roster of one address, and the service behind it, which may be replaced while it runs."""

    service: Service


class ClientConnection(Channel, asyncio.Protocol):
    """One connection of a client. It parses one request at a time; the next one waits here, and then in the socket."""

    __slots__ = ("_is_reading", "_preamble", "_site", "is_counted", "peer")

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(site, loop)
        self._site = site
        self.peer: str | None = None
        self.is_counted = False
        self._preamble: bytes | None = None
        """The part of a PROXY protocol header that has come, as long as one must come."""
        self._is_reading = False

    # --- what the transport says ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._writer = ResponseWriter(self._transport)
        self.peer = plain_address(transport.get_extra_info("peername"))
        keep_alive(transport.get_extra_info("socket"))
        if self._roster.proxied and self.peer in self._roster.proxied:
            self._preamble = b""
        if not self._roster.opened(self):
            self._turn_away()

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
        self._roster.closed(self)
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
            self._roster.bound("proxy_protocol")
            self.abort()
            return
        if found is None:
            return
        proxied, length = found
        self.phase, self._preamble = _IDLE, None
        if proxied is not None:
            self.peer = plain_address((proxied.source, 0))
            if not self._roster.counted(self):
                self._turn_away()
                return
        if len(data) > length:
            self._read(data[length:])

    def _read(self, data: bytes) -> None:
        if self._pending or self._is_reading:  # a handler that answers at once leads back to here
            self._wait(data)
            return
        self._is_reading = True
        reader, begun = self._reader, 0
        try:
            while data:
                if begun == MAX_AT_ONCE and self._handler is None:  # the other clients first
                    self._wait(data)
                    self.loop.call_soon(self._go_on)
                    break
                if (self._handler is not None and reader.is_whole) or (self._handler is None and self.is_full):
                    self._wait(data)
                    break
                data = reader.read(data)
                if reader.head is not None:
                    begun += 1
                    self._begin(reader.head)
                elif reader.is_in_head:
                    self.phase = _HEAD
                elif self._handler is not None:
                    self._read_body()
                    if reader.is_spent:  # the other clients first
                        self._wait(data)
                        self.loop.call_soon(self._read_on)
                        break
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
        listener = self._site
        request.peer = peer = self.peer
        if not listener.trusted.is_empty and peer in listener.trusted:
            request.believe(listener.trusted)
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
            self._hold(NEXT)

    def _read_on(self) -> None:
        """Reads on in a body, in a new turn of the event loop."""
        data, self._pending = self._pending, b""
        self._release(NEXT)
        if data:
            self.data_received(data)

    def _go_on(self) -> None:
        """Reads what waits behind the request that has just been answered."""
        data, self._pending = self._pending, b""
        if self._handler is not None or self._transport.is_closing():
            self._pending = data
            return
        self._release(NEXT)
        if data:
            self._read(data)

    # --- ends ---

    def _refuse(self, refusal: Refused) -> None:
        """Responds to what cannot be read, and closes."""
        request, handler = self._request, self._handler
        self._roster.bound(refusal.bound)
        if request is not None and self._writer.has_begun:  # the response is under way already
            self.cut()
        else:
            known = request or self._reader.as_far_as_known(self.peer)
            asked = known or Request(b"", b"", [], "1.1")
            response = refusal_of(refusal.problem, asked)
            self._writer.status, self._writer.size = int(response.status), len(response.body)
            if request is None:
                self._roster.refused(self.peer, refusal.problem, known, asked.id)
            self._end("refused")
            self._writer.write(closing(response))
            self._linger()
        if handler is not None:
            handler.gone()

    def _turn_away(self) -> None:
        """Refuses one connection too many. It does not linger, since it counts as long as it is open."""
        self._refuse(Refused(SidecarProblem.TOO_MANY_CONNECTIONS))
        self._close()

    def drain(self, now: float) -> None:
        """Ends the connection if it is idle, or a tunnel that has been silent."""
        if self.phase is _IDLE and not self._pending:
            self._close()
        elif self.phase is _TUNNEL and self._watch.is_silent(now):
            self.abort()

    def check(self, now: float) -> None:
        """Checks the times of this connection. The listener calls it every tick."""
        limits = self._roster.limits
        overdue = self._watch.overdue(now, self.phase, self._served, limits, is_held=bool(self._holds))
        if overdue is Overdue.HEAD or overdue is Overdue.BODY:
            self._refuse(Refused(SidecarProblem.REQUEST_TIMEOUT, overdue.value))
        elif overdue is Overdue.TUNNEL:
            self._roster.bound(overdue.value)
            self.abort()
        elif overdue is not None and not self._pending:
            self._close()
        if self._handler is not None and self.phase is _BUSY:
            self._handler.check(now)
        if self._writer.is_unread(now, limits):
            self._roster.bound("unread_answer")
            self.abort()
