"""The keys of a backend, on all of its servers, in batches."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sessionward.backends.redis.topology import Topology
from sessionward.backends.redis.wire import Lost, Node, Result, Send, packed
from sessionward.errors import BackendUnavailable

BATCH: Final = 1_000
"""How many keys a server looks at for one batch."""


class Scan:
    """How far the keys have been read."""

    def __init__(self, topology: Topology, pattern: bytes) -> None:
        self._topology = topology
        self._pattern = pattern
        self._left: list[Node] | None = None
        self._cursor = b"0"

    def batch(self) -> Generator[Send, Result, list[bytes] | None]:
        """Asks for the next batch, which may be empty. Returns None if there is none."""
        if self._left is None:
            why = ""
            if not self._topology.primaries():
                why = yield from self._topology.look_up()
            self._left = list(self._topology.primaries())
            if not self._left:
                raise BackendUnavailable(why)
        if not self._left:
            return None
        node = self._left[-1]
        replies = yield Send(node, packed(b"SCAN", self._cursor, b"MATCH", self._pattern, b"COUNT", BATCH))
        if isinstance(replies, Lost):
            self._topology.doubt()
            raise BackendUnavailable(replies.why)
        if isinstance(replies[0], Exception):
            raise BackendUnavailable(f"Redis at {node} refused to scan its keys ({type(replies[0]).__name__})")
        cursor, keys = _read(replies[0])
        self._cursor = cursor
        if cursor == b"0":
            self._left.pop()
        return keys


def _read(reply: Any) -> tuple[bytes, list[bytes]]:
    cursor, keys = reply
    return cursor, keys
