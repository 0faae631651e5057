"""The counters of a sidecar, in memory that all its workers share."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any, Final

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0)
"""Seconds."""
RESULTS: Final = ("passed", "ended", "refused", "failed", "cut")
FAILURES: Final = ("connect", "timeout", "reset", "invalid", "client")

_NAMES: Final = (
    *(f"requests:{result}" for result in RESULTS),
    *(f"le:{bucket:g}" for bucket in BUCKETS),
    "le:+Inf",
    "seconds",
    "in_flight",
    "tunnels",
    *(f"upstream:{kind}" for kind in FAILURES),
)
_PLACE: Final = {name: place for place, name in enumerate(_NAMES)}


class Counts:
    """The counters of one worker, in memory that all workers share: each has a row of its own, and any can sum them."""

    def __init__(self, path: Path | None = None, *, rows: int = 1, row: int = 0) -> None:
        """``path``: a file of :func:`shared`; None for a worker that is alone."""
        size = rows * len(_NAMES) * 8
        if path is None:
            self._memory: Any = mmap.mmap(-1, size)
        else:
            with path.open("r+b") as opened:
                self._memory = mmap.mmap(opened.fileno(), size)
        self._all = memoryview(self._memory).cast("d")
        begin = row * len(_NAMES)
        self._own = self._all[begin : begin + len(_NAMES)]
        self._own[_PLACE["in_flight"]] = self._own[_PLACE["tunnels"]] = 0.0  # of a worker that died here before

    def add(self, name: str, amount: float = 1.0) -> None:
        self._own[_PLACE[name]] += amount

    def upstream_failed(self, kind: str) -> None:
        """The application behind us has failed in this way."""
        self.add(f"upstream:{kind}")

    def done(self, result: str, took: float) -> None:
        """A request has been answered, in so many seconds."""
        own = self._own
        own[_PLACE[f"requests:{result}"]] += 1
        own[_SECONDS] += took
        for place, bucket in enumerate(BUCKETS):
            if took <= bucket:
                own[_FIRST_BUCKET + place] += 1
                return
        own[_FIRST_BUCKET + len(BUCKETS)] += 1

    def sums(self) -> dict[str, float]:
        """Of all workers, by name."""
        width = len(_NAMES)
        return {name: sum(self._all[place::width]) for name, place in _PLACE.items()}


_SECONDS: Final = _PLACE["seconds"]
_FIRST_BUCKET: Final = _PLACE[f"le:{BUCKETS[0]:g}"]


def shared(path: Path, rows: int) -> None:
    """Make the file that the counters of so many workers are in."""
    path.write_bytes(bytes(rows * len(_NAMES) * struct.calcsize("d")))
