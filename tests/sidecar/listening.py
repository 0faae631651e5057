"""Our listener on a free port, in the event loop of a test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sessionward.sidecar.client.connection import Service
from sessionward.sidecar.client.limits import Limits
from sessionward.sidecar.client.listener import Listener


@asynccontextmanager
async def listening(service: Service, *, limits: Limits | None = None, **parts: Any) -> AsyncIterator[tuple[int, Listener]]:
    """The port on which a service is served until the block ends, and its listener."""
    listener = Listener(service, limits or Limits(), **parts)
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    await listener.start([bound])
    try:
        yield port, listener
    finally:
        listener.stop()
        listener.cut()
        await listener.wait_closed()
        for _ in range(3):  # transports close one turn of the loop after they were told to
            await asyncio.sleep(0)
