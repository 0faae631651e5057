"""What runs behind real servers: the same town as in process, on SQLite, and some traffic that is heavier."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

import sessionward
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.wsgi import Environ, StartResponse
from tests.doors.sides import SECRET, Here, Reply, asgi_application, town, wsgi_application

CHUNK: Final = 65_536
ECHO: Final = 5
"""Bytes that the echo takes at a time."""


async def served(here: Here) -> Reply:
    """The town, where every answer also says who gave it."""
    reply = await town(here)
    session = here.sessions.current
    user = "nobody" if session is None else session.user_id
    told = [("X-User", user), ("X-Process", str(os.getpid())), ("X-Method", here.method), *reply.fields]
    return Reply(reply.body, reply.status, [*told, ("Content-Length", str(len(reply.body)))])


_town_asgi = asgi_application(served)
_town_wsgi = wsgi_application(served)


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await _echo_socket(scope, receive, send)
        return
    if scope["type"] != "http":
        await _lifespan(receive, send)
        return
    path = scope["path"]
    if path == "/upload":
        total, more = 0, True
        while more:
            message = await receive()
            total += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(total).encode()})
        return
    if path.startswith("/download/"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(int(path.rpartition("/")[2]) // CHUNK):
            await send({"type": "http.response.body", "body": b"x" * CHUNK, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    if path == "/echo":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})
        return
    await _town_asgi(scope, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


async def _echo_socket(scope: Any, receive: Any, send: Any) -> None:
    """Says who is there, then echoes. ``/login/...`` signs in at the handshake."""
    assert (await receive())["type"] == "websocket.connect"
    sessions = sessionward.of(scope)
    if scope["path"].startswith("/login/"):
        await sessions.login(scope["path"].rpartition("/")[2])
    await send({"type": "websocket.accept", "headers": []})
    await send({"type": "websocket.send", "text": "nobody" if sessions.current is None else sessions.current.user_id})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def _wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path, body = environ["PATH_INFO"], environ["wsgi.input"]
    if path == "/upload":
        total, left = 0, int(environ["CONTENT_LENGTH"])
        while left > 0:
            read = len(body.read(min(CHUNK, left)))
            total, left = total + read, left - read
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(total).encode()]
    if path.startswith("/download/"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"x" * CHUNK for _ in range(int(path.rpartition("/")[2]) // CHUNK))
    if path == "/echo":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _echo(body, int(environ["CONTENT_LENGTH"]))
    return _town_wsgi(environ, start_response)


def _echo(body: Any, left: int) -> Iterator[bytes]:
    while left:
        chunk = body.read(min(left, ECHO))
        left -= len(chunk)
        yield chunk


DATABASE: Final = os.environ.get("SESSIONWARD_TEST_DATABASE", "sqlite:///never-opened.db")
SECRETS: Final = os.environ.get("SESSIONWARD_TEST_SECRETS", SECRET).split("\n")

asgi = sessionward.ASGIMiddleware(_asgi, AsyncSQLBackend(DATABASE), secrets=SECRETS, backend_timeout=10)
wsgi = sessionward.WSGIMiddleware(_wsgi, SQLBackend(DATABASE), secrets=SECRETS, backend_timeout=10)
