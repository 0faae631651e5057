"""What the connection of a client is doing, what serves its requests, and how long each phase may last."""

from __future__ import annotations

import enum
from typing import Final, Protocol

from sessionward.sidecar.client.limits import Limits, Pace


class Phase(enum.IntEnum):
    """What a connection is doing."""

    IDLE = enum.auto()  # waits for a request
    HEAD = enum.auto()  # a part of a head has come
    BUSY = enum.auto()  # a handler serves a request; what the client sends behind it waits
    TUNNEL = enum.auto()  # the request has become a WebSocket: bytes in both directions
    LINGERING = enum.auto()  # the response is out; what the client still sends is dropped, so that it can read the response
    CLOSING = enum.auto()  # the rest of the response is on its way, then the connection is closed


class Overdue(enum.Enum):
    """What has lasted too long. The value: the name of the bound for the counters, empty for the normal end of a connection."""

    IDLE = ""
    HEAD = "head_time"
    BODY = "body_rate"
    TUNNEL = "tunnel_idle"
    LINGER = "linger"


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


class Watch:
    """Measures how long a connection has been in its phase. It reads no clock: the listener calls :meth:`overdue` every tick."""

    __slots__ = ("_mark", "_since", "body", "received")

    def __init__(self) -> None:
        self._mark: tuple[Phase, int] | None = None
        self._since = 0.0
        self.body: Pace | None = None
        """Measures the body of a request, as long as its response has not begun."""
        self.received = 0
        """Bytes of the body, or bytes that have passed through a tunnel."""

    def overdue(self, now: float, phase: Phase, served: int, limits: Limits, *, is_held: bool) -> Overdue | None:
        """Returns what has lasted too long. ``served``: how many requests there were. ``is_held``: we do not read at the moment."""
        mark = (phase, self.received if phase is _TUNNEL else served)
        if mark != self._mark:
            self._mark, self._since = mark, now
        elapsed = now - self._since
        if phase is _IDLE:
            return Overdue.IDLE if elapsed > limits.idle_timeout else None
        if phase is _HEAD:
            return Overdue.HEAD if elapsed > limits.head_timeout else None
        if phase is _TUNNEL:
            return Overdue.TUNNEL if elapsed > limits.tunnel_idle_timeout else None
        if phase is _LINGERING:
            return Overdue.LINGER if elapsed > limits.linger else None
        return Overdue.BODY if phase is _BUSY and self._is_body_slow(now, is_held=is_held) else None

    def _is_body_slow(self, now: float, *, is_held: bool) -> bool:
        if self.body is None:
            return False
        if is_held:
            self.body.rest()
            return False
        return self.body.is_too_slow(now, self.received)

    def is_silent(self, now: float) -> bool:
        """Returns whether a tunnel has been silent for :data:`SILENT` seconds."""
        return self._mark is not None and self._mark[1] == self.received and now - self._since >= SILENT


SILENT: Final = 2.0
"""Seconds without a byte, after which a tunnel does not hold up the end of the process."""

_IDLE, _HEAD, _BUSY, _TUNNEL, _LINGERING, _CLOSING = Phase
