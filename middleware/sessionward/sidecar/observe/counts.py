"""The counters of a sidecar, in memory that all its workers share."""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_left
from pathlib import Path
from typing import Any, Final

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0)
"""Seconds."""
RESULTS: Final = ("passed", "ended", "refused", "failed", "cut")
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
FAILURES: Final = ("connect", "timeout", "reset", "invalid")
BOUNDS: Final = (
    "connections", "connections_per_address", "descriptors", "head_time", "head_size", "body_rate", "unread_answer", "trailers",
    "tunnel_idle", "proxy_protocol",
)  # fmt: skip
"""What one client can make us keep, and how much of it: each of these has a limit. The end of an idle connection is no refusal."""

_STATUSES: Final = ("", *CLASSES)
"""The classes of a status, by its first digit. The first one: no head was sent."""
_NAMES: Final = (
    *(f"{result}:{each}" for result in RESULTS for each in _STATUSES),
    *(f"le:{bucket:g}" for bucket in BUCKETS),
    "le:+Inf",
    "seconds",
    "begun",
    "tunnels",
    *(f"upstream:{kind}" for kind in FAILURES),
    *(f"bound:{bound}" for bound in BOUNDS),
    "logins_refused",
)
_PLACE: Final = {name: place for place, name in enumerate(_NAMES)}


class Counts:
    """The counters of one worker. Each worker has a row of its own in the shared memory, and each can sum all rows."""

    def __init__(self, path: Path | None = None, *, rows: int = 1, row: int = 0) -> None:
        """``path``: a file of :func:`shared`, or None for a worker that is the only one."""
        size = rows * len(_NAMES) * 8
        if path is None:
            self._memory: Any = mmap.mmap(-1, size)
        else:
            with path.open("r+b") as opened:
                self._memory = mmap.mmap(opened.fileno(), size)
        self._all = memoryview(self._memory).cast("d")
        begin = row * len(_NAMES)
        self._own = self._all[begin : begin + len(_NAMES)]
        self._own[_BEGUN] = sum(self._own[:_DONE])  # what a worker that died in this row has left is in flight no more,
        self._own[_PLACE["tunnels"]] = 0.0  # and open no more

    def add(self, name: str, amount: float = 1.0) -> None:
        """Adds ``amount`` to one counter."""
        self._own[_PLACE[name]] += amount

    def begins(self) -> None:
        """Counts one more request in flight. :meth:`done` must follow."""
        self._own[_BEGUN] += 1

    def upstream_failed(self, kind: str) -> None:
        """Counts a failure of the upstream."""
        self.add(f"upstream:{kind}")

    def done(self, result: str, took: float | None, status: int = 0) -> None:
        """Counts a request by its result, the class of its status, and its time.

        ``took``: seconds; None for a tunnel, whose time says how long its client stayed. ``status``: 0 if no head was sent.
        """
        own = self._own
        own[_RESULT[result] + min(status // 100, len(CLASSES))] += 1  # each addition to shared memory costs 0.1 us, so one for both
        if took is None:
            return
        own[_SECONDS] += took
        own[_FIRST_BUCKET + bisect_left(BUCKETS, took)] += 1

    def sums(self) -> dict[str, float]:
        """Returns the sum over all workers of each counter, by its name."""
        width = len(_NAMES)
        found = {name: sum(self._all[place::width]) for name, place in _PLACE.items()}
        done = {(result, each): found.pop(f"{result}:{each}") for result in RESULTS for each in _STATUSES}
        found |= {f"requests:{result}": sum(done[result, each] for each in _STATUSES) for result in RESULTS}
        found |= {f"responses:{each}": sum(done[result, each] for result in RESULTS) for each in CLASSES}
        found["in_flight"] = found.pop("begun") - sum(done.values())
        return found


_RESULT: Final = {result: _PLACE[f"{result}:"] for result in RESULTS}
_DONE: Final = len(RESULTS) * len(_STATUSES)
_FIRST_BUCKET: Final = _PLACE[f"le:{BUCKETS[0]:g}"]
_SECONDS: Final = _PLACE["seconds"]
_BEGUN: Final = _PLACE["begun"]


def shared(path: Path, rows: int) -> None:
    """Creates the file with the counters of ``rows`` workers."""
    path.write_bytes(bytes(rows * len(_NAMES) * struct.calcsize("d")))
