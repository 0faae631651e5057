"""Large bodies, many connections and slow readers for a sidecar in a process of its own, and what memory they cost it."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.support.servers import HOST, Server, served

BLOCK = bytes(65_536)
SECRET = "the sidecar's secret under load: 0123456789abcdef"


class Tank:
    """An upstream that gives as many bytes as the path says (``/down/<bytes>``) and swallows whatever comes.

    ``given``: bytes of bodies that it could hand to its system so far.
    """

    port = 0
    given = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.split(b" ", 2)
                if method == b"POST":
                    left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    while left:
                        left -= len(await reader.read(min(left, 1 << 20)))
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    continue
                size = int(path.rpartition(b"/")[2] or b"0")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                while size:
                    part = BLOCK[:size]
                    writer.write(part)
                    size -= len(part)
                    await writer.drain()
                    self.given += len(part)
        writer.close()


@asynccontextmanager
async def tank() -> AsyncIterator[Tank]:
    """A tank that listens, in this event loop. Its system takes little ahead, so that what is under way is in the sidecar."""
    made, tasks, writers = Tank(), set[asyncio.Task[None]](), set[asyncio.StreamWriter]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        writers.add(writer)
        await made.serve(reader, writer)

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262_144)
    listening.bind((HOST, 0))
    server = await asyncio.start_server(connected, sock=listening, backlog=4096)
    made.port = listening.getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:  # also those whose last bytes nobody has taken
            if not writer.transport.is_closing() or writer.transport.get_write_buffer_size():  # else the sidecar has ended it already
                writer.transport.abort()
        await asyncio.sleep(0)


@contextmanager
def sidecar(upstream: int, folder: Path, *options: str) -> Iterator[Server]:
    """A sidecar process before an upstream on this port. ``options``: more of its command line."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)

    def command(port: int) -> Sequence[str]:
        return [
            sys.executable, "-m", "sessionward", "serve", "--backend", "memory", "--secret-file", str(secret),
            "--upstream", f"http://{HOST}:{upstream}", "--listen", f"{HOST}:{port}", *options,
        ]  # fmt: skip

    with served(command, log=folder / "sidecar.log") as server:
        yield server


# --- what it costs ----------------------------------------------------------------------------------------------------


def resident(pid: int) -> int:
    """Bytes of a process that are in memory now."""
    return _status(pid, "VmRSS:")


def peak(pid: int) -> int:
    """The most bytes that were in memory since :func:`forget_peak`."""
    return _status(pid, "VmHWM:")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def connections_allowed(wanted: int) -> int:
    """Raise the limit of open files as far as it is needed and allowed; answers how many connections there can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = wanted + 200
    if soft < need:
        soft = need if hard == resource.RLIM_INFINITY else min(need, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, soft - 200)


# --- what is done -----------------------------------------------------------------------------------------------------


async def download(port: int, size: int) -> int:
    """Fetch so many bytes; answers how many have come."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET /down/%d HTTP/1.1\r\nHost: load\r\n\r\n" % size)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    got = 0
    while got < size and (data := await reader.read(1 << 20)):
        got += len(data)
    writer.close()
    return got


async def upload(port: int, size: int) -> bytes:
    """Send so many bytes; answers the answer."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"POST /up HTTP/1.1\r\nHost: load\r\nContent-Length: %d\r\n\r\n" % size)
    left = size
    while left:
        part = BLOCK[:left]
        writer.write(part)
        left -= len(part)
        await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2)
    writer.close()
    return answer


class Client(asyncio.Protocol):
    """A connection that costs little here: it counts what comes, and reads only as long as it is told to."""

    transport: asyncio.Transport
    got = 0
    lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


async def clients(port: int, count: int, *, buffer: int | None = None) -> list[Client]:
    """So many connections that are open. ``buffer``: how many bytes the system may take ahead for each."""
    loop, opened = asyncio.get_running_loop(), list[Client]()
    for _ in range(count):
        sock = socket.socket()
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        await loop.sock_connect(sock, (HOST, port))
        opened.append((await loop.create_connection(Client, sock=sock))[1])
    return opened
