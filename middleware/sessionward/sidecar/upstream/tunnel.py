"""A WebSocket on its way through: after the handshake we carry its bytes in both directions, and do not read them.

So its compression, its pings, its fragments and its codes are those of its two ends.
"""

from __future__ import annotations

from sessionward.request.request import Fields
from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.errors import UpstreamError
from sessionward.sidecar.upstream.answer import Answer
from sessionward.sidecar.upstream.connection import UpstreamConnection


class Tunnel:
    """The two ends. Each is read only as fast as the other one takes its bytes. It continues what an exchange has begun."""

    __slots__ = ("_client", "_upstream")

    def __init__(self, client: Channel, upstream: UpstreamConnection) -> None:
        self._client = client
        self._upstream = upstream

    def join(self, fields: Fields, reason: bytes, early: bytes, *, has_date: bool) -> None:
        """Answers the handshake, and carries bytes until one end closes. ``early``: what the upstream has sent behind its answer."""
        self._upstream.hand_over(self)
        self._upstream.resume()
        self._client.become(self, fields, reason, has_date=has_date)
        if early:
            self._client.pass_on(early)

    # --- from the client ---

    def body(self, data: bytes, /) -> None:
        """Passes bytes to the upstream."""
        self._upstream.write(data)

    def whole(self) -> None:
        """Does nothing: the handshake has no body."""

    def gone(self) -> None:
        """Closes the other end, once it has got what was sent before."""
        self._upstream.close()

    def client_is_full(self) -> None:
        """Reads no more from the upstream."""
        self._upstream.pause()

    def client_has_room(self) -> None:
        """Reads from the upstream again."""
        self._upstream.resume()

    def check(self, now: float, /) -> None:
        """Does nothing: the client's connection checks for how long a tunnel has been silent."""

    # --- from the upstream ---

    def may_continue(self) -> None:
        """Does nothing: the answer has come."""

    def answered(self, answer: Answer, /) -> None:
        """Does nothing: the answer has come."""

    def answer_body(self, data: bytes, /) -> None:
        """Passes bytes to the client."""
        self._client.pass_on(data)

    def answer_whole(self) -> None:
        """Does nothing: only the end of the connection ends a tunnel."""

    def settled(self) -> None:
        """Does nothing: bytes are passed on at once."""

    def failed(self, failure: UpstreamError, /) -> None:  # noqa: ARG002 - whichever way it ended
        """Closes the other end, once it has got what was sent before."""
        self._client.close_tunnel()

    def upstream_is_full(self) -> None:
        """Reads no more from the client."""
        self._client.hold()

    def upstream_has_room(self) -> None:
        """Reads from the client again."""
        self._client.release()
