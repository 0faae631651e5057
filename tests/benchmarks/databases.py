"""A fresh PostgreSQL database, and a relay that counts what goes to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import make_url

from tests.support.services import POSTGRESQL, fresh_database


@contextmanager
def postgresql() -> Iterator[str | None]:
    """The URL of a fresh database, or None where no server answers."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(fresh_database(POSTGRESQL))
        except (pytest.skip.Exception, pytest.fail.Exception):
            yield None
            return
        yield url


@contextmanager
def counting_relay(url: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """The URL of a relay to the same database, and how many bursts of bytes its clients have sent so far."""
    target = make_url(url)
    bursts, ports, loops = [0], [0], []
    ready, over = threading.Event(), asyncio.Event()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.host, target.port)
        await asyncio.gather(_copy(reader, back, bursts), _copy(there, writer, None))

    async def serve() -> None:
        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        ports[0] = server.sockets[0].getsockname()[1]
        loops.append(asyncio.get_running_loop())
        ready.set()
        await over.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield target.set(host="127.0.0.1", port=ports[0]).render_as_string(hide_password=False), lambda: bursts[0]
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bursts: list[int] | None) -> None:
    while data := await reader.read(65_536):
        if bursts is not None:
            bursts[0] += 1
        writer.write(data)
        await writer.drain()
    writer.close()
