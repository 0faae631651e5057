"""The access log: one line of JSON for each request, without a token, a cookie or a query string."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _json
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
        self._second, self._date = 0, ""
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
        rest = f'"status": {status}, "bytes": {size}, "duration_ms": {took * 1000:.3f}, "result": "{result}"'
        if request.session is not None:
            name = hashlib.blake2b(str(request.session).encode(), key=self._key, digest_size=8).hexdigest()
            rest = f'{rest}, "session": "{name}"'
        trace = request.header(b"traceparent")
        if trace is not None and _TRACE.fullmatch(trace):  # a client may send anything in it
            rest = f'{rest}, "traceparent": "{trace.decode("ascii")}"'
        self._append(request.id, request.peer, _parts(request), rest)

    def refused(self, peer: str | None, status: int, problem: str, request: Logged | None, request_id: str) -> None:
        """Adds the line of what was refused before it became a request. ``request``: None if its head could not be read."""
        rest = f'"status": {status}, "result": "refused", "problem": {_json(problem)}'
        self._append(request_id, peer, "" if request is None else _parts(request), rest)

    def _append(self, request_id: str, peer: str | None, parts: str, rest: str) -> None:
        line = f'{{"time": "{self._now()}", "id": {_json(request_id)}, "peer": {_json(peer or "unix")}, {parts}{rest}}}\n'
        self._writer.write(line.encode("ascii"))

    def _now(self) -> str:
        now = time()
        second = int(now)
        if second != self._second:  # the date is made once a second
            self._second, self._date = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._date}.{int((now - second) * 1000):03d}Z"


def _parts(request: Logged) -> str:
    """Returns who asked and what for. A path with other bytes than visible ASCII is percent-encoded.

    A refused target that is no path is left out, since it may hold a password (``http://user:password@host/``).
    """
    path, method = request.path, request.method[:32].decode("ascii", "replace")
    parts = f'"client": {_json(request.client() or "unix")}, "method": {_json(method)}, '
    if not path.startswith(b"/") and path != b"*":
        return parts
    shown = path.decode("ascii") if _VISIBLE.fullmatch(path) else quote(path, safe=_SAFE)
    if len(shown) > MAX_PATH:
        return f'{parts}"path": {_json(shown[:MAX_PATH])}, "path_length": {len(path)}, '
    return f'{parts}"path": {_json(shown)}, '


_TRACE: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VISIBLE: Final = re.compile(rb"[!-~]*")
_SAFE: Final = "".join(map(chr, range(0x21, 0x7F)))
