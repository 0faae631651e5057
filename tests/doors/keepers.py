"""Backends with a hand inside: what they are asked is counted, and what they answer can be made to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from sessionward import Session
from sessionward.backends import Credential, RevokedCount
from sessionward.backends.memory import MemoryBackend


class Memory(MemoryBackend):
    """``asked``: every look at a session. ``on_find``, ``on_end_others``: called first, and may raise. ``now``: moves the clock."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        super().__init__(clock=lambda: self.now + monotonic())
        self.asked: list[str] = []
        self.on_find: Callable[[], Any] = _nothing
        self.on_end_others: Callable[[], Any] = _nothing

    def find(self, credential: Credential, /) -> Session | None:
        self.asked.append("find")
        self.on_find()
        return super().find(credential)

    def revoke_others(self, session: Session, /) -> RevokedCount:
        self.asked.append("revoke_others")
        self.on_end_others()
        return super().revoke_others(session)

    def fail(self, failure: Exception) -> None:
        """From now on every look fails."""

        def raising() -> None:
            raise failure

        self.on_find = raising


@dataclass(frozen=True)
class Keeper:
    """``backend`` has the colour of the door; ``aside`` is how another party reaches the same sessions, in plain colour."""

    backend: Any
    aside: Any


class Foreign:
    """Over sessions that are started elsewhere: it can find and end them, and nothing more."""

    blocking = False

    def __init__(self, inner: Memory) -> None:
        self.inner = inner

    def find(self, credential: Credential, /) -> Session | None:
        return self.inner.find(credential)

    def revoke_others(self, session: Session, /) -> int:
        return self.inner.revoke_others(session)


def _nothing() -> None:
    return None
