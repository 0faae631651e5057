"""The body of a request on its way to the upstream, as a small state machine beside the exchange.

::

    WAITING ──> SENDING ──> SENT

It may still be under way when the answer has begun.
"""

from __future__ import annotations

import enum
from typing import Final

from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.client.limits import Pace
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.upstream.connection import UpstreamConnection

CONTINUE: Final = 1.0
"""Seconds that an upstream has to say 100 Continue before we send the body all the same (RFC 9110, 10.1.1)."""
HIGH_WATER: Final = 65_536
"""Bytes that wait for the upstream, at which we stop reading."""


class State(enum.Enum):
    """Where the body is."""

    WAITING = enum.auto()  # the client waits for 100 Continue, and we for the upstream's
    SENDING = enum.auto()
    SENT = enum.auto()


_WAITING, _SENDING, _SENT = State


class Upload:
    """The body of one request. ``is_sent``: whether all of it is on its way to the upstream."""

    __slots__ = ("_client", "_early", "_early_size", "_is_chunked", "_pace", "_state", "_upstream", "_waits_since")

    def __init__(self, client: Channel, request: Request) -> None:
        self._client = client
        self._is_chunked = request.is_chunked
        self._state = _WAITING if request.expects else _SENDING
        self._upstream: UpstreamConnection | None = None
        self._early: list[bytes] = []
        """Parts that came before they could be sent."""
        self._early_size = 0
        self._pace: Pace | None = None
        self._waits_since = 0.0

    @property
    def is_sent(self) -> bool:
        return self._state is _SENT

    def begin(self, upstream: UpstreamConnection) -> None:
        """Sends what has come so far. The head of the request has been sent."""
        self._upstream = upstream
        if self._state is _SENDING:
            self._send_early()

    def may_continue(self) -> None:
        """Asks the client for the body, since the upstream wants it."""
        if self._state is _WAITING:
            self._state = _SENDING
            self._client.may_continue()
            self._send_early()

    def body(self, data: bytes) -> None:
        """Sends a part of the body, or keeps it until the upstream is there."""
        if self._upstream is not None and self._state is _SENDING:
            self._send(data)
            return
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size > HIGH_WATER:
            self._client.hold()

    def whole(self) -> None:
        """Ends the body, if it can be sent already."""
        if self._upstream is not None and self._state is _SENDING:
            self._state = _SENT
            if self._is_chunked:
                self._upstream.write(b"0\r\n\r\n")
            self._upstream.sent()

    def _send_early(self) -> None:
        early, self._early = self._early, []
        for data in early:
            self._send(data)
        self._client.release()
        if not self._client.sends:
            self.whole()

    def _send(self, data: bytes) -> None:
        if self._upstream is not None:
            self._upstream.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def is_stuck(self, now: float) -> bool:
        """Returns whether the upstream has stopped taking the body. ``now``: by the clock of the loop."""
        upstream = self._upstream
        if upstream is None:
            return False
        if self._state is _WAITING:
            self._waits_since = self._waits_since or now
            if now - self._waits_since >= CONTINUE:
                self.may_continue()
        if not upstream.unsent:
            self._pace = None
            return False
        if self._pace is None:
            self._pace = Pace(self._client.limits)
        return self._pace.is_too_slow(now, upstream.written - upstream.unsent)
