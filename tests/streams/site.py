"""What runs behind real servers: event streams, a long download and a WebSocket, beside the town that signs users in."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import sessionward
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.wsgi import Environ, StartResponse
from tests.doors.sides import SECRET, asgi_application, town, wsgi_application

EVENT: Final = b"data: 1\n\n"
PAUSE: Final = 0.05
"""Seconds between two events."""
LENGTH: Final = 1_000_000
"""Bytes that the download promises."""
RECHECK: Final = float(os.environ.get("SESSIONWARD_TEST_RECHECK", "0.3"))
DATABASE: Final = os.environ.get("SESSIONWARD_TEST_DATABASE", "sqlite:///never-opened.db")

_town_asgi = asgi_application(town)
_town_wsgi = wsgi_application(town)


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await _socket(receive, send)
    elif scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] in ("/events", "/download"):
        await _events(receive, send, [(b"content-length", b"%d" % LENGTH)] if scope["path"] == "/download" else [])
    else:
        await _town_asgi(scope, receive, send)


async def _events(receive: Any, send: Any, headers: Any) -> None:
    """Sends until the client is gone, as frameworks do: one task listens, another one sends."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.ensure_future(receive())
    try:
        while not gone.done():
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
            await asyncio.wait({gone}, timeout=PAUSE)
    finally:
        gone.cancel()


async def _socket(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def _wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path in ("/events", "/download"):
        start_response("200 OK", [("Content-Length", str(LENGTH))] if path == "/download" else [])
        return _blocks()
    return _town_wsgi(environ, start_response)


def _blocks() -> Iterator[bytes]:
    while True:
        yield EVENT
        time.sleep(PAUSE)


plain = _asgi
"""For what stands behind the sidecar."""
asgi = sessionward.ASGIMiddleware(_asgi, AsyncSQLBackend(DATABASE), secrets=[SECRET], backend_timeout=10, recheck=RECHECK)
wsgi = sessionward.WSGIMiddleware(
    _wsgi, SQLBackend(DATABASE), secrets=[SECRET], backend_timeout=10, recheck=RECHECK, recheck_paths=["/events", "/download"]
)
