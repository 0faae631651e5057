"""A cache of recent answers: a browser sends the same cookie with each request of a page, and we read it once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from time import time
from typing import Final

from sessionward.session.identifier import Identity

MOMENT: Final = 10.0
"""Seconds. An answer may be used so long after its credential has expired; the application checks the expiry as well."""
SIZE: Final = 4096
"""How many answers we keep, about 300 bytes each."""


class Recent:
    """Caches the answers of a function that depends only on its arguments and the time. It keeps digests, not cookies."""

    __slots__ = ("_answers", "_began")

    def __init__(self) -> None:
        self._answers: dict[bytes, Identity | None] = {}
        self._began = 0.0

    def __call__(self, read: Callable[[str, str], Identity | None], name: str, value: str) -> Identity | None:
        """Returns what ``read(name, value)`` returns. It does not cache an exception."""
        now = time()
        if not 0 <= now - self._began < MOMENT or len(self._answers) >= SIZE:
            self._answers = {}
            self._began = now
        digest = hashlib.sha256(f"{name}={value}".encode("latin-1", "backslashreplace")).digest()
        answers = self._answers
        if digest in answers:
            return answers[digest]
        answers[digest] = answer = read(name, value)
        return answer
