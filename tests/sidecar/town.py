"""The authorization service, the application and one engine, and a client that writes its requests byte for byte."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Signature
from tests.sidecar.engines import SECRET, App
from tests.support.sessions import started

COOKIE: Final = b"__Host-session-ward"
WAIT: Final = 15.0
"""Seconds for an answer, also on a machine that is busy."""
WEBSOCKET: Final = (
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)


class Town:
    """The service, the application and one engine."""

    def __init__(self, port: int, app: App, folder: Path, backend: SQLBackend, kind: str) -> None:
        self.port = port
        self.app = app
        self.folder = folder
        self.backend = backend
        self.kind = kind

    def login(self, user: str = "ann") -> bytes:
        """Returns a Cookie pair of a new session."""
        token = started(self.backend, user)[1]
        return COOKIE + b"=" + Signature([SECRET.encode()], "cookie").sign(token.encode())

    def ask(self, target: bytes = b"/", *fields: bytes, method: bytes = b"GET", body: bytes = b"") -> Answer:
        """Sends one request on a connection of its own. Returns the answer, and what the application has seen of it."""
        seen = len(self.app.heads)
        lines = [method + b" " + target + b" HTTP/1.1", b"Host: app.example", *fields]
        if not any(field.lower().startswith(b"connection:") for field in fields):
            lines.append(b"Connection: close")
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as connection:
            with suppress(ConnectionError):  # an engine that refuses a body closes early, and its answer is there
                connection.sendall(b"\r\n".join([*lines, b"", b""]) + body)
            answer = _read(connection)
        return Answer(answer, self.app.heads[seen:])

    def open(self, target: bytes, *fields: bytes, until: bytes) -> socket.socket:
        """Sends one request. Returns its connection once the answer has these bytes."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)
        try:
            connection.sendall(b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: app.example", *fields, b"", b""]))
            wait_for(connection, until)
        except BaseException:
            connection.close()
            raise
        return connection


def wait_for(connection: socket.socket, wanted: bytes) -> bytes:
    """Returns what arrives, up to these bytes at least."""
    answer = b""
    while wanted not in answer:
        data = connection.recv(65_536)
        assert data, f"the connection was closed after {answer!r}"
        answer += data
    return answer


def _read(connection: socket.socket) -> bytes:
    answer = b""
    while True:
        try:
            data = connection.recv(65_536)
        except ConnectionResetError:
            return answer
        answer += data
        head, between, body = answer.partition(b"\r\n\r\n")
        lower = head.lower()
        if not data or (
            between and b"content-length:" in lower and len(body) >= int(lower.partition(b"content-length:")[2].partition(b"\r")[0])
        ):
            return answer
        if between and (b" 204 " in lower or b" 101 " in lower or (b"chunked" in lower and body.endswith(b"0\r\n\r\n"))):
            return answer


class Answer:
    """What came back, and what had reached the application."""

    def __init__(self, answer: bytes, heads: list[bytes]) -> None:
        self.status = int(answer[9:12] or b"0")
        self.head, _, self.body = answer.partition(b"\r\n\r\n")
        self.heads = heads

    @property
    def location(self) -> bytes | None:
        """The value of the ``Location`` field of the answer, if it has one."""
        found = _values(self.head, b"location")
        return found[0] if found else None

    def values(self, name: bytes) -> list[bytes]:
        """Returns the values of a field that the application has seen, in any spelling of its name."""
        (head,) = self.heads
        return _values(head, name)


def _values(head: bytes, name: bytes) -> list[bytes]:
    lines: Sequence[bytes] = [line for line in head.replace(b"\r\n", b"\n").split(b"\n") if b":" in line]
    return [line.partition(b":")[2].strip() for line in lines if line.partition(b":")[0].lower().replace(b"_", b"-") == name]
