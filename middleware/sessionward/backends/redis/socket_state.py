"""Whether a socket that waits has something to read, and how to end a wait on it from another thread."""

from __future__ import annotations

import _socket
import os
import select
import sys
from contextlib import closing, suppress
from typing import Any


def _unpatched_poll() -> Any:
    """Returns ``select.poll`` as it was before gevent patched it, if it did: ours never waits."""
    gevent = sys.modules.get("gevent.monkey")
    return select.poll() if gevent is None else gevent.get_original("select", "poll")()


class Readable:
    """Tells whether a socket has something to read, or has been closed by the other side. It costs a microsecond and reads nothing."""

    __slots__ = ("_poll",)

    def __init__(self, descriptor: int) -> None:
        poll = _unpatched_poll()
        poll.register(descriptor, select.POLLIN | select.POLLPRI)
        self._poll = poll.poll

    def __call__(self) -> bool:
        return bool(self._poll(0))


def shut_down(descriptor: int) -> None:
    """Shuts down both directions of a socket on which another thread waits. The wait ends at once."""
    with (
        suppress(OSError),
        closing(_socket.socket(fileno=os.dup(descriptor))) as duplicate,
    ):  # never gevent's, which would need an event loop
        duplicate.shutdown(_socket.SHUT_RDWR)
