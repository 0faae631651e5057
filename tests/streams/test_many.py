"""Many streams and WebSockets of three users, over two workers of the sidecar: exactly the right ones end, and in time."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sessionward.backends.sql import SQLBackend
from tests.doors.servers import running
from tests.sidecar.processes import sidecar
from tests.support.servers import Server
from tests.support.sessions import started

SIZE: Final = 500 if os.environ.get("FULL_SIZE") else 60
"""Event streams, and as many WebSockets."""
RECHECK: Final = 1.0
MARGIN: Final = 5.0
"""Seconds more, for a machine that is busy."""
USERS: Final = ("ann", "bob", "eve")


@dataclass
class Stream:
    """An open stream: ``end`` returns how it ended."""

    user: str
    is_own: bool
    """Whether it belongs to the session that makes the call."""
    task: asyncio.Task[str]
    ended_at: float = 0.0

    def note(self, _task: object) -> None:
        self.ended_at = monotonic()


async def events(port: int, token: str, begun: Callable[[], None]) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /events HTTP/1.1\r\nHost: app.example\r\nX-Session-Token: %b\r\n\r\n" % token.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        last = await reader.readuntil(b"\r\n")
        begun()
        while data := await reader.read(65_536):
            last = (last + data)[-16:]
        return "clean" if last.endswith(b"0\r\n\r\n") else "broken"
    finally:
        writer.close()


async def socket(port: int, token: str, begun: Callable[[], None]) -> str:
    client: ClientConnection
    async with connect(
        f"ws://127.0.0.1:{port}/socket", additional_headers={"X-Session-Token": token}, proxy=None, open_timeout=60, ping_interval=None
    ) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
        begun()
        with suppress(ConnectionClosed):
            await client.recv()
    return str(client.close_code)


def with_room() -> None:
    """Each stream needs a descriptor here and two in the sidecar."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384) if hard > 0 else 16_384, hard))


@pytest.mark.slow
def test_exactly_the_streams_of_the_others_end_within_the_period(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_room()
    url = f"sqlite:///{tmp_path}/sessions.db"
    backend = SQLBackend(url)
    backend.create_tables()
    with (
        running("uvicorn h11", "tests.streams.site:plain") as application,
        sidecar(
            tmp_path,
            f"http://127.0.0.1:{application.port}",
            *("--workers", "2", "--recheck", str(RECHECK), "--max-connections-per-address", "4000", "--backend-timeout", "10"),
        ) as server,
    ):
        took = asyncio.run(played(server, backend))
    backend.close()
    with capsys.disabled():
        p50, p99 = (sorted(took)[int(share * len(took))] for share in (0.5, 0.99))
        print(f"\n{SIZE} streams and {SIZE} WebSockets: {len(took)} ended after p50 {p50:.3f} s, p99 {p99:.3f} s (period {RECHECK:g} s)")


async def played(server: Server, backend: SQLBackend) -> list[float]:
    """Opens all, lets one user revoke the others, and returns after how many seconds each of them ended."""
    streams: list[Stream] = []
    begun = 0

    def one_more() -> None:
        nonlocal begun
        begun += 1

    own = started(backend, USERS[0])[1]
    for number in range(2 * SIZE):
        user, is_own = USERS[number // 2 % 3], number % 12 < 2  # a sixth belongs to the caller: half of its user's
        token = own if is_own else started(backend, user)[1]
        kind: Any = events if number % 2 else socket
        stream = Stream(user, is_own, asyncio.create_task(kind(server.port, token, one_more)))
        stream.task.add_done_callback(stream.note)
        streams.append(stream)
        while len(streams) - begun > 40:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        while begun < len(streams):
            assert not any(stream.task.done() for stream in streams)
            await asyncio.sleep(0.01)
    await asyncio.sleep(2 * RECHECK)
    assert not any(stream.task.done() for stream in streams)

    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"DELETE /auth/sessions HTTP/1.1\r\nHost: app.example\r\nX-Session-Token: %b\r\n\r\n" % own.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    revoked_at = monotonic()
    writer.close()

    victims = [stream for stream in streams if stream.user == USERS[0] and not stream.is_own]
    others = [stream for stream in streams if stream not in victims]
    assert len(victims) > SIZE / 4
    await asyncio.wait([stream.task for stream in victims], timeout=RECHECK + MARGIN)
    assert {stream.task.result() for stream in victims if stream.task.done()} == {"broken", "1008"}
    assert all(stream.task.done() for stream in victims)
    await asyncio.sleep(2 * RECHECK)
    assert not any(stream.task.done() for stream in others)
    for stream in others:
        stream.task.cancel()
    await asyncio.gather(*(stream.task for stream in others), return_exceptions=True)
    return [stream.ended_at - revoked_at for stream in victims]
