"""An upstream that follows a script byte by byte, and a client that reads byte by byte, for a sidecar in a process of its own."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.servers import HOST, Server

TIMEOUT = 20.0
"""Seconds after which a test that waits has failed."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(body: bytes = b"ok", fields: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """Returns an answer with a Content-Length."""
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


def get(path: bytes, fields: bytes = b"", method: bytes = b"GET") -> bytes:
    """Returns a request without a body."""
    return b"%b %b HTTP/1.1\r\nHost: app.example\r\n%b\r\n" % (method, path, fields)


def post(path: bytes, body: bytes, fields: bytes = b"", method: bytes = b"POST") -> bytes:
    """Returns a request with a body and its length."""
    return get(path, fields + b"Content-Length: %d\r\n" % len(body), method) + body


def fields_of(head: bytes, name: bytes) -> list[bytes]:
    """Returns the values of a field in a head, in their order."""
    lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [line.partition(b":")[2].strip() for line in lines if line.partition(b":")[0].strip().lower() == name.lower()]


def status_of(message: bytes) -> int:
    """Returns the status of an answer; 0 where there is none."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", message)
    return int(found[1]) if found else 0


# --- the upstream -----------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Wire:
    """One connection of the sidecar to the upstream. ``number``: which one it is, counted from 1."""

    socket: socket.socket
    number: int
    buffer: bytes = b""
    requests: int = 0

    def send(self, *parts: bytes, pause: float = 0.0) -> None:
        """Sends each part in a packet of its own."""
        for place, part in enumerate(parts):
            if place and pause:
                time.sleep(pause)
            self.socket.sendall(part)

    def more(self) -> bytes:
        """Reads what comes next; empty at the end. Raises OSError."""
        self.buffer += (data := self.socket.recv(1 << 18))
        return data

    def until(self, mark: bytes) -> bytes:
        """Reads up to and with a mark. Raises EOFError where the connection ends before."""
        while mark not in self.buffer:
            if not self.more():
                raise EOFError
        place = self.buffer.index(mark) + len(mark)
        found, self.buffer = self.buffer[:place], self.buffer[place:]
        return found

    def exactly(self, size: int) -> bytes:
        """Reads so many bytes. Raises EOFError where the connection ends before."""
        while len(self.buffer) < size:
            if not self.more():
                raise EOFError
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def body(self, head: bytes) -> bytes:
        """Reads the body that a head announces, decoded."""
        if fields_of(head, b"transfer-encoding"):
            whole = b""
            while size := int(self.until(b"\r\n"), 16):
                whole += self.exactly(size + 2)[:-2]
            self.until(b"\r\n")
            return whole
        return self.exactly(int((fields_of(head, b"content-length") or [b"0"])[0]))

    def reset(self) -> None:
        """Ends the connection with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self, last: bytes = b"") -> None:
        with suppress(OSError):
            self.socket.sendall(last)
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as the upstream has read it."""

    head: bytes
    body: bytes
    wire: int

    @property
    def method(self) -> bytes:
        return self.head.split(b" ", 1)[0]

    @property
    def path(self) -> bytes:
        return self.head.split(b" ", 2)[1].partition(b"?")[0]

    def field(self, name: bytes) -> bytes | None:
        """Returns the value of a field; None where there is none. Several are joined, so that they equal none of them."""
        values = fields_of(self.head, name)
        return b", ".join(values) if values else None


Script = Callable[[Wire, Heard], bytes | None]
"""Answers one request: returns the answer, or writes to the connection itself. Raises EOFError to close it."""


@dataclass
class Upstream:
    """The scripts by the first segment of the path, so that one sidecar serves the tests of a module one after the other."""

    port: int = 0
    scripts: dict[bytes, Script] = field(default_factory=dict)
    heads_only: set[bytes] = field(default_factory=set)
    """Segments whose scripts read the body themselves."""
    heard: list[Heard] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    _names: int = 0

    def on(self, script: Script | bytes, *, prefix: bytes = b"/t", reads_body: bool = True) -> bytes:
        """Returns a path that no other test has, whose requests this script answers; bytes: always this answer."""
        self._names += 1
        path = prefix + b"%d" % self._names
        self.scripts[path] = (lambda wire, heard: script) if isinstance(script, bytes) else script
        if not reads_body:
            self.heads_only.add(path)
        return path

    def at(self, path: bytes) -> list[Heard]:
        """Returns the requests that it has read for a path."""
        return [each for each in self.heard if each.path == path]

    def follow(self, wire: Wire) -> None:
        with suppress(OSError, EOFError), wire.socket:
            while True:
                head = wire.until(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].partition(b"?")[0]
                body = b"" if path in self.heads_only else wire.body(head)
                wire.requests += 1
                heard = Heard(head, body, wire.number)
                self.heard.append(heard)
                script = self.scripts.get(path)
                said = answer(b"honest") if script is None else script(wire, heard)
                if said is not None:
                    wire.send(said)


