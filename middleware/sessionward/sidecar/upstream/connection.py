"""One connection to the upstream: it serves one request at a time, and is free for the next one only when nothing can follow."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from contextlib import suppress
from typing import Final, Protocol, cast

from sessionward.sidecar.client.limits import GRACE
from sessionward.sidecar.errors import Invalid, UpstreamError
from sessionward.sidecar.upstream.answer import Answer, AnswerReader, Ends

_ENDS_BY_UPGRADE: Final = Ends.UPGRADE
"""Looking up a member of an enum costs 50 ns."""
_FREE_ENDS: Final = (Ends.LENGTH, Ends.CHUNKS)
"""The two ways to end that leave no doubt about what comes next."""
READ: Final = 65_536
"""Bytes of one read."""
MAX_REST: Final = 16
"""Reads of what an upstream has sent before it reset the connection."""


class Asker(Protocol):
    """What has asked, and gets the answer. Before the head of the final answer it may get any number of ``may_continue``."""

    def may_continue(self) -> None:
        """The upstream wants the body of the request."""
        ...

    def answered(self, answer: Answer | None, body: bytes, is_whole: bool, /) -> None:
        """Takes what one read has brought, in one call, since most answers come with one read.

        ``answer``: the head of the final answer, if it has just ended. ``body``: a part of its body, or bytes of a tunnel. ``is_whole``:
        whether the answer has ended.
        """
        ...

    def failed(self, failure: UpstreamError, /) -> None:
        """No answer comes, or no more of it."""
        ...

    def upstream_is_full(self) -> None:
        """The upstream takes the request slowly."""
        ...

    def upstream_has_room(self) -> None:
        """The upstream takes bytes again."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """A connection to the upstream. :meth:`ask`, :meth:`write` and :meth:`sent` send a request; the asker gets the answer."""

    __slots__ = (
        "_answer", "_asker", "_failure", "_is_paused", "_is_sent", "_is_tls", "_is_tunnel", "_poll", "_reader", "_signs_in", "_transport",
        "has_heard", "idle_since", "loop", "written",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._reader = AnswerReader()
        self._asker: Asker | None = None
        self._failure: UpstreamError | None = None
        self._is_sent = False
        self._is_tunnel = False
        self._is_paused = False
        self._is_tls = False
        self._signs_in = False
        self._answer: Answer | None = None
        self._poll: select.poll | None = None
        self.has_heard = False
        """Whether a byte has come since the request was sent."""
        self.idle_since = 0.0
        self.written = 0

    # --- the one decision ---

    @property
    def is_free(self) -> bool:
        """Whether the next request may use this connection. No other code decides this.

        The request has been sent whole, also out of our own buffer. The answer has ended where its own framing says: never after
        HEAD, 204, 304, an upgrade, a body that ends with the connection, surplus bytes, or a failure. The connection does not
        belong to one user (NTLM, Negotiate), and no byte has come that we did not ask for. While we do not read, TLS may hold bytes
        that have left the socket already, so that :attr:`is_quiet` cannot see them.
        """
        answer = self._answer
        return (
            answer is not None
            and self._is_sent
            and self._reader.is_whole
            and answer.ends in _FREE_ENDS
            and self._reader.keeps_alive
            and not self._signs_in
            and not answer.signs_in_connection
            and self._failure is None
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
            and not (self._is_paused and self._is_tls)
        )

    @property
    def failure(self) -> UpstreamError | None:
        """Why this connection is over, or None. It may end, or break the rules, before it is asked anything."""
        return self._failure

    @property
    def is_quiet(self) -> bool:
        """Whether a connection that was free is free still: no byte has come that we did not ask for, nor the end of it."""
        if self._transport.is_closing():
            return False
        if self._poll is None:
            peer = self._transport.get_extra_info("socket")
            if peer is None:
                return False
            self._poll = select.poll()
            self._poll.register(peer.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        return not self._poll.poll(0)

    # --- asking ---

    def ask(
        self, asker: Asker, method: bytes, head: bytes, *, upgrades: bytes = b"", signs_in: bool = False, is_whole: bool = False
    ) -> None:
        """Sends the head of a request.

        ``upgrades``: the protocol that the answer may switch to. ``signs_in``: whether the request signs in this connection.
        ``is_whole``: whether no body follows, so that :meth:`sent` is not called.
        """
        self._asker = asker
        self._answer = None
        self._is_sent = is_whole
        self.has_heard = False
        self._signs_in = self._signs_in or signs_in
        self._reader.begin(method, upgrades)
        transport = self._transport
        if not transport.is_closing():
            self.written += len(head)
            transport.write(head)

    def write(self, data: bytes) -> None:
        """Sends a part of the request's body, or bytes of a tunnel."""
        if not self._transport.is_closing():
            self.written += len(data)
            self._transport.write(data)

    def sent(self) -> None:
        """The request has been sent whole."""
        self._is_sent = True

    @property
    def unsent(self) -> int:
        """How many bytes of the request wait for the upstream to take them."""
        return self._transport.get_write_buffer_size()

    def pause(self) -> None:
        """Reads no more for now, since the client takes the answer slowly."""
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads again."""
        if self._is_paused:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def release(self) -> None:
        """Ends the exchange. Whatever comes now, we have not asked for."""
        self._asker = None
        if self._is_paused:
            self.resume()

    def abort(self) -> None:
        """Ends the connection. The asker gets nothing more."""
        self._asker = None
        if self._failure is None:
            self._failure = UpstreamError("the connection was cut")
        self._transport.abort()

    def close(self) -> None:
        """Ends the connection, once all that was written has been sent, or after a minute."""
        self._asker = None
        self._transport.close()
        if self.unsent:
            self.loop.call_later(GRACE, self._transport.abort)

    def hand_over(self, asker: Asker) -> None:
        """Lets another asker continue, for a tunnel."""
        self._asker = asker

    # --- what the transport says ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._is_tls = transport.get_extra_info("sslcontext") is not None

    def data_received(self, data: bytes) -> None:
        asker = self._asker
        if asker is None:
            self._failure = Invalid("the upstream has sent bytes that we did not ask for")
            self._transport.abort()
            return
        self.has_heard = True
        if self._is_tunnel:
            asker.answered(None, data, False)
            return
        reader = self._reader
        if reader.is_whole:  # the asker keeps the answer that it has
            self._failure = Invalid("the upstream has sent more than one answer")
            return
        could_continue = reader.may_continue
        failure: UpstreamError | None = None
        try:
            reader.read(data)
        except UpstreamError as error:
            failure = self._failure = error
        head = reader.head
        if head is not None:
            self._answer = head
            self._is_tunnel = head.ends is _ENDS_BY_UPGRADE
        elif reader.may_continue and not could_continue and self._answer is None:
            asker.may_continue()
        is_whole = reader.is_whole and not self._is_tunnel
        if self._answer is not None:
            asker.answered(head, reader.body, is_whole)
        if failure is not None and not is_whole and self._asker is not None:
            self._transport.abort()
            self._asker.failed(failure)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ConnectionError):
            self._read_rest()
        asker, self._asker = self._asker, None
        reader = self._reader
        was_whole = reader.is_whole
        is_whole = exc is None and self._failure is None and reader.end_of_connection()
        if self._failure is None:
            self._failure = UpstreamError("the connection ended before the answer did")
        if asker is None:
            return
        if is_whole and not was_whole and not self._is_tunnel:
            asker.answered(None, b"", True)
        else:
            asker.failed(self._failure)

    def _read_rest(self) -> None:
        """Reads what came before a reset.

        An upstream that answers an upload without reading it closes its socket. Then our next write fails, and the event loop
        ends the connection although the answer is there.
        """
        peer = self._transport.get_extra_info("socket")
        if peer is None or peer.fileno() < 0 or self._is_tls or self._is_tunnel:
            return
        with socket.socket(fileno=os.dup(peer.fileno())) as same, suppress(OSError):
            same.setblocking(False)
            for _ in range(MAX_REST):
                if self._asker is None or not (data := same.recv(READ)):
                    return
                self.data_received(data)

    def pause_writing(self) -> None:
        if self._asker is not None:
            self._asker.upstream_is_full()

    def resume_writing(self) -> None:
        if self._asker is not None:
            self._asker.upstream_has_room()
