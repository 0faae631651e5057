"""What passes through a sidecar does not stay in it, however large it is, and however slowly it is taken.

With SESSIONWARD_FULL=1 in the environment: 10 000 connections and 1 GiB, as the README says; else less, for the sake of time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.sidecar.load import Tank, clients, connections_allowed, download, forget_peak, peak, resident, sidecar, tank, upload
from tests.support.servers import Server

FULL = os.environ.get("SESSIONWARD_FULL") == "1"
SIZE = (1024 if FULL else 128) << 20
IDLE = 10_000 if FULL else 1_000
SLOW = 64
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MEGABYTE = 1_000_000

Load = Callable[[Tank, Server], Awaitable[None]]


def under(load: Load, folder: Path, *, limit: float = 120.0) -> None:
    """Run a load against a sidecar process; one that hangs has failed."""

    async def story() -> None:
        async with asyncio.timeout(limit), tank() as upstream:
            with sidecar(upstream.port, folder) as server:
                await load(upstream, server)

    asyncio.run(story())


def test_a_large_body_passes_without_staying(tmp_path: Path) -> None:
    async def load(upstream: Tank, server: Server) -> None:
        pid = server.process.pid
        await download(server.port, MEGABYTE)  # so that what is needed once is there
        await upload(server.port, MEGABYTE)
        for way in (download, upload):
            before = resident(pid)
            forget_peak(pid)
            assert await way(server.port, SIZE) in (SIZE, OK)
            assert peak(pid) - before < 16 * MEGABYTE, way.__name__

    under(load, tmp_path)


def test_idle_connections_are_cheap(tmp_path: Path) -> None:
    async def load(upstream: Tank, server: Server) -> None:
        count = connections_allowed(IDLE)
        pid = server.process.pid
        before = resident(pid)
        opened = await clients(server.port, count)
        for place in range(0, count, 50):  # many at the same time would measure something else
            for client in opened[place : place + 50]:
                client.transport.write(b"GET /down/2 HTTP/1.1\r\nHost: load\r\n\r\n")
            await until(lambda: all(client.got for client in opened[: place + 50]))  # noqa: B023
        grown = resident(pid) - before
        assert grown < count * 12_000, f"{grown / count:.0f} bytes a connection"
        assert not any(client.lost for client in opened)
        once = opened[0].got
        for client in opened:
            client.transport.write(b"GET /down/2 HTTP/1.1\r\nHost: load\r\n\r\n")
        await until(lambda: all(client.got == 2 * once for client in opened))
        for client in opened:
            client.transport.abort()

    # The sidecar inherits the limit that is raised here.
    connections_allowed(IDLE)
    under(load, tmp_path)


def test_slow_readers_are_waited_for_and_cost_no_more_than_their_buffers(tmp_path: Path) -> None:
    """All that is on its way for a client that does not read is held back at the upstream."""

    async def load(upstream: Tank, server: Server) -> None:
        pid = server.process.pid
        await download(server.port, MEGABYTE)
        before = resident(pid)
        opened = await clients(server.port, SLOW, buffer=65_536)
        for client in opened:
            client.transport.pause_reading()
            client.transport.write(b"GET /down/1000000000 HTTP/1.1\r\nHost: load\r\n\r\n")
        given = -1
        while given != (given := upstream.given):
            await asyncio.sleep(0.2)
        assert given > SLOW * 65_536
        assert resident(pid) - before < SLOW * 1.2 * MEGABYTE
        assert await download(server.port, MEGABYTE) == MEGABYTE  # and others are served
        for client in opened[::2]:
            client.transport.resume_reading()
        await until(lambda: upstream.given > given + 20 * MEGABYTE)
        for client in opened:
            client.transport.abort()

    under(load, tmp_path)


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition; the deadline is the load's."""
    while not true():
        await asyncio.sleep(0.01)
