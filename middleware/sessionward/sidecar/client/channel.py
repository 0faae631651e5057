"""What a handler does with the connection of its client: the response, the pace of the body, and the tunnel."""

from __future__ import annotations

import asyncio
import enum
from contextlib import suppress

from sessionward.request.request import Fields
from sessionward.response.answer import Response
from sessionward.sidecar.client.limits import Limits
from sessionward.sidecar.client.phase import Handler, Phase, Watch
from sessionward.sidecar.client.reader import RequestReader
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.response import SWITCHING
from sessionward.sidecar.client.roster import Roster
from sessionward.sidecar.client.writer import ResponseWriter

_IDLE, _HEAD, _BUSY, _TUNNEL, _LINGERING, _CLOSING = Phase


class Hold(enum.IntFlag):
    """Why we do not read from the client."""

    NEXT = 1  # another request waits behind the one that is being served
    UPSTREAM = 2  # the upstream takes the body slowly


NEXT, UPSTREAM = int(Hold.NEXT), int(Hold.UPSTREAM)


class Channel:
    """The part of a client's connection that its handler uses. ``ClientConnection`` adds what the client sends."""

    __slots__ = (
        "_handler",
        "_holds",
        "_pending",
        "_reader",
        "_request",
        "_roster",
        "_served",
        "_transport",
        "_watch",
        "_writer",
        "is_full",
        "loop",
        "phase",
    )  # fmt: skip

    _transport: asyncio.Transport
    _writer: ResponseWriter

    def __init__(self, roster: Roster, loop: asyncio.AbstractEventLoop) -> None:
        self._roster = roster
        self.loop = loop
        self._reader = RequestReader()
        self._watch = Watch()
        self.phase = _IDLE
        self._handler: Handler | None = None
        self._request: Request | None = None
        self.is_full = False
        """Whether the client should get no more bytes for now."""
        self._pending = b""
        """What has come behind the request that is being served."""
        self._holds = 0
        self._served: int = 0

    @property
    def sends(self) -> bool:
        """Whether the request is not whole yet."""
        return not self._reader.is_whole

    @property
    def limits(self) -> Limits:
        """The bounds of this worker."""
        return self._roster.limits

    def hold(self) -> None:
        """Stops reading the body of the request, since the upstream takes it slowly."""
        self._hold(UPSTREAM)

    def release(self) -> None:
        """Reads the body again."""
        self._release(UPSTREAM)

    def may_continue(self) -> None:
        """Tells a client that waits for it that it may send the body."""
        self._writer.may_continue()

    def start(self, status: int, reason: bytes | None, fields: Fields, length: int | None, *, has_date: bool = False) -> None:
        """Begins a response. It goes out with the next :meth:`flush`."""
        request = self._request
        assert request is not None, "a response answers a request"
        keeps_alive = request.keeps_alive and not self._roster.is_draining
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
        self._finished(self._writer.finish(), result)

    def respond(self, response: Response, result: str) -> None:
        """Gives a response of our own."""
        body = response.body
        self.give(int(response.status), None, response.headers, len(body), body, result)

    def give(
        self, status: int, reason: bytes | None, fields: Fields, length: int | None, body: bytes, result: str, *, has_date: bool = False
    ) -> None:
        """Gives a response whose body is there: what :meth:`start`, :meth:`send` and :meth:`finish` do, with a third of their calls."""
        request = self._request
        assert request is not None, "a response answers a request"
        keeps_alive = request.keeps_alive and not self._roster.is_draining
        self._finished(self._writer.whole(request, status, reason, fields, length, keeps_alive, has_date, body), result)

    def _finished(self, is_whole: bool, result: str) -> None:
        """Ends the request. ``is_whole``: whether the response was not shorter than its length."""
        if not is_whole:
            self.cut()
            return
        self._end(result)
        if self._transport.is_closing():
            return
        if not self._reader.is_whole:
            self._linger()
        elif not self._writer.keeps_alive:
            self._close()
        else:
            self.phase = _IDLE
            if self._pending:
                self.loop.call_soon(self._go_on)

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
        self._roster.tunnel(1.0)
        if self.is_full:
            tunnel.client_is_full()
        data, self._pending = self._pending, b""
        self._release(NEXT)
        if data:
            tunnel.body(data)

    def pass_on(self, data: bytes) -> None:
        """Sends bytes of a tunnel."""
        self._watch.received += len(data)
        self._writer.size += len(data)
        self._writer.write(data)

    def close_tunnel(self, result: str = "passed") -> None:
        """Ends a tunnel, once the client has what was sent to it. ``result``: as for :meth:`finish`."""
        if self.phase is _TUNNEL:
            self._end(result)
            self._close()

    def cut_tunnel(self, last: bytes) -> None:
        """Ends a tunnel with these bytes. What the client still sends is dropped, so that it can read them."""
        if self.phase is _TUNNEL:
            self.pass_on(last)
            self._end("cut")
            self._linger()

    def _go_on(self) -> None:
        raise NotImplementedError

    def _end(self, result: str) -> None:
        """The request is over, whichever way it ended."""
        request = self._request
        if request is None:
            return
        is_tunnel = self.phase is _TUNNEL
        self._request = self._handler = self._watch.body = None
        if self._holds & UPSTREAM:
            self._release(UPSTREAM)
        if is_tunnel:
            self._roster.tunnel(-1.0)
        self._roster.done(request, self._writer.status, self._writer.size, result, is_tunnel=is_tunnel)

    def _linger(self) -> None:
        """Closes, but not at once on a client that still sends: a reset would take the response from it."""
        self.phase = _LINGERING
        self._pending = b""
        if self._transport.is_closing():
            return
        self._release(self._holds)
        if self._transport.can_write_eof():
            with suppress(OSError):  # the client has reset the connection, and the loop does not know yet
                self._transport.write_eof()

    def _close(self) -> None:
        self.phase = _CLOSING
        self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once, whatever it is doing."""
        self._transport.abort()

    def _hold(self, reason: int) -> None:
        if not self._holds and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holds |= reason

    def _release(self, reason: int) -> None:
        before, self._holds = self._holds, self._holds & ~reason
        if before and not self._holds and not self._transport.is_closing():
            self._transport.resume_reading()
