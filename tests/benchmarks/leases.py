"""Requests that are all answered within a lease."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic, sleep
from typing import Final

from tests.benchmarks.measure import Timed

LEASE: Final = 1.0
"""Seconds, for the setting of both middlewares."""


def within(serve: Timed, browsers: Sequence[object]) -> Timed:
    """Requests that are all answered within a lease: before it could end, each browser asks again, and that is not timed."""
    began = ended = float("-inf")

    def timed(number: int) -> float:
        nonlocal began, ended
        if monotonic() - began > LEASE / 2:
            sleep(max(0.0, ended + LEASE - monotonic()))  # an answer that is still trusted is not asked for anew
            began = monotonic()
            serve(len(browsers))
            ended = monotonic()
        return serve(number)

    return timed
