"""The lines of a response that we write ourselves."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import Final

from sessionward.response.answer import Response

SWITCHING: Final = 101
"""Switching Protocols."""
BODILESS: Final = (SWITCHING, 204, 304)
"""Statuses whose responses have no body, whatever their fields say (RFC 9112, 6.3)."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_LINES: Final = {int(status): b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in HTTPStatus}


def status_line(status: int, reason: bytes | None) -> bytes:
    """Returns the first line of a response. ``reason``: None for the phrase of the standard."""
    if reason is None:
        return _LINES.get(status) or b"HTTP/1.1 %d " % status
    return b"HTTP/1.1 %d %b" % (status, reason)


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
