"""How much of us one client can take: connections, bytes, and time."""

from __future__ import annotations

import array
import fcntl
import socket
import termios
from dataclasses import dataclass
from typing import Any, Final

MIN_RATE: Final = 128.0
"""Bytes a second, of a request's body or of a response that the client reads, once the grace has passed."""
GRACE: Final = 60.0
"""Seconds without progress that we wait for a slow side (nginx: 60)."""
LINGER: Final = 2.0
"""Seconds that a client may go on sending what we do not read, so that it can read its response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one worker. Times are in seconds.

    - ``max_connections``: open connections of clients. ``max_connections_per_address``: the same from one address; the addresses
      of trusted proxies are not counted.
    - ``idle_timeout``: how long a connection may be without a request. ``head_timeout``: how long a head may take.
    - ``grace``, ``min_rate``: how long a body may take, see :class:`Pace`.
    - ``tunnel_idle_timeout``: how long a WebSocket may be without a byte. ``linger``: see :data:`LINGER`.
    - ``response_timeout``: from the end of a request to the head of its answer.
    """

    max_connections: int = 10_000
    max_connections_per_address: int = 1_000
    idle_timeout: float = 75.0
    head_timeout: float = 10.0
    tunnel_idle_timeout: float = 3_600.0
    grace: float = GRACE
    min_rate: float = MIN_RATE
    linger: float = LINGER
    response_timeout: float = 60.0

    @property
    def tick(self) -> float:
        """How often the listener checks the times, in seconds."""
        shortest = min(self.idle_timeout, self.head_timeout, self.tunnel_idle_timeout, self.grace, self.linger, self.response_timeout)
        return max(0.01, min(0.5, shortest / 4))


class Pace:
    """Measures whether bytes move fast enough.

    A side has ``grace`` seconds. Each byte that has moved gives it 1/``min_rate`` seconds more, up to ``grace`` from now. So one
    byte a minute does not hold a connection, and a slow but steady client is never cut.
    """

    __slots__ = ("_grace", "_min_rate", "_moved", "_until")

    def __init__(self, limits: Limits) -> None:
        self._grace = limits.grace
        self._min_rate = limits.min_rate
        self._until = 0.0
        self._moved = 0

    def is_too_slow(self, now: float, moved: int) -> bool:
        """Returns whether the time is over. ``moved``: all bytes so far, in the time of this pace."""
        if not self._until:
            self._until = now + self._grace
        else:
            self._until = min(now + self._grace, self._until + (moved - self._moved) / self._min_rate)
        self._moved = moved
        return now > self._until

    def rest(self) -> None:
        """Stops the time, since it does not depend on this side now."""
        self._until = 0.0


def unacknowledged(peer: Any) -> int:
    """Returns how many bytes the kernel has not delivered yet. Where the system does not tell: 0."""
    found = array.array("i", [0])
    try:
        fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, found)
    except (AttributeError, OSError, ValueError):
        return 0
    return found[0]


def keep_alive(peer: Any) -> None:
    """Turns on TCP keep-alive, so that the kernel finds out that a silent peer has vanished."""
    if peer is None or peer.family == socket.AF_UNIX:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
