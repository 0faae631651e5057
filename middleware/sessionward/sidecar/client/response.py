"""The head of a response as bytes, and how its body is framed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import Final, Self

from sessionward.request.request import Fields
from sessionward.response.answer import Response

SWITCHING: Final = 101
"""Switching Protocols."""
BODILESS: Final = (SWITCHING, 204, 304)
"""Statuses whose responses have no body, whatever their fields say (RFC 9112, 6.3)."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_LINES: Final = {int(status): b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in HTTPStatus}


@dataclass(slots=True)
class Framing:
    """The head of a response, and how its body goes over the wire.

    ``left``: bytes of the body that are still to be sent; None if the body is chunked, or ends with the connection.
    """

    head: bytes
    left: int | None
    is_chunked: bool
    keeps_alive: bool

    @classmethod
    def of(
        cls,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        *,
        method: bytes,
        version: str,
        keeps_alive: bool,
        date: bool,
    ) -> Self:
        """Returns the framing of a response. ``length``: the value of Content-Length. ``date``: whether to add Date (RFC 9110, 6.6.1)."""
        lines = [(_LINES.get(status) or b"HTTP/1.1 %d " % status) if reason is None else b"HTTP/1.1 %d %b" % (status, reason)]
        lines += [name + b": " + value for name, value in fields]
        if date:
            lines.append(date_line())
        is_chunked = False
        if status in BODILESS or method == b"HEAD":
            length = 0
        elif length is None:
            if version == "1.1":
                is_chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:  # HTTP/1.0 knows no chunks: the end of the connection ends the body
                keeps_alive = False
        if not keeps_alive and status != SWITCHING:
            lines.append(b"connection: close")
        lines.append(b"\r\n")
        return cls(b"\r\n".join(lines), length, is_chunked, keeps_alive)

    def framed(self, body: bytes) -> bytes:
        """Returns a part of the body as it goes over the wire. Drops what exceeds the length."""
        if self.is_chunked:
            return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        if self.left is None:
            return body
        part = body if len(body) <= self.left else body[: self.left]
        self.left -= len(part)
        return part

    @property
    def end(self) -> bytes:
        """What ends the body."""
        return b"0\r\n\r\n" if self.is_chunked else b""

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection ends the body, so that an orderly end looks like a whole response."""
        return self.left is None and not self.is_chunked


def closing(response: Response) -> bytes:
    """Returns a response of our own after which the connection closes."""
    lines = [_LINES[int(response.status)], *(name + b": " + value for name, value in response.headers), date_line()]
    return b"\r\n".join((*lines, b"connection: close\r\n\r\n")) + response.body


def date_line() -> bytes:
    """Returns the Date field of this second."""
    return _date_line(int(time()))


@lru_cache(maxsize=2)
def _date_line(second: int) -> bytes:
    return b"date: " + formatdate(second, usegmt=True).encode()


def length_of(fields: Sequence[tuple[bytes, bytes]]) -> int | None:
    """Returns the value of Content-Length, or None."""
    return next((int(value) for name, value in fields if len(name) == 14 and name.lower() == b"content-length"), None)
