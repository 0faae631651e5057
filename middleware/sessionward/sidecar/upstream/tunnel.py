"""A WebSocket on its way through: after the handshake we carry its bytes in both directions, and do not read them.

So its compression, its pings, its fragments and its codes are those of its two ends. Only a tunnel whose session ends is closed by
us: with a close frame where the last frame to the client has gone out whole, else by the end of the connection.
"""

from __future__ import annotations

from typing import Protocol

from sessionward.request.request import Fields
from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.errors import UpstreamError
from sessionward.sidecar.upstream.answer import Answer
from sessionward.sidecar.upstream.connection import UpstreamConnection
from sessionward.sidecar.upstream.frames import Frames, close_frame
from sessionward.streams.asgi import POLICY_VIOLATION


class Watched(Protocol):
    """What wants to know the end of a tunnel."""

    def over(self) -> None:
        """The tunnel has ended."""
        ...


class Tunnel:
    """The two ends. Each is read only as fast as the other one takes its bytes. It continues what an exchange has begun."""

    __slots__ = ("_client", "_frames", "_stream", "_upstream")

    def __init__(self, client: Channel, upstream: UpstreamConnection) -> None:
        self._client = client
        self._upstream = upstream
        self._stream: Watched | None = None
        self._frames: Frames | None = None

    def watch(self, stream: Watched | None) -> None:
        """Follows the frames of a tunnel that may be cut. ``stream``: gets the end of the tunnel; None: it is never cut."""
        if stream is not None:
            self._stream, self._frames = stream, Frames()

    def join(self, fields: Fields, reason: bytes, early: bytes, *, has_date: bool) -> None:
        """Answers the handshake, and carries bytes until one end closes. ``early``: what the upstream has sent behind its answer."""
        self._upstream.hand_over(self)
        self._upstream.resume()
        self._client.become(self, fields, reason, has_date=has_date)
        if early:
            self.answered(None, early, False)

    def cut(self) -> None:
        """Closes both ends, since the session is not live any more."""
        self._over()
        self._upstream.close()
        if self._frames is not None and self._frames.may_close:
            self._client.cut_tunnel(close_frame(POLICY_VIOLATION))
        else:
            self._client.close_tunnel("cut")

    def _over(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.over()

    # --- from the client ---

    def body(self, data: bytes, /) -> None:
        """Passes bytes to the upstream."""
        self._upstream.write(data)

    def whole(self) -> None:
        """Does nothing: the handshake has no body."""

    def gone(self) -> None:
        """Closes the other end, once it has got what was sent before."""
        self._over()
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

    def answered(self, answer: Answer | None, body: bytes, is_whole: bool, /) -> None:  # noqa: ARG002 - a tunnel has no answers
        """Passes bytes to the client. Only the end of the connection ends a tunnel."""
        if self._frames is not None:
            self._frames.follow(body)
        self._client.pass_on(body)

    def failed(self, failure: UpstreamError, /) -> None:  # noqa: ARG002 - whichever way it ended
        """Closes the other end, once it has got what was sent before."""
        self._over()
        self._client.close_tunnel()

    def upstream_is_full(self) -> None:
        """Reads no more from the client."""
        self._client.hold()

    def upstream_has_room(self) -> None:
        """Reads from the client again."""
        self._client.release()
