"""Sessions in memory, whose clock is a value."""

from __future__ import annotations

from sessionward.backends.memory import MemoryBackend
from sessionward.testing import LoginWorld


class MemoryWorld(LoginWorld):
    """The clock is a value."""

    def __init__(self) -> None:
        self._now = 1_800_000_000.0
        super().__init__(MemoryBackend(clock=lambda: self._now))

    def pass_time(self, seconds: float) -> None:
        self._now += seconds
