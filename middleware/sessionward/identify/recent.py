"""A cache of recent answers: a browser sends the same cookie with each request of a page, and we read it once."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from sessionward.credential.recent import Recent, digest
from sessionward.session.identifier import Identity


class RecentAnswers:
    """Caches the answers of a function that depends only on its arguments and the time. It keeps digests, not cookies."""

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: Recent[Identity | None] = Recent()

    def __call__(self, read: Callable[[str, str], Identity | None], name: str, value: str) -> Identity | None:
        """Returns what ``read(name, value)`` returns. It does not cache an exception."""
        answers = self._recent.values(time())
        own = digest(f"{name}={value}".encode("latin-1", "backslashreplace"))
        if own in answers:
            return answers[own]
        answers[own] = answer = read(name, value)
        return answer
