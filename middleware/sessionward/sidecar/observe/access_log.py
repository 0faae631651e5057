"""The access log: one line of JSON for each request, without a token, a cookie or a query string."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from datetime import UTC, datetime
from time import time
from typing import Final, Protocol
from urllib.parse import quote

from sessionward.sidecar.observe.writer import Writer

STANDARD_OUTPUT: Final = 1
MAX_PATH: Final = 1_024
"""Characters of a path in a line."""
DELAY: Final = 0.02
"""Seconds for which lines are collected before they are written."""

log = logging.getLogger("sessionward")


class Logged(Protocol):
    """The parts of a request that a line shows."""

    @property
    def id(self) -> str: ...
    @property
    def method(self) -> bytes: ...
    @property
    def path(self) -> bytes: ...
    @property
    def peer(self) -> str | None: ...
    @property
    def session(self) -> object: ...
    @property
    def began(self) -> float: ...
    def client(self) -> str | None: ...
    def header(self, name: bytes, /) -> bytes | None: ...


class AccessLog:
    """Appends lines to a file or to standard output, and never blocks the caller."""

    def __init__(self, path: str) -> None:
        """``path``: a file, or ``-`` for standard output. Raises OSError."""
        self._path = path
        self._key = secrets.token_bytes(16)
        is_file = path != "-"
        self._writer = Writer(
            self._open() if is_file else STANDARD_OUTPUT,
            delay=DELAY,
            lost=lambda why: log.error("the access log cannot be written: %s", why),
            again=lambda lost: log.warning("the access log is written again; %d lines were lost", lost),
            reopen=self._open if is_file else None,
        )

    def _open(self) -> int:
        """Opens the file. O_NONBLOCK makes a FIFO that no process reads an error, where the open would wait."""
        opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o640)
        os.set_blocking(opened, True)
        return opened

    def reopen(self) -> None:
        """Opens the file again, after it was moved."""
        self._writer.reopen()

    def close(self) -> None:
        """Writes what is waiting, for at most one second, and closes the file."""
        left = self._writer.close()
        if left:
            log.warning("%d lines of the access log were not written before the end", left)

    def write(self, request: Logged, status: int, size: int, took: float, result: str) -> None:
        """Adds the line of a request that is over.

        The id of its session becomes a keyed hash, which is the same in all lines of this process and in no other place.
        """
        line = _first(request.id, request.peer)
        line.update(_parts(request))
        line.update(status=status, bytes=size, duration_ms=round(took * 1000, 3), result=result)
        if request.session is not None:
            line["session"] = hashlib.blake2b(str(request.session).encode(), key=self._key, digest_size=8).hexdigest()
        trace = request.header(b"traceparent")
        if trace is not None and _TRACE.fullmatch(trace):  # a client may send anything in it
            line["traceparent"] = trace.decode("ascii")
        self._append(line)

    def refused(self, peer: str | None, status: int, problem: str, request: Logged | None, request_id: str) -> None:
        """Adds the line of what was refused before it became a request. ``request``: None if its head could not be read."""
        line = _first(request_id, peer)
        if request is not None:
            line.update(_parts(request))
        line.update(status=status, result="refused", problem=problem)
        self._append(line)

    def _append(self, line: dict[str, object]) -> None:
        self._writer.write(json.dumps(line).encode() + b"\n")


def _first(request_id: str, peer: str | None) -> dict[str, object]:
    now = datetime.fromtimestamp(time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": now, "id": request_id, "peer": peer or "unix"}


def _parts(request: Logged) -> dict[str, object]:
    """Returns who asked and what for. A path with other bytes than visible ASCII is percent-encoded.

    A refused target that is no path is left out, since it may hold a password (``http://user:password@host/``).
    """
    path = request.path
    parts: dict[str, object] = {"client": request.client() or "unix", "method": request.method[:32].decode("ascii", "replace")}
    if not path.startswith(b"/") and path != b"*":
        return parts
    shown = path.decode("ascii") if _VISIBLE.fullmatch(path) else quote(path, safe=_SAFE)
    parts["path"] = shown[:MAX_PATH]
    if len(shown) > MAX_PATH:
        parts["path_length"] = len(path)
    return parts


_TRACE: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VISIBLE: Final = re.compile(rb"[!-~]*")
_SAFE: Final = "".join(map(chr, range(0x21, 0x7F)))
