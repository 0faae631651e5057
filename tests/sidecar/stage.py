"""A stage for the sidecar: a scripted upstream, the sidecar in front of it, and clients, all in one event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from typing import Any

from sessionward.backends.memory import MemoryBackend
from sessionward.sidecar.client.limits import Limits
from sessionward.sidecar.client.listener import Listener
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from sessionward.sidecar.gate import Gate
from sessionward.sidecar.observe.observer import Observer
from sessionward.sidecar.proxy import Proxy
from sessionward.sidecar.upstream.connection import UpstreamConnection
from sessionward.sidecar.upstream.headers import RequestFields
from sessionward.sidecar.upstream.pool import Place, Pool
from tests.sidecar.listening import listening
from tests.support.sessions import started

SECRET = "a secret of the tests, long enough: 0123456789"
PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What the upstream does on one connection."""


@dataclass
class Stage:
    """``port``: of the sidecar. ``heard``: the requests that the upstream has read, head and body as they came."""

    port: int
    backend: Any
    gate: Gate
    pool: Pool
    listener: Listener
    heard: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    connections: int = 0

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *parts: bytes) -> bytes:
        """Send these parts on a new connection, and answer all that comes back until it ends or one answer is whole."""
        reader, writer = await self.open()
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(PATIENCE):
                return await read_answer(reader)
        finally:
            writer.close()

    async def login(self, user: str) -> str:
        """The token of a new session of this user."""
        session, token = started(self.backend, user)
        if isawaitable(session):
            await session
        return token


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """One answer, as its own framing says; what comes until the end where it does not."""
    head = b""
    with suppress(asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
    if not head:
        return await reader.read()
    lower = head.lower()
    if head[9:12] in (b"204", b"304") or head[9:10] == b"1":
        return head
    if b"content-length:" in lower:
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        with suppress(asyncio.IncompleteReadError):
            return head + await reader.readexactly(length)
        return head + b"<cut>"
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while True:
            try:
                line = await reader.readuntil(b"\r\n")
                size = int(line, 16)
                body += (await reader.readexactly(size + 2))[:size]
            except asyncio.IncompleteReadError:
                return head + body + b"<cut>"
            if size == 0:
                return head + body
    return head + await reader.read()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request as the upstream gets it, its body as it was framed; empty at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    lower = head.lower()
    if b"content-length:" in lower:
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return head + await reader.readexactly(length)
    if b"transfer-encoding: chunked" in lower:
        return head + await reader.readuntil(b"0\r\n\r\n")
    return head


def answering(answer: bytes | Callable[[bytes], bytes]) -> Callable[[Stage], Script]:
    """An upstream that answers every request with the same bytes, or with what a function makes of it, and notes what it hears."""

    def of(stage: Stage) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while request := await read_request(reader):
                stage.heard.append(request)
                writer.write(answer(request) if callable(answer) else answer)
                await writer.drain()

        return script

    return of


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def staged(
    script: Callable[[Stage], Script] | None,
    *,
    backend: Any = None,
    peers: Sequence[str] = (),
    signer: Any = None,
    response_timeout: float = 5.0,
    connect_timeout: float = 10.0,
    place: Place | None = None,
    limits: Limits | None = None,
    observer: Observer | None = None,
    login_paths: Sequence[str] = ("/in/", "/slow/"),
    keeps: bool = True,
    passes_cookie: bool = False,
    factory: Callable[[asyncio.AbstractEventLoop], UpstreamConnection] = UpstreamConnection,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """The sidecar before an upstream that follows a script; None: nobody listens there."""
    tasks: set[asyncio.Task[Any]] = set()
    stage: Stage

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert script is not None
        stage.connections += 1
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await script(stage)(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = probe.getsockname()[1]
    upstream = None if script is None else await asyncio.start_server(connected, "127.0.0.1", 0)
    far = nowhere if upstream is None else upstream.sockets[0].getsockname()[1]
    backend = MemoryBackend() if backend is None else backend
    pool = Pool(place or Place(host="127.0.0.1", port=far), connect_timeout=connect_timeout, keeps=keeps, factory=factory)
    failures: list[str] = []
    gate = Gate(backend, {"secrets": [SECRET], **settings}, passes_cookie=passes_cookie)
    proxy = Proxy(
        gate,
        pool,
        RequestFields(),
        signer=signer,
        login_paths=login_paths,
        response_timeout=response_timeout,
        failed=failures.append,
    )
    bounds = replace(limits or Limits(), response_timeout=response_timeout)
    try:
        async with listening(proxy, limits=bounds, observer=observer, trusted=TrustedProxies(peers)) as (port, listener):
            stage = Stage(port, backend, gate, pool, listener, failures=failures)
            yield stage
    finally:
        pool.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if upstream is not None:
            upstream.close()
        await gate.finished()
        for _ in range(3):  # transports close one turn of the loop after they were told to
            await asyncio.sleep(0)
