"""What a sidecar tells of its work: counters for Prometheus, and one line of JSON for each request."""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import re
import secrets
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sessionward.request import ASGIRequest, joined
from sessionward.response import request_id
from sessionward.sidecar.peers import PEER
from sessionward.sidecar.record import RECORD, Record
from sessionward.sidecar.upstream import SWITCHING

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0)
"""Seconds."""
RESULTS: Final = ("passed", "ended", "refused", "failed", "cut")
FAILURES: Final = ("connect", "timeout", "reset", "invalid", "client")

STANDARD_OUTPUT: Final = 1

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


log = logging.getLogger("sessionward")


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


class AccessLog:
    """One line of JSON for each request. No token, no cookie, no query string.

    Each line is one write to the end of the file, so that the lines of several workers do not mix.
    """

    def __init__(self, path: str) -> None:
        """``path``: a file that is appended to, ``-`` for standard output. Raises OSError."""
        self._path = path
        self._key = secrets.token_bytes(16)
        self._complained = False
        self._file = self._open()

    def _open(self) -> int:
        return STANDARD_OUTPUT if self._path == "-" else os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def reopen(self) -> None:
        """Open the file anew, after it has been moved away."""
        try:
            opened = self._open()
        except OSError as error:
            self._complain(error)
        else:
            self.close()
            self._file = opened

    def close(self) -> None:
        """Close the file."""
        if self._file != STANDARD_OUTPUT:
            os.close(self._file)

    def write(self, scope: Scope, status: int, size: int, took: float, result: str, session: object) -> None:
        """``session``: its id, which is noted as a keyed hash: the same in all lines of this process, and nowhere else."""
        client, peer = scope.get("client"), scope.get(PEER, scope.get("client"))
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "id": request_id(ASGIRequest(scope)),
            "peer": peer[0] if peer else "unix",
            "client": client[0] if client else "unix",
            "method": scope.get("method", "GET"),
            "path": scope["raw_path"].decode("ascii", "replace"),
            "status": status,
            "bytes": size,
            "duration_ms": round(took * 1000, 3),
            "result": result,
        }
        if session is not None:
            line["session"] = hashlib.blake2b(str(session).encode(), key=self._key, digest_size=8).hexdigest()
        trace = joined(scope["headers"], b"traceparent")
        if trace is not None and _is_trace(trace):
            line["traceparent"] = trace.decode("ascii")
        try:
            os.write(self._file, json.dumps(line).encode() + b"\n")
        except OSError as error:  # a full disk, a pipe that is gone: no request fails for that
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            log.error("the access log cannot be written: %s", error.strerror)


_TRACE: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def _is_trace(value: bytes) -> bool:
    """Whether it has the form of W3C Trace Context: it is a text of a stranger's."""
    return _TRACE.fullmatch(value) is not None


class _Seen:
    """What has been sent of an answer."""

    def __init__(self) -> None:
        self.status = 0
        self.size = 0
        self.whole = False


class Observed:
    """Stands around everything else, and counts, times and notes what passes."""

    def __init__(self, app: ASGIApp, counts: Counts, access: AccessLog | None, clock: Callable[[], float] = monotonic) -> None:
        self._app = app
        self._counts = counts
        self._access = access
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began = self._clock()
        seen = _Seen()

        async def noted(message: Message) -> None:
            kind: str = message["type"]
            if kind.endswith(".start"):
                seen.status = message["status"]
            elif kind.endswith(".body"):
                seen.size += len(message.get("body", b""))
                seen.whole = not message.get("more_body", False)
            elif kind == "websocket.accept":
                seen.status, seen.whole = SWITCHING, True
                self._counts.add("tunnels")
            await send(message)

        record = scope[RECORD] = Record()
        self._counts.add("in_flight")
        try:
            await self._app(scope, receive, noted)
        finally:
            self._counts.add("in_flight", -1.0)
            if seen.status == SWITCHING:
                self._counts.add("tunnels", -1.0)
            result = "cut" if not seen.whole else "passed" if record.answered else _result(scope.get("method", "GET"), seen.status)
            self._note(scope, seen.status, seen.size, self._clock() - began, result, record.session)

    def straight(self, scope: Scope, status: int, size: int, took: float, *, by_us: bool = False) -> None:
        """A request that went past all of this (:mod:`sessionward.sidecar.straight`)."""
        self._note(scope, status, size, took, _result(scope["method"], status) if by_us else "passed", None)

    def reopen(self) -> None:
        """Open the access log anew."""
        if self._access is not None:
            self._access.reopen()

    def _note(self, scope: Scope, status: int, size: int, took: float, result: str, session: object) -> None:
        self._counts.done(result, took)
        if self._access is not None:
            self._access.write(scope, status, size, took, result, session)


def _result(method: str, status: int) -> str:
    """What became of a request that we have answered ourselves."""
    if status < 400:
        return "ended" if method == "DELETE" else "passed"
    return "refused" if status < 500 else "failed"
