"""What the benchmarks of the sidecar run with: a bare application, and a live session in memory."""

from __future__ import annotations

import os
from typing import Any

from sessionward.backends.memory import MemoryBackend
from tests.benchmarks.signing import sign_in

BODY = b'{"hello": "world", "text": "about as long as what an interface answers, a hundred bytes or so"}'


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": BODY})


def remembering() -> MemoryBackend:
    """Sessions in memory, one of which is live: its token is in the environment."""
    backend = MemoryBackend()
    backend.login(sign_in("ada", os.environ["TOKEN"]))
    return backend
