"""Responses of a WSGI application that we check between their blocks, and cut when their session is not live any more.

One thread asks for all of them at most once in each period, if the backend answers about many at once; else each for its own.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Final

from sessionward.credential.token import Credential
from sessionward.drive import SyncDriver
from sessionward.errors import SessionRevoked, SessionwardError
from sessionward.process import PerProcess
from sessionward.streams.watching import Watching, is_live, said_after, which_live


class WSGIStreams:
    """Watches the responses of one middleware."""

    def __init__(self, watching: Watching, driver: SyncDriver) -> None:
        self.watching: Final = watching
        self._driver = driver
        self._open = PerProcess(_Open)

    def watched(self, credential: Credential | None, body: Iterable[bytes]) -> Iterable[bytes]:
        """Returns the iterable for the server. One that is whole already, or belongs to no session, stays as it is."""
        if credential is None or isinstance(body, (list, tuple)):
            return body
        return _Body(self, credential, body)

    def is_live(self, body: _Body) -> bool:
        """Returns whether a block may go out. Asks if the last question is older than one period."""
        here = self._open()
        if self._is_old(body):
            with here.asking:
                if self._is_old(body):  # else another thread has just asked for all
                    self._ask(here.all() if self.watching.asks_many else [body], here)
        return body.ends_at is None or monotonic() < body.ends_at

    def closed(self, body: _Body) -> None:
        """Forgets a response that is over."""
        here = self._open()
        with here.lock:
            here.bodies.discard(body)

    def opened(self, body: _Body) -> None:
        """Asks about a response, too, whenever one is asked about."""
        here = self._open()
        with here.lock:
            here.bodies.add(body)

    def _is_old(self, body: _Body) -> bool:
        return body.ends_at is None and monotonic() - body.asked >= self.watching.recheck

    def _ask(self, bodies: list[_Body], here: _Open) -> None:
        now = monotonic()
        credentials = frozenset(body.credential for body in bodies)
        try:
            if self.watching.asks_many:
                live = frozenset(self._driver(which_live(credentials)))
            else:
                live = frozenset(credential for credential in credentials if self._driver(is_live(credential)))
            ends_at = monotonic() + (self._driver(said_after(self.watching)) if len(live) < len(credentials) else 0.0)
        except SessionwardError:  # P7: nothing is cut. The driver has logged it, and the next period asks again
            live, ends_at, bodies = credentials, 0.0, here.all()  # no other response waits for the same silence
        for body in bodies:
            body.asked = now
            if body.ends_at is None and body.credential not in live and body.credential in credentials:
                body.ends_at = ends_at


class _Open:
    """The responses of one process. A server that does not call ``close()`` keeps none of them here."""

    def __init__(self) -> None:
        self.asking = threading.Lock()
        self.lock = threading.Lock()
        self.bodies: weakref.WeakSet[_Body] = weakref.WeakSet()

    def all(self) -> list[_Body]:
        with self.lock:
            return [*self.bodies]


class _Body:
    """The iterable of an application. A block is handed on only if the session was live in this period.

    ``asked``: when we began to ask, by the monotonic clock; at first, when the application returned it. ``ends_at``: from when no block
    may go out, since its session is not live any more.
    """

    def __init__(self, streams: WSGIStreams, credential: Credential, body: Iterable[bytes]) -> None:
        self.credential = credential
        self.asked = monotonic()
        self.ends_at: float | None = None
        self._streams = streams
        self._body = body
        self._blocks: Iterator[bytes] | None = None
        streams.opened(self)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._blocks is None:
            self._blocks = iter(self._body)
        block = next(self._blocks)
        if not self._streams.is_live(self):  # raise: a server that only runs out of blocks ends the response as if it were whole
            raise SessionRevoked("the response was cut, since its session is not live any more")
        return block

    def close(self) -> None:
        """Closes what the application returned."""
        self._streams.closed(self)
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
