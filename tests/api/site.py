"""What runs behind a real server: an application of one page, with the session API in front of it, over SQLite."""

from __future__ import annotations

import os
from typing import Final

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.doors.sides import SECRET, Here, Reply, asgi_application, wsgi_application

DATABASE: Final = os.environ.get("SESSIONWARD_TEST_DATABASE", "sqlite:///never-opened.db")


async def page(here: Here) -> Reply:
    return Reply(b"the application", fields=[("Content-Type", "text/plain"), ("Content-Length", "15")])


_asgi = asgi_application(page)


async def _with_lifespan(scope: object, receive: object, send: object) -> None:
    """Servers start and end an ASGI application by messages."""
    assert isinstance(scope, dict)
    if scope["type"] != "lifespan":
        return await _asgi(scope, receive, send)
    assert callable(receive)
    assert callable(send)
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return None


asgi = ASGIMiddleware(_with_lifespan, AsyncSQLBackend(DATABASE), secrets=[SECRET], api=True, backend_timeout=10)
wsgi = WSGIMiddleware(wsgi_application(page), SQLBackend(DATABASE), secrets=[SECRET], api=True, backend_timeout=10)
