"""The connections to the application behind us: kept alive, streaming both ways, nothing buffered.

An answer is parsed by llhttp (httptools), as strictly as it comes, and held against what it must be: one length, one
answer to one question. What breaks that rule, or comes unasked, costs the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

from sessionward.sidecar.failures import Invalid, TooSlow, UpstreamError
from sessionward.sidecar.fields import RESPONSE_KINDS, Kind

MAX_HEAD: Final = 65_536
"""Bytes of the head of an answer."""
MAX_FIELDS: Final = 200
HIGH_WATER: Final = 65_536
"""Bytes of a body that wait for the client, at which we stop reading."""
MAX_INFORMATIONAL: Final = 16
"""1xx answers before the final one."""


STALL: Final = 60.0
"""Seconds without a single byte, in the middle of a body, after which a side is given up (nginx: 60)."""
SWITCHING: Final = 101
"""Switching Protocols."""


_PASSES: Final = Kind.PASSES
_VERSIONS: Final = ("1.1", "1.0")
_KEPT: Final = frozenset({b"keep-alive", b"close", b"content-length", b"set-cookie", b"content-type", b"content-encoding", b"location"})
"""What an answer's Connection cannot take out."""


class Answer:
    """The head of an answer: ``fields`` are for the client, the rest is what the upstream says to us.

    ``length``: from Content-Length; None: the body is chunked, or ends with the connection. ``login``, ``logout``: what it
    announces of the user's session.
    """

    __slots__ = ("chunked", "fields", "length", "login", "logout", "reason", "status", "upgrade")

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.chunked = False
        self.login: list[bytes] | None = None
        self.logout = False
        self.upgrade = b""


async def moves(drained: asyncio.Future[None], transport: asyncio.Transport) -> bool:
    """Wait until a transport takes more; False if nothing at all has left it for :data:`STALL` seconds."""
    while not drained.done():
        before = transport.get_write_buffer_size()
        try:
            async with asyncio.timeout(STALL):
                await asyncio.shield(drained)
        except TimeoutError:
            if transport.get_write_buffer_size() >= before:
                return False
    return True


class Ends(Protocol):
    """The tunnel that a connection has become a part of; it is told what happens at this end of it, the far one."""

    def far_received(self, data: bytes, /) -> None: ...
    def far_is_full(self) -> None: ...
    def far_has_room(self) -> None: ...
    def far_lost(self) -> None: ...


