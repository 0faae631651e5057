"""A short memory of answers: a browser sends the same cookie with each request of a page, and it is read once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from time import time
from typing import Final

from sessionward.session.identifier import Identity

MOMENT: Final = 10.0
"""Seconds. An answer may outlive its credential by this time; the application checks the age by itself."""
SIZE: Final = 4096
"""How many answers are kept, some 300 bytes each."""


class Recent:
    """The recent answers of a function that depends on its arguments and the time only. It keeps digests, not cookies."""

    __slots__ = ("_answers", "_began")

    def __init__(self) -> None:
        self._answers: dict[bytes, Identity | None] = {}
        self._began = 0.0

    def __call__(self, read: Callable[[str, str], Identity | None], name: str, value: str) -> Identity | None:
        """Returns what ``read(name, value)`` returns. An exception that it raises is not kept."""
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
