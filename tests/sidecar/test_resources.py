"""What passes through a sidecar does not stay in it, however large it is, and however slowly it is taken.

With FULL_SIZE=1 in the environment: 10 000 connections and 1 GiB, as the README says; else less, for the sake of time.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.sidecar.load import Client, Tank, clients, connections_allowed, download, forget_peak, peak, resident, sidecar, tank, upload
from tests.support.servers import Server

FULL = os.environ.get("FULL_SIZE") == "1"
SIZE = (1024 if FULL else 128) << 20
IDLE = 10_000 if FULL else 1_000
SLOW = 64
MEGABYTE = 1_000_000
GET = b"GET /down/%d HTTP/1.1\r\nHost: load\r\n\r\n"
ANSWER = re.compile(rb"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ndate: [^\r]+\r\n\r\nok")


def test_connections_bodies_and_slow_readers_cost_no_more_than_their_share(tmp_path: Path) -> None:
    """One after the other in one process, as starting it takes the most time; a load that hangs has failed."""

    async def story() -> None:
        async with asyncio.timeout(300 if FULL else 60), tank() as upstream:
            count = connections_allowed(IDLE)  # the sidecar inherits the limit
            with sidecar(upstream.port, tmp_path) as server:
                await download(server.port, MEGABYTE)  # so that what is needed once is there
                await upload(server.port, MEGABYTE)
                await idle_connections(server, count)
                await large_bodies(server)
                await slow_readers(upstream, server)

    asyncio.run(story())


async def idle_connections(server: Server, count: int) -> None:
    """Connections that have been used, and wait for the next request."""
    pid = server.process.pid
    before = resident(pid)
    opened = await clients(server.port, count)
    for place in range(0, count, 50):  # many at the same time would measure something else
        for client in opened[place : place + 50]:
            client.transport.write(GET % 2)
        await until(lambda: all(client.got for client in opened[: place + 50]))  # noqa: B023
    grown = resident(pid) - before
    assert grown < count * 12_000, f"{grown / count:.0f} bytes a connection"
    once = opened[0].got
    for client in opened:
        client.transport.write(GET % 2)
    await until(lambda: all(client.got == 2 * once for client in opened))
    assert not any(client.lost for client in opened)
    await leave(opened)


async def large_bodies(server: Server) -> None:
    """The most that is ever in memory counts, not what is left of it."""
    pid = server.process.pid
    for way in (download, upload):
        before = resident(pid)
        forget_peak(pid)
        got = await way(server.port, SIZE)
        assert got == SIZE or (isinstance(got, bytes) and ANSWER.fullmatch(got))
        assert peak(pid) - before < 16 * MEGABYTE, way.__name__


async def slow_readers(upstream: Tank, server: Server) -> None:
    """All that is meant for a client that does not read is held back at the upstream, and goes on when it reads."""
    pid = server.process.pid
    before = resident(pid)
    opened = await clients(server.port, SLOW, buffer=65_536)
    for client in opened:
        client.transport.pause_reading()
        client.transport.write(GET % (1 << 30))
    given = -1
    while given != (given := upstream.given):
        await asyncio.sleep(0.2)
    assert given > SLOW * 65_536
    assert resident(pid) - before < SLOW * 1.2 * MEGABYTE
    assert await download(server.port, MEGABYTE) == MEGABYTE  # and others are served
    given = upstream.given
    for client in opened[::2]:
        client.transport.resume_reading()
    await until(lambda: upstream.given > given + 20 * MEGABYTE)
    await leave(opened)


async def leave(opened: Sequence[Client]) -> None:
    for client in opened:
        client.transport.abort()
    await until(lambda: all(client.lost for client in opened))


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition; the deadline is the test's."""
    while not true():
        await asyncio.sleep(0.01)
