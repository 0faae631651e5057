"""What a WSGI application is given with a request: the handle, and with it its ``start_response``."""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import Final

from sessionward.door.handle import context_of, head_goes_out, tell
from sessionward.door.parts import Door
from sessionward.handle.sessions import Sessions
from sessionward.request.request import Fields, Mapping
from sessionward.response.delayed import DelayedHead, ExcInfo, Headers, StartResponse, Write


class Answering(Sessions):
    """A handle whose ``_start_response`` the application gets.

    Delays response headers that set our cookie until the application has returned: an error may still replace them, and we
    check the session as late as possible, just before the browser gets the cookie (P9).
    """

    _has_left: bool = False
    """Whether the server has a head. A second one, with ``exc_info``, is not delayed."""
    _has_returned: bool = False
    """Whether the application has returned its iterable. A head that a generator gives afterwards is not delayed."""
    _waiting: DelayedHead | None = None

    _fields: Fields = ()

    def __init__(self, door: Door, environ: Mapping, start_response: StartResponse) -> None:
        self._door = door
        try:  # costs half as much as get()
            self._peer, self._agent = environ["REMOTE_ADDR"], environ["HTTP_USER_AGENT"]
        except KeyError:
            self._peer, self._agent = environ.get("REMOTE_ADDR"), environ.get("HTTP_USER_AGENT")
        self._started = monotonic()
        self._server = start_response

    def _start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """Implements ``start_response`` for the application. It takes ``exc_info`` also by name, as servers do."""
        if self._context is None and self._session is None:
            self._head_is_out = True
        else:
            self._waiting = None
            fields: list[tuple[bytes, bytes]] = []
            for name, value in headers:  # a comprehension would be a call
                if len(name) in _COOKIE_LENGTHS and (key := _COOKIE_FIELDS.get(name.lower())) is not None:
                    fields.append((key, value.encode("latin-1")))
            if self._context is None and not fields:  # the commonest response needs no call
                self._head_is_out = True
            elif head_goes_out(self, fields) is not None:
                head = DelayedHead(self._sealed, self._server, status, headers, exc_info)
                if self._has_left or self._has_returned:
                    self._has_left = True
                    return head.send()
                self._waiting = head
                return head.write
        self._has_left = True
        return self._server(status, headers) if exc_info is None else self._server(status, headers, exc_info)

    def _returned(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Returns the application's own iterable for the server. A head that comes later is checked when it comes."""
        self._has_returned = True
        try:
            self._release()
        except BaseException:
            _close(body)
            raise
        return body

    def _release(self) -> None:
        """Sends a delayed head."""
        head, self._waiting = self._waiting, None
        if head is not None:
            self._has_left = True
            head.send()

    def _sealed(self, headers: Fields) -> Fields:
        context = context_of(self)
        sealed = self._door.driver(self._mode().on_response(context, headers))
        tell(context)
        return sealed


_COOKIE_FIELDS: Final = {"set-cookie": b"set-cookie", "clear-site-data": b"clear-site-data"}
_COOKIE_LENGTHS: Final = frozenset(map(len, _COOKIE_FIELDS))


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
