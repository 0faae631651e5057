"""One connection to the upstream: it serves one request at a time, and is free for the next one only when nothing can follow."""

from __future__ import annotations

import asyncio
import select
from typing import Final, Protocol, cast

from sessionward.sidecar.client.limits import GRACE
from sessionward.sidecar.errors import Invalid, UpstreamError
from sessionward.sidecar.upstream.answer import Answer, AnswerReader, Ends

_FREE_ENDS: Final = (Ends.LENGTH, Ends.CHUNKS)
"""The two ways to end that leave no doubt about what comes next."""


class Asker(Protocol):
    """What has asked, and gets the answer. Before the head of the final answer it may get any number of ``may_continue``."""

    def may_continue(self) -> None:
        """The upstream wants the body of the request."""
        ...

    def answered(self, answer: Answer, /) -> None:
        """The head of the final answer has come."""
        ...

    def answer_body(self, data: bytes, /) -> None:
        """A part of its body has come, or bytes of a tunnel."""
        ...

    def answer_whole(self) -> None:
        """The answer has ended."""
        ...

    def settled(self) -> None:
        """Ends the reports of one read."""
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

    def ask(self, asker: Asker, method: bytes, head: bytes, *, upgrades: bytes = b"", signs_in: bool = False) -> None:
        """Sends the head of a request.

        ``upgrades``: the protocol that the answer may switch to. ``signs_in``: whether the request signs in this connection.
        """
        self._asker = asker
        self._answer = None
        self._is_sent = self.has_heard = False
        self._signs_in = self._signs_in or signs_in
        self._reader.begin(method, upgrades)
        self.write(head)

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
            asker.answer_body(data)
            return
        reader = self._reader
        was_whole, could_continue = reader.is_whole, reader.may_continue
        failure: UpstreamError | None = None
        try:
            if was_whole:
                raise Invalid("the upstream has sent more than one answer")
            reader.read(data)
        except UpstreamError as error:
            failure = self._failure = error
        self._report(asker, was_whole, could_continue, failure)

    def _report(self, asker: Asker, was_whole: bool, could_continue: bool, failure: UpstreamError | None) -> None:
        """Reports what has been read, in its order."""
        reader = self._reader
        if reader.may_continue and not could_continue and reader.head is None and self._answer is None:
            asker.may_continue()
        if reader.head is not None and not was_whole:
            self._answer = reader.head
            reader.head = None
            self._is_tunnel = self._answer.ends is Ends.UPGRADE
            asker.answered(self._answer)
        current = self._asker  # a tunnel continues what an exchange has begun
        if current is None:
            return
        if reader.body and not was_whole:
            current.answer_body(reader.body)
        if self._asker is not current:
            return
        if reader.is_whole and not self._is_tunnel:
            if not was_whole:
                current.answer_whole()
        elif failure is not None:
            self._transport.abort()
            current.failed(failure)
        else:
            current.settled()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        asker, self._asker = self._asker, None
        reader = self._reader
        was_whole = reader.is_whole
        is_whole = exc is None and self._failure is None and reader.end_of_connection()
        if self._failure is None:
            self._failure = UpstreamError("the connection ended before the answer did")
        if asker is None:
            return
        if is_whole and not was_whole and not self._is_tunnel:
            asker.answer_whole()
        else:
            asker.failed(self._failure)

    def pause_writing(self) -> None:
        if self._asker is not None:
            self._asker.upstream_is_full()

    def resume_writing(self) -> None:
        if self._asker is not None:
            self._asker.upstream_has_room()
