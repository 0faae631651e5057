"""A stream inside of any application: ``/stream`` sends until it is told to stop. Everything else is the application's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from threading import Event
from typing import Any, Final

from tests.matrix.site import Site, WSGISite

PATH: Final = "/stream"
PAUSE: Final = 0.02
"""Seconds between two parts."""


class _Around:
    """Looks like the application to everybody else."""

    def __init__(self, app: Any, stop: Event) -> None:
        self._app = app
        self._stop = stop
        self.begun = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)


class StreamingWSGI(_Around):
    """A WSGI application with a stream."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            found: Iterable[bytes] = self._app(environ, start_response)
            return found
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self._parts()

    def _parts(self) -> Iterator[bytes]:
        self.begun += 1
        while not self._stop.is_set():
            yield b"part"
            time.sleep(PAUSE)


class StreamingASGI(_Around):
    """An ASGI application with a stream."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        self.begun += 1
        while not self._stop.is_set():
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            await asyncio.sleep(PAUSE)
        await send({"type": "http.response.body", "body": b""})


def streaming(site: Site, stop: Event) -> _Around:
    """Puts the stream into the application of a site, before a door is put around it. ``stop``: ends all streams."""
    made: _Around = StreamingWSGI(site.app, stop) if isinstance(site, WSGISite) else StreamingASGI(site.app, stop)
    site.app = made
    return made
