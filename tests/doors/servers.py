"""Real servers over loopback, each on a port of its own, and a client that sends exactly the bytes it is told to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Final

from sessionward.backends.sql import SQLBackend
from tests.doors.sides import COOKIE, SESSIONS, Answer

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 30.0
"""Seconds after which a server that does not answer fails the test."""

ASGI_SERVERS: Final = ("uvicorn h11", "uvicorn httptools", "hypercorn")
WSGI_SERVERS: Final = ("waitress", "gunicorn sync --preload --workers 2", "gunicorn gthread --threads 4", "wsgiref")


@dataclass(frozen=True)
class Server:
    """A server that runs: ``kind`` says which, ``process`` is the one that was started."""

    kind: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def shows_raw_path(self) -> bool:
        return self.kind != "wsgiref"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def ask(self, method: str, target: str, *fields: tuple[str, str], body: bytes = b"") -> Answer:
        """One request on a connection of its own, with the header lines exactly as given."""
        with self.connect() as connection:
            connection.sendall(request(method, target, *fields, body=body))
            return answered(connection, method)

    def raw(self, head: bytes) -> Answer:
        """Whatever the server says to these bytes."""
        with self.connect() as connection:
            connection.sendall(head)
            return answered(connection, "GET")


def request(method: str, target: str, *fields: tuple[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *(f"{name}: {value}" for name, value in fields)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def answered(connection: socket.socket, method: str) -> Answer:
    response = HTTPResponse(connection, method=method)
    response.begin()
    fields = [(name.lower(), value) for name, value in response.getheaders()]
    return Answer(response.status, fields, response.read())


@contextmanager
def running(kind: str, target: str, **environment: str) -> Iterator[Server]:
    """Start a server; connections wait in its backlog until it is ready."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        command = [sys.executable, "-m", "tests.doors.serve", kind, str(fd), target]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, pass_fds=[fd])
    try:
        yield Server(kind, port, process)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def town_on(kind: str, folder: Path) -> Iterator[Server]:
    """A server with the town behind the door, on a fresh SQLite database."""
    url = f"sqlite:///{folder}/sessions.db"
    backend = SQLBackend(url)
    backend.create_tables()
    backend.close()
    door = "asgi" if kind in ASGI_SERVERS else "wsgi"
    with running(kind, f"tests.doors.served:{door}", SESSIONWARD_TEST_DATABASE=url) as server:
        yield server


@dataclass
class Client:
    """Somebody with a cookie."""

    server: Server
    cookie: str = ""

    def sign_in(self, user: str = "ann") -> str:
        """Sign in; the token."""
        answer = self.server.ask("POST", f"/login/{user}")
        assert answer.status == 200
        self.cookie = answer.value("set-cookie").partition(";")[0]
        assert self.cookie.startswith(f"{COOKIE}=")
        return answer.body.decode()

    def ask(self, method: str, target: str, *fields: tuple[str, str]) -> Answer:
        return self.server.ask(method, target, ("Cookie", self.cookie), *fields)

    def press(self, *fields: tuple[str, str], target: str = SESSIONS) -> Answer:
        return self.ask("DELETE", target, *fields)

    def me(self) -> str:
        return self.ask("GET", "/me").body.decode()


def signed_in(server: Server, *users: str) -> Sequence[Client]:
    clients = [Client(server) for _ in users]
    for client, user in zip(clients, users, strict=True):
        client.sign_in(user)
    return clients


def memory_of(process: int) -> dict[str, int]:
    """``VmRSS`` and ``VmHWM`` (its peak) of a process, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    found: dict[str, Any] = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return {name: int(value.split()[0]) * 1024 for name, value in found.items()}
