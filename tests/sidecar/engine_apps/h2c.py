"""Says which user each request names, on standard output; Hypercorn serves it, which accepts h2c in an Upgrade field."""

from __future__ import annotations

from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers each request with 200, and completes each event of the lifespan."""
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    users = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-session-user"]
    print(f"HTTP/{scope['http_version']} {scope['type']} {scope['path']} for {users}", flush=True)
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
    else:
        await send({"type": "websocket.close"})
