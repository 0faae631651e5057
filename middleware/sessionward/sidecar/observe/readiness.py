"""Whether requests may be sent to this sidecar."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final

FRESH: Final = 1.0
"""Seconds for which the result of the checks is kept, so that frequent probes do not load what they probe."""
CHECK_TIMEOUT: Final = 2.0
"""Seconds that one check may take."""

Check = Callable[[], Awaitable[None]]
"""Returns if what it checks is ready, and raises if it is not."""


class Readiness:
    """The checks that ``--readiness`` names. While ``draining`` is set, no request may be sent here."""

    def __init__(self, checks: Mapping[str, Check], clock: Callable[[], float] = monotonic) -> None:
        """``checks``: by their names, which the answer of ``/readyz`` shows."""
        self.draining = False
        self._checks = dict(checks)
        self._clock = clock
        self._checked = -FRESH
        self._found: dict[str, bool] = {}
        self._lock = asyncio.Lock()

    async def state(self) -> dict[str, bool]:
        """Returns each check by its name, and whether it has passed."""
        if self.draining:
            return {"serving": False}
        async with self._lock:
            if self._clock() - self._checked >= FRESH:
                passed = await asyncio.gather(*map(_passes, self._checks.values()))
                self._found = dict(zip(self._checks, passed, strict=True))
                self._checked = self._clock()
        return {"serving": not self.draining, **self._found}


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except Exception:  # any failure means that it is not ready
        return False
    return True