class Connection(asyncio.Protocol):
    """One connection, which serves one request at a time: :meth:`ask`, then :meth:`head`, then :meth:`body` until it is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiters: list[asyncio.Future[None]] = []
        self._drained: asyncio.Future[None] | None = None
        self._failure: UpstreamError | None = None
        self._ends: Ends | None = None
        self._asked = False
        self._seen = False
        self.fresh = True
        self.idle_since = 0.0
        self._begin(b"")

    def _begin(self, method: bytes) -> None:
        self._method = method
        self._head = Answer()
        self._count = 0
        self._tokens: set[bytes] | None = None
        self._size = 0
        self._answer: Answer | None = None
        self._informational = 0
        self._continued = False
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._paused = False
        self._complete = False
        self._reusable = False
        self._until_close = False
        self._upgrades = b""
        self._then: Callable[[], None] | None = None

    # --- what the proxy asks ---

    def ask(self, method: bytes, head: bytes, *, upgrades: str = "", then: Callable[[], None] | None = None) -> None:
        """Send the head of a request.

        ``upgrades``: the protocol that the answer may switch to. ``then``: called once, when the head of the answer has
        come with as much of its body as came with it, or the connection has failed.
        """
        self._begin(method)
        self._then = then
        self._upgrades = upgrades.encode()
        self._asked, self._seen = True, False
        self._transport.write(head)

    async def write(self, data: bytes) -> None:
        """Send a part of the request's body; waits while the upstream is slow to take it."""
        if self._failure is None and data:
            self._transport.write(data)
        while self._drained is not None and not self._transport.is_closing():
            if not await moves(self._drained, self._transport):
                self.abort(TooSlow("it has stopped taking what is sent"))

    async def head(self) -> Answer:
        """The head of the final answer. Raises :class:`UpstreamError`."""
        while self._answer is None:
            self._check()
            await self._wait()
        return self._answer

    async def may_continue(self, patience: float) -> bool:
        """Whether the body may be sent (RFC 9110, 10.1.1): the upstream says so, or says nothing for ``patience`` seconds."""
        try:
            async with asyncio.timeout(patience):
                while not self._continued and self._answer is None and self._failure is None:
                    await self._wait()
        except TimeoutError:
            return True
        return self._continued

    async def body(self) -> tuple[bytes, bool]:
        """The next part of the answer's body, and whether more comes. Raises :class:`UpstreamError`."""
        while not self._chunks and not self._complete:
            self._check()
            await self._wait()
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks, self._waiting = [], 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data, not self._complete

    def whole(self) -> tuple[Answer, bytes] | None:
        """The answer and its body, if all of it is there."""
        if self._answer is None or not self._complete or self._failure is not None:
            return None
        return self._answer, b"".join(self._chunks)

    def is_short(self, most: int) -> bool:
        """Whether the rest of the answer is on its way, and the whole is known to be at most so many bytes."""
        answer = self._answer
        return answer is not None and answer.length is not None and answer.length <= most and self._failure is None

    def call(self, then: Callable[[], None] | None) -> None:
        """Call this, once, when more has come; None: nobody."""
        self._then = then

    @property
    def ready(self) -> bool:
        """Whether :meth:`body` would answer at once."""
        return bool(self._chunks) or self._complete

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    def relay(self, ends: Ends) -> bytes:
        """From now on what comes is bytes for the other end of a tunnel; answers what has come already."""
        self._ends = ends
        return b"".join(self._chunks)

    @property
    def heard(self) -> bool:
        """Whether anything has come back since the request was sent."""
        return self._seen

    @property
    def complete(self) -> bool:
        """Whether the whole answer has come."""
        return self._complete

    @property
    def reusable(self) -> bool:
        """Whether the next request may be sent on it, once the request itself has been sent to its end."""
        return self._complete and self._reusable and self._failure is None and not self._transport.is_closing()

    def release(self) -> None:
        """Nothing is asked any more: whatever comes now is unasked for."""
        self._asked = False
        self.fresh = False
        if self._paused and not self._transport.is_closing():  # else the next answer would never be read
            self._paused = False
            self._transport.resume_reading()

    def abort(self, failure: UpstreamError | None = None) -> None:
        """Cut the connection; whoever waits is told."""
        if self._failure is None:
            self._failure = failure or UpstreamError("the connection was cut")
        self._transport.abort()
        self._wake()

    async def _wait(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        then = self._then
        if then is not None and (self._answer is not None or self._failure is not None):
            self._then = None
            then()
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    # --- what the transport tells ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._ends is not None:
            self._ends.far_received(data)
            return
        if not self._asked or self._complete:
            self._reusable = False
            self.abort(Invalid("it has sent more than one answer"))
            return
        self._seen = True
        try:
            if self._answer is None:
                self._size += len(data)
            self._parser.feed_data(data)
            if self._answer is None and self._size > MAX_HEAD:
                raise Invalid("the head of the answer is too long")
        except httptools.HttpParserUpgrade as upgrade:
            self._chunks.append(data[upgrade.args[0] :])
            self._transport.pause_reading()
            self._wake()
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self.abort(cause if isinstance(cause, UpstreamError) else Invalid("the answer cannot be parsed"))
        except httptools.HttpParserError:
            self.abort(Invalid("the answer cannot be parsed"))
        except UpstreamError as failure:
            self.abort(failure)
        else:
            if self._answer is not None or self._continued:
                self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._until_close and self._answer is not None and exc is None and self._failure is None:
            self._complete = True
        elif self._failure is None:
            self._failure = UpstreamError("the connection ended before the answer did")
        self.resume_writing()
        self._wake()
        if self._ends is not None:
            self._ends.far_lost()

    def pause_writing(self) -> None:
        if self._ends is not None:
            self._ends.far_is_full()
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._ends is not None:
            self._ends.far_has_room()
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    # --- what the parser finds ---

    def on_message_begin(self) -> None:
        if self._complete:
            raise Invalid("it has sent more than one answer")
        if self._count:  # of a 1xx before it
            self._head, self._count, self._tokens = Answer(), 0, None

    def on_status(self, reason: bytes) -> None:
        self._head.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is not None:  # a trailer
            return
        self._count += 1
        kind = RESPONSE_KINDS[name]
        if kind is _PASSES:
            self._head.fields.append((name, value))
        else:
            self._read(kind, name, value)
        if self._count > MAX_FIELDS:
            raise Invalid("the answer has too many header fields")

    def _read(self, kind: Kind, name: bytes, value: bytes) -> None:
        head = self._head
        if kind is Kind.LENGTH:
            if not value.isdigit() or head.length is not None:
                raise Invalid("it has not one Content-Length")
            head.length = int(value)
            head.fields.append((name, value))
        elif kind is Kind.CODING:
            if head.chunked or value.lower() != b"chunked":
                raise Invalid("it has a Transfer-Encoding other than chunked")
            head.chunked = True
        elif kind is Kind.CONNECTION:
            self._tokens = {*(self._tokens or ()), *(token.strip(b" \t").lower() for token in value.split(b","))}
        elif kind is Kind.LOGIN:
            head.login = [*(head.login or ()), value]
        elif kind is Kind.LOGOUT:
            head.logout = head.logout or value.strip() == b"1"
        elif kind is Kind.UPGRADE:
            head.upgrade += value.lower()

    def on_headers_complete(self) -> None:
        head, parser = self._head, self._parser
        head.status = status = parser.get_status_code()
        if parser.get_http_version() not in _VERSIONS:
            raise Invalid("it speaks another version of HTTP")
        if status < 200:
            self._informed(head)
            return
        if head.chunked and head.length is not None:
            raise Invalid("it has both a length and a Transfer-Encoding")
        if self._tokens:
            named = self._tokens - _KEPT
            if named:
                head.fields = [field for field in head.fields if field[0].lower() not in named]
        self._answer = head
        self._reusable = parser.should_keep_alive()
        if self._method == b"HEAD":
            self._complete = True
            self._parser = httptools.HttpResponseParser(self)  # llhttp knows no methods, and would wait for a body
        elif not head.chunked and head.length is None and status not in (204, 304):
            self._until_close, self._reusable = True, False

    def _informed(self, head: Answer) -> None:
        """An answer before the final one."""
        if head.status < 100:
            raise Invalid("its status is none")
        if head.status == SWITCHING:
            if not self._upgrades or head.upgrade != self._upgrades:
                raise Invalid("it has switched protocols unasked")
            self._answer = head
            self._complete = True
            return
        self._informational += 1
        self._continued = self._continued or head.status == 100
        if self._informational > MAX_INFORMATIONAL:
            raise Invalid("it has sent too many informational answers")
        self._count = 1

    def on_body(self, body: bytes) -> None:
        if self._complete:
            raise Invalid("it has sent a body where there is none")
        self._chunks.append(body)
        self._waiting += len(body)
        if self._waiting > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._answer is not None:
            self._complete = True
