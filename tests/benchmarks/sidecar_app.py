"""What is measured with the sidecar: a bare application, the sidecar without its straight way, and sessions in memory."""

from __future__ import annotations

import os
import sys
from time import time
from typing import Any

import uvicorn

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.sidecar.fields import RequestFields
from sessionward.sidecar.listener import Listener
from sessionward.sidecar.pool import Place, Pool
from sessionward.sidecar.proxy import Proxy
from tests.benchmarks.requests import SECRET
from tests.benchmarks.signing import sign_in

BODY = b'{"hello": "world", "text": "about as long as what an interface answers, a hundred bytes or so"}'


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": BODY})


def remembering() -> MemoryBackend:
    """Sessions in memory, of which one is known to whoever measures."""
    backend = MemoryBackend()
    backend.login(sign_in("ada", os.environ["TOKEN"]))
    return backend


async def nobody(_scope: object) -> None:
    """Whoever calls: the sidecar tells no user."""


def plain(port: int, upstream: int) -> None:
    """The same parts as ``sessionward serve``, but every request goes through the ASGI door."""
    pool = Pool(Place(host="127.0.0.1", port=upstream), connect_timeout=5)
    proxy = Proxy(pool, RequestFields(), signer=None, clock=time, response_timeout=60, failed=lambda _kind: None, who=nobody)
    door = sessionward.ASGIMiddleware(proxy, MemoryBackend(), secrets=[SECRET])
    quiet: Any = {"log_level": "warning", "access_log": False, "proxy_headers": False, "server_header": False, "date_header": False}
    uvicorn.run(door, port=port, http=Listener, ws="none", **quiet)


if __name__ == "__main__":
    plain(int(sys.argv[1]), int(sys.argv[2]))
