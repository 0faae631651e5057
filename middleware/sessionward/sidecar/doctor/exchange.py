"""One request over a plain socket, and what comes back, byte by byte: for a doctor who wants to see what no client shows."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from time import monotonic
from typing import Final

MAX_HEAD: Final = 65_536
MAX_BODY: Final = 64 * 1024 * 1024
"""Bytes of one answer that the doctor reads."""
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")

_COMMON = "User-Agent: sessionward-doctor\r\nAccept: */*\r\nX-Session-User: \r\nX-Session-Id: \r\n"
"""With what serve says of an anonymous caller, since an application may rely on both fields."""


class Broken(Exception):
    """What came is no answer of HTTP/1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. ``closes``: the server ends the connection after it. ``more``: bytes that came behind its end."""

    status: int
    version: str
    fields: tuple[tuple[str, str], ...]
    closes: bool
    more: bytes

    def header(self, name: str) -> str | None:
        """Returns the first field of this lower-case name."""
        return next((value for each, value in self.fields if each == name), None)


def ask(connection: socket.socket, host: str, *, method: str = "GET", fields: str = "", timeout: float) -> Answer:
    """Sends one request for / and returns the final answer. Raises :class:`Broken`, TimeoutError or another OSError."""
    reader = _Reader(connection, timeout)
    connection.sendall(f"{method} / HTTP/1.1\r\nHost: {host}\r\n{_COMMON}{fields}\r\n".encode("latin-1"))
    status, minor, found = _head(reader)
    while 100 <= status < 200 and status != 101:
        status, minor, found = _head(reader)
    connected = ",".join(value for name, value in found if name == "connection").lower()
    closes = "close" in connected or (minor == b"0" and "keep-alive" not in connected)
    lengths = {value for name, value in found if name == "content-length"}
    chunked = any(name == "transfer-encoding" and value.lower().endswith("chunked") for name, value in found)
    if method != "HEAD" and status not in (101, 204, 304):
        if chunked:
            _chunks(reader)
        elif lengths:
            reader.exactly(_number(lengths))
        else:
            closes = True
            reader.rest()
    return Answer(status, f"HTTP/1.{minor.decode()}", found, closes, reader.data)


def closes_within(connection: socket.socket, timeout: float) -> tuple[float | None, bytes]:
    """Returns after how many seconds the server has closed an idle connection, None if it has not, and the bytes that came."""
    began = monotonic()
    connection.settimeout(timeout)
    try:
        more = connection.recv(4096)
    except TimeoutError:
        return None, b""
    except (ssl.SSLError, ConnectionError):
        more = b""
    return (None, more) if more else (monotonic() - began, b"")


def _head(reader: _Reader) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    lines = reader.until(b"\r\n\r\n", MAX_HEAD).split(b"\r\n")
    found = _STATUS.fullmatch(lines[0])
    if found is None:
        raise Broken("the answer has no status line")
    fields: list[tuple[str, str]] = []
    for line in filter(None, lines[1:]):
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise Broken("a line of its head has no colon")
        fields.append((name.lower(), value.strip()))
    return int(found[2]), found[1], tuple(fields)


def _number(lengths: set[str]) -> int:
    length = lengths.pop()
    if lengths or not length.isdecimal() or int(length) > MAX_BODY:
        raise Broken("its Content-Length is no length, or more than 64 MiB")
    return int(length)


def _chunks(reader: _Reader) -> None:
    total = 0
    while True:
        size = reader.until(b"\r\n", 1024).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
            raise Broken("a chunk of its body has no size")
        total += int(size, 16)
        if total > MAX_BODY:
            raise Broken("its body is longer than 64 MiB")
        if int(size, 16) == 0:
            while reader.until(b"\r\n", MAX_HEAD) != b"\r\n":
                pass
            return
        reader.exactly(int(size, 16) + 2)


class _Reader:
    """Reads from a socket until a deadline. ``data``: what has come and is not read yet."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._deadline = monotonic() + timeout
        self.data = b""

    def _more(self) -> bool:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        more = self._connection.recv(65_536)
        self.data += more
        return bool(more)

    def until(self, mark: bytes, most: int) -> bytes:
        while mark not in self.data:
            if len(self.data) > most:
                raise Broken("its head is too long")
            if not self._more():
                raise Broken("the connection ends in the middle of an answer" if self.data else "the connection ends without an answer")
        read, self.data = self.data[: self.data.index(mark) + len(mark)], self.data[self.data.index(mark) + len(mark) :]
        return read

    def exactly(self, length: int) -> None:
        while len(self.data) < length:
            length -= len(self.data)
            self.data = b""
            if not self._more():
                raise Broken("the connection ends in the middle of a body")
        self.data = self.data[length:]

    def rest(self) -> None:
        total = 0
        while self._more():
            total += len(self.data)
            self.data = b""
            if total > MAX_BODY:
                raise Broken("its body is longer than 64 MiB")
