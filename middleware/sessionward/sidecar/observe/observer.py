"""Counts, times and logs each request and each limit that a client meets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from sessionward.sidecar.observe.access_log import AccessLog, Logged
from sessionward.sidecar.observe.counts import Counts

QUIET: Final = 60.0
"""Seconds for which a limit that was logged is only counted."""

MESSAGES: Final[Mapping[str, str]] = {
    "connections": "a connection was refused: as many are open as --max-connections allows",
    "connections_per_address": "a connection was refused: its address has as many open as --max-connections-per-address allows",
    "descriptors": "too many open files, so connections are refused: raise the limit (ulimit -n, LimitNOFILE=) or lower --max-connections",
    "head_time": "a connection was closed: the head of its request did not arrive within --head-timeout",
    "head_size": "a request was refused: its target or its header fields are too large",
    "body_rate": "a request was cut: its body arrived too slowly",
    "unread_answer": "a connection was cut: its client did not read the answer",
    "trailers": "a request was cut: its trailer section is too large",
    "tunnel_idle": "a tunnel was closed: nothing passed through it within --tunnel-idle-timeout",
    "proxy_protocol": "a connection was closed: --proxy-protocol names its peer, and no valid PROXY header arrived",
}
"""What the log says about each limit, and which option changes it."""

log = logging.getLogger("sessionward")


class Observer:
    """What a worker shows of itself. It is called for every request, so it does little."""

    def __init__(self, counts: Counts, access: AccessLog | None = None, clock: Callable[[], float] = monotonic) -> None:
        """``clock``: the one that the ``began`` of a request was read from."""
        self._counts = counts
        self._access = access
        self._clock = clock
        self.begins = counts.begins
        """Counts a request that begins. :meth:`done` must follow."""
        self._told: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def done(self, request: Logged, status: int, size: int, result: str, *, tunnel: bool = False) -> None:
        """Counts and logs a request that is over. ``status``: 0 if no head was sent. ``size``: bytes of the body.

        ``result``: ``passed`` (the answer is the upstream's), ``ended`` (sessions were revoked), ``refused``, ``failed``, ``cut``.
        """
        took = self._clock() - request.began
        self._counts.done(result, None if tunnel else took, status)
        if self._access is not None:
            self._access.write(request, status, size, took, result)

    def refused(self, peer: str | None, status: int, problem_id: str, request: Logged | None, request_id: str) -> None:
        """Counts and logs what was refused before it became a request. ``request``: None if its head could not be read."""
        self._counts.begins()
        self._counts.done("refused", None, status)
        if self._access is not None:
            self._access.refused(peer, status, problem_id, request, request_id)

    def tunnel(self, more: float) -> None:
        """Counts a tunnel that opens (1) or closes (-1)."""
        self._counts.add("tunnels", more)

    def upstream_failed(self, kind: str) -> None:
        """Counts a failure of the upstream."""
        self._counts.upstream_failed(kind)

    def login_refused(self) -> None:
        """Counts a Session-Login that was not believed."""
        self._counts.add("logins_refused")

    def bound(self, name: str) -> None:
        """Counts what a limit has refused or cut, and logs it at most once a minute."""
        self._counts.add(f"bound:{name}")
        self._untold[name] = self._untold.get(name, 0) + 1
        now = self._clock()
        if now - self._told.get(name, -QUIET) < QUIET:
            return
        self._told[name] = now
        log.warning("%s (%d since this was logged last)", MESSAGES[name], self._untold.pop(name))

    def reopen(self) -> None:
        """Opens the access log again, after its file was moved."""
        if self._access is not None:
            self._access.reopen()

    def close(self) -> None:
        """Writes what is waiting for the access log, for at most one second."""
        if self._access is not None:
            self._access.close()
