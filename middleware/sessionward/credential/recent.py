"""What was read from a secret a moment ago, so that a browser's next request need not be read again."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOMENT: Final = 2.5
"""Seconds. So long what was read may be used again, also if its secret expires meanwhile.

What an identifier has kept may be kept once more with the whole Cookie field, so it is five seconds in all.
"""
SIZE: Final = 4096
"""How many values we keep, about 500 bytes each."""


class Recent(Generic[T]):
    """Keeps values that depend only on a secret and the time. It keeps digests of the secrets, and drops all values at once."""

    __slots__ = ("_began", "_values")

    def __init__(self) -> None:
        self._values: dict[bytes, T] = {}
        self._began = 0.0

    def values(self, now: float) -> dict[bytes, T]:
        """Returns the values of this moment by the :func:`digest` of their secrets. The caller may add to them.

        ``now``: seconds on one clock.
        """
        if not 0 <= now - self._began < MOMENT or len(self._values) >= SIZE:
            self._values = {}
            self._began = now
        return self._values


def digest(secret: bytes) -> bytes:
    """Returns the SHA-256 of a secret, 32 bytes."""
    return sha256(secret).digest()
