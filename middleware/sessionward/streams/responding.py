"""Sends our own responses by ASGI, to a WebSocket too that is not open yet."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from sessionward.response.answer import Response
from sessionward.streams.asgi import POLICY_VIOLATION


async def responded(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a response in place of the application."""
    if scope["type"] == "http":
        await _send(response, send, "http.response")
        return
    await receive()  # websocket.connect
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await _send(response, send, "websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})  # servers respond 403


async def _send(response: Response, send: Send, prefix: str) -> None:
    await send({"type": f"{prefix}.start", "status": int(response.status), "headers": list(response.headers)})
    await send({"type": f"{prefix}.body", "body": response.body})
