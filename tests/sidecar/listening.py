"""Our listener on a free port, in the event loop of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from sessionward.sidecar.listener import Listener


@asynccontextmanager
async def listening(
    app: Any,
    *,
    straight: Any = None,
    unreadable: Any = None,
    draining: Callable[[], bool] | None = None,
    listener: type[Listener] = Listener,
) -> AsyncIterator[int]:
    """The port on which an ASGI application is served until the block ends."""
    config = uvicorn.Config(app, ws="none", log_config=None, access_log=False, proxy_headers=False)
    config.load()
    config.straight = straight  # type: ignore[attr-defined]
    config.unreadable = unreadable  # type: ignore[attr-defined]
    if draining is not None:
        config.draining = draining  # type: ignore[attr-defined]
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: listener(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        for _ in range(3):  # transports close one turn of the loop after they were told to
            await asyncio.sleep(0)
