"""Sends our own responses by ASGI, to a WebSocket too that is not open yet."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from sessionward.response.answer import Response
from sessionward.streams.asgi import POLICY_VIOLATION


async def responded(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a response in place of the application."""
    prefix = ""
    if scope["type"] != "http":
        await receive()  # websocket.connect
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})  # servers respond 403
            return
        prefix = "websocket."
    await send({"type": prefix + "http.response.start", "status": int(response.status), "headers": [*response.headers]})
    await send({"type": prefix + "http.response.body", "body": response.body})