@contextmanager
def scripted() -> Iterator[Upstream]:
    """An upstream on a free port, each connection in a thread."""
    upstream = Upstream()
    with socket.create_server((HOST, 0), backlog=512) as listening:
        upstream.port = listening.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    made, _ = listening.accept()
                except OSError:
                    return
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire = Wire(made, len(upstream.wires) + 1)
                upstream.wires.append(wire)
                threading.Thread(target=upstream.follow, args=(wire,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield upstream
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(TIMEOUT)
            for wire in upstream.wires:
                wire.close()


# --- the client -------------------------------------------------------------------------------------------------------


class Client:
    """One connection to the sidecar, which reads answers by their own framing."""

    def __init__(self, port: int, *, host: str = HOST, buffer: int | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family)
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def send(self, *parts: bytes, pause: float = 0.0) -> None:
        """Sends each part in a packet of its own."""
        for place, part in enumerate(parts):
            if place and pause:
                time.sleep(pause)
            self.socket.sendall(part)

    def ask(self, request: bytes) -> bytes:
        """Returns the answer to a request."""
        self.send(request)
        return self.answer(method=request.split(b" ", 1)[0])

    def _more(self) -> bool:
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            return False
        self._read += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        """Reads up to and with a mark; what there is where the connection ends before."""
        while mark not in self._read and self._more():
            pass
        place = self._read.find(mark)
        return self._taken(len(self._read) if place < 0 else place + len(mark))

    def _taken(self, size: int) -> bytes:
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def exactly(self, size: int) -> bytes:
        """Reads so many bytes; fewer where the connection ends before."""
        while len(self._read) < size and self._more():
            pass
        return self._taken(min(size, len(self._read)))

    def rest(self) -> bytes:
        """Reads to the end of the connection."""
        while self._more():
            pass
        return self._taken(len(self._read))

    def answer(self, method: bytes = b"GET") -> bytes:
        """Reads one final answer with the head that it came with, its body decoded; ``<cut>`` at the end of a short one."""
        head = self.until(b"\r\n\r\n")
        status = status_of(head)
        if status == 0 or not head.endswith(b"\r\n\r\n"):
            return head + b"<cut>"
        if 100 <= status < 200 and status != 101:
            return self.answer(method)
        if method == b"HEAD" or status in (101, 204, 304):
            return head
        if fields_of(head, b"transfer-encoding"):
            return head + self._chunks()
        lengths = fields_of(head, b"content-length")
        if not lengths:
            return head + self.rest()
        body = self.exactly(int(lengths[0]))
        return head + body + (b"" if len(body) == int(lengths[0]) else b"<cut>")

    def _chunks(self) -> bytes:
        body = b""
        while True:
            line = self.until(b"\r\n")
            if not re.fullmatch(rb"[0-9a-f]+\r\n", line):
                return body + b"<cut>"
            size = int(line, 16)
            part = self.exactly(size + 2)
            body += part[:size]
            if len(part) < size + 2:
                return body + b"<cut>"
            if size == 0:
                return body

    def ended(self) -> bool:
        """Waits for the end of the connection, and returns whether it came without a byte before it."""
        return self.rest() == b""

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(port: int, request: bytes) -> bytes:
    """Returns the answer to a request on a connection of its own."""
    with Client(port) as client:
        return client.ask(request)


def wait_until(true: Callable[[], bool], *, seconds: float = TIMEOUT) -> bool:
    """Waits for a condition; returns whether it became true in time."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


@dataclass(frozen=True, slots=True)
class World:
    """A scripted upstream, the sidecar before it, and its access log."""

    upstream: Upstream
    server: Server
    log: Path

    def logged(self, mark: str) -> list[dict[str, Any]]:
        """Returns the lines of the access log that hold a mark."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if mark in line]
