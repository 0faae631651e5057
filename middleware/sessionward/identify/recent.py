"""What was read a moment ago need not be read again: a browser sends the same cookie with each request of a page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from time import time
from typing import Final

from sessionward.session.identifier import Identity

MOMENT: Final = 10.0
"""Seconds. So much longer than it is good for an answer may be given; the application judges the age by itself."""
SIZE: Final = 4096
"""Answers that are kept, some 300 bytes each."""


class Recent:
    """The answers of a function that depends on nothing but its arguments and the hour. Keeps digests, no cookies."""

    __slots__ = ("_answers", "_began")

    def __init__(self) -> None:
        self._answers: dict[bytes, Identity | None] = {}
        self._began = 0.0

    def __call__(self, read: Callable[[str, str], Identity | None], name: str, value: str) -> Identity | None:
        """What ``read(name, value)`` answers. What it raises is not kept."""
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
