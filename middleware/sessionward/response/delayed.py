"""The head of a WSGI response that waits until the application has returned (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeAlias

from sessionward.request.request import Fields

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write: TypeAlias = Callable[[bytes], object]
Headers: TypeAlias = list[tuple[str, str]]


class StartResponse(Protocol):
    """The ``start_response`` of PEP 3333."""

    def __call__(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write: ...


class DelayedHead:
    """A response head that has not been sent. ``seal``: returns the fields that the server gets."""

    __slots__ = ("_exc_info", "_headers", "_seal", "_server", "_status", "_write")

    def __init__(
        self, seal: Callable[[Fields], Fields], start_response: StartResponse, status: str, headers: Headers, exc_info: ExcInfo | None
    ) -> None:
        self._seal = seal
        self._server = start_response
        self._status = status
        self._headers = headers
        self._exc_info = exc_info
        self._write: Write | None = None

    def send(self) -> Write:
        """Decides about the head and passes it to the server, once."""
        if self._write is None:
            fields = self._seal([(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers])
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
            exc_info, self._exc_info = self._exc_info, None  # its traceback refers to this frame
            self._write = self._server(self._status, headers) if exc_info is None else self._server(self._status, headers, exc_info)
        return self._write

    def write(self, data: bytes, /) -> object:
        """Implements the ``write`` callable of PEP 3333, for old applications."""
        return self.send()(data)
