"""Where one WebSocket frame ends and the next one begins (RFC 6455, 5.2), without a look at what is in them."""

from __future__ import annotations

from typing import Final

CLOSE: Final = 8
"""The opcode."""
MAX_HEAD: Final = 14
"""Bytes of the longest frame head."""
_EXTENDED: Final = {126: 2, 127: 8}
"""Bytes of the length behind these two values."""


def close_frame(code: int) -> bytes:
    """Returns a close frame of a server with this code."""
    return bytes((0x80 | CLOSE, 2)) + code.to_bytes(2)


class Frames:
    """Follows the bytes of one direction."""

    __slots__ = ("_has_closed", "_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        """Bytes of the frame that are still to come."""
        self._has_closed = False

    @property
    def may_close(self) -> bool:
        """Whether a close frame can follow now: no frame is under way, and there was no close frame. Fragments do not matter."""
        return not (self._head or self._left or self._has_closed)

    def follow(self, data: bytes) -> None:
        """Takes bytes in the order in which they go out."""
        position = min(self._left, len(data))
        self._left -= position
        while position < len(data):
            known = len(self._head)
            head = self._head + data[position : position + MAX_HEAD - known]
            size = 2 if len(head) < 2 else 2 + _EXTENDED.get(head[1] & 127, 0) + (4 if head[1] & 128 else 0)
            if len(head) < size or len(head) < 2:
                self._head = head
                return
            length = head[1] & 127
            if length in _EXTENDED:
                length = int.from_bytes(head[2 : 2 + _EXTENDED[length]])
            self._has_closed = self._has_closed or head[0] & 15 == CLOSE
            self._head = b""
            position += size - known
            skipped = min(length, len(data) - position)
            self._left = length - skipped
            position += skipped
