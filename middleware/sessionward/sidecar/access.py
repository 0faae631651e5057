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
from typing import Final

from starlette.types import Scope

from sessionward.request.request import ASGIRequest, joined
from sessionward.response.answer import request_id
from sessionward.sidecar.peers import PEER

STANDARD_OUTPUT: Final = 1
MAX_PATH: Final = 1_024
"""Bytes of a path that are noted."""

log = logging.getLogger("sessionward")


class AccessLog:
    """Appends to a file, or to standard output.

    Each line is one write of less than 4 096 bytes, so that the lines of several workers do not mix, in a pipe neither
    (POSIX, PIPE_BUF).
    """

    def __init__(self, path: str) -> None:
        """``path``: a file, ``-`` for standard output. Raises OSError."""
        self._path = path
        self._key = secrets.token_bytes(16)
        self._lost = 0
        self._is_torn = False
        self._file = self._open()

    def _open(self) -> int:
        return STANDARD_OUTPUT if self._path == "-" else os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def reopen(self) -> None:
        """Open the file anew, after it has been moved away."""
        try:
            opened = self._open()
        except OSError as error:
            self._lose(error)
        else:
            self.close()
            self._file, self._is_torn = opened, False

    def close(self) -> None:
        """Close the file."""
        if self._file != STANDARD_OUTPUT:
            os.close(self._file)

    def write(self, scope: Scope, status: int, size: int, took: float, result: str, session: object) -> None:
        """``session``: its id, which is noted as a keyed hash: the same in all lines of this process, and nowhere else."""
        client, peer = scope.get("client"), scope.get(PEER, scope.get("client"))
        path: bytes = scope["raw_path"]
        line: dict[str, object] = {
            "time": _now(),
            "id": request_id(ASGIRequest(scope)),
            "peer": peer[0] if peer else "unix",
            "client": client[0] if client else "unix",
            "method": scope.get("method", "GET"),
            "path": path[:MAX_PATH].decode("ascii", "replace"),
            "status": status,
            "bytes": size,
            "duration_ms": round(took * 1000, 3),
            "result": result,
        }
        if len(path) > MAX_PATH:
            line["path_length"] = len(path)
        if session is not None:
            line["session"] = hashlib.blake2b(str(session).encode(), key=self._key, digest_size=8).hexdigest()
        trace = joined(scope["headers"], b"traceparent")
        if trace is not None and _TRACE.fullmatch(trace):  # it is a text of a stranger's
            line["traceparent"] = trace.decode("ascii")
        self._append(line)

    def unreadable(self, client: tuple[str, int] | None, status: int) -> None:
        """What was no request at all."""
        self._append({"time": _now(), "peer": client[0] if client else "unix", "status": status, "result": "refused"})

    def _append(self, line: dict[str, object]) -> None:
        data = json.dumps(line).encode() + b"\n"
        if self._is_torn:
            data = b"\n" + data
        try:
            written = os.write(self._file, data)
        except OSError as error:  # a full disk, a pipe that is gone: no request fails for that
            self._lose(error)
            return
        self._is_torn = written < len(data)
        if self._lost and not self._is_torn:
            log.warning("the access log is written again; %d lines were lost", self._lost)
            self._lost = 0

    def _lose(self, error: OSError) -> None:
        self._lost += 1
        if self._lost == 1:
            log.error("the access log cannot be written: %s", error.strerror)


def _now() -> str:
    return datetime.fromtimestamp(time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_TRACE: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
