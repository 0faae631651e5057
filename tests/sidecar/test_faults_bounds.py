"""What one client can make the sidecar keep, or wait for, is bounded; the upstream and the other clients do not wait with it."""

from __future__ import annotations

import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sidecar.hasty import GRACE
from tests.sidecar.load import resident
from tests.sidecar.processes import ROOT, SECRET
from tests.sidecar.scripted import OK, TIMEOUT, Client, Heard, Upstream, Wire, answer, ask, get, post, scripted, status_of, wait_until
from tests.support.servers import HOST, Server, served

MEGABYTE = 1 << 20
KERNEL = 24 * MEGABYTE
"""More than the buffers of the two ends of a connection hold by themselves."""
SOON = 10.0
"""Seconds within which a hasty sidecar has cut a client, on a busy machine too."""


@dataclass(frozen=True, slots=True)
class World:
    upstream: Upstream
    server: Server


@contextmanager
def hasty(folder: Path, *arguments: str) -> Iterator[Server]:
    """A sidecar that waits for a slow client for one second."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    command = [
        sys.executable, "-m", "tests.sidecar.hasty", *arguments, "--backend", "memory", "--secret-file", str(secret),
        "--drain-delay", "0",
    ]  # fmt: skip
    with served(lambda port: [*command, "--listen", f"{HOST}:{port}"], log=folder / "sidecar.log", cwd=ROOT) as server:
        yield server


@contextmanager
def world_of(folder: Path, *arguments: str) -> Iterator[World]:
    with scripted() as upstream, hasty(folder, "serve", "--upstream", f"http://{HOST}:{upstream.port}", *arguments) as server:
        yield World(upstream, server)
        assert "Traceback" not in server.printed()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    arguments = ("--head-timeout", "1", "--idle-timeout", "2", "--tunnel-idle-timeout", "1")
    with world_of(tmp_path_factory.mktemp("bounds"), *arguments) as made:
        yield made


def peers(server: Server) -> list[int]:
    """The ports of the clients whose connections the process has not closed, as the system says."""
    found: list[int] = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, ours, theirs, state, *_ = line.split()
        if state == "01" and ours.endswith(f":{server.port:04X}"):
            found.append(int(theirs.rpartition(":")[2], 16))
    return found


def open_connections(server: Server) -> int:
    return len(peers(server))


def drip(client: Client, parts: Sequence[bytes], *, every: float, seconds: float) -> bytes:
    """Sends these parts over and over until something comes back; returns what."""
    ends, number = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        if select.select([client.socket], [], [], every)[0]:
            return client.answer()
        with suppress(OSError):
            client.socket.send(parts[number % len(parts)])
        number += 1
    return b""


# --- time of a client that sends slowly -------------------------------------------------------------------------------

SLOW_BODIES: dict[str, tuple[bytes, Sequence[bytes]]] = {
    "a length": (b"Content-Length: 1000\r\n", [b"a"]),
    "chunks": (b"Transfer-Encoding: chunked\r\n", [b"1\r\na\r\n"]),
    "a size of a chunk": (b"Transfer-Encoding: chunked\r\n", [b"0"]),
    "nothing at all": (b"Content-Length: 1000\r\n", [b""]),
}


@pytest.mark.parametrize(("fields", "parts"), SLOW_BODIES.values(), ids=SLOW_BODIES)
def test_a_body_that_comes_byte_by_byte_is_a_408_and_frees_the_worker_of_the_application(
    world: World, fields: bytes, parts: Sequence[bytes]
) -> None:
    freed = threading.Event()

    def script(wire: Wire, heard: Heard) -> None:
        try:
            while wire.more():
                pass
        finally:
            freed.set()
        raise EOFError

    with Client(world.server.port) as client:
        client.send(get(world.upstream.on(script, reads_body=False), fields, b"POST"))
        said = drip(client, parts, every=0.1, seconds=SOON)
        assert status_of(said) in (408, 400), said
        assert status_of(said) == 408 or parts == [b"0"], "a size may be too long before it is too slow"
        assert freed.wait(SOON)
        assert client.rest() == b"", "the rest of the body is no request"


def test_a_slow_but_steady_body_is_never_cut(world: World) -> None:
    path, body = world.upstream.on(lambda wire, heard: answer(b"%d" % len(heard.body))), b"a" * 1_600
    with Client(world.server.port) as client:
        client.send(get(path, b"Content-Length: %d\r\n" % len(body), b"POST"))
        client.send(*(body[place : place + 40] for place in range(0, len(body), 40)), pause=GRACE / 10)
        assert client.answer().endswith(b"1600")


def test_a_client_that_is_silent_while_it_is_answered_is_not_cut(world: World) -> None:
    """Both directions stream. Then a silent client is no slow client."""
    told = threading.Event()

    def script(wire: Wire, heard: Heard) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        for _ in range(6):
            told.wait(GRACE / 2)
            wire.send(b"4\r\ntick\r\n")
        assert wire.body(heard.head) == b"hello"
        wire.send(b"4\r\nlast\r\n0\r\n\r\n")

    with Client(world.server.port) as client:
        client.send(get(world.upstream.on(script, reads_body=False), b"Transfer-Encoding: chunked\r\n", b"POST"))
        assert client.until(b"first")
        for _ in range(6):
            assert client.until(b"tick").endswith(b"tick")
        client.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert client.until(b"0\r\n\r\n").endswith(b"last\r\n0\r\n\r\n")


def test_an_upstream_that_takes_long_is_not_the_clients_fault(world: World) -> None:
    def script(wire: Wire, heard: Heard) -> bytes:
        time.sleep(2.5 * GRACE)
        return OK

    path = world.upstream.on(script)
    assert ask(world.server.port, get(path)).endswith(b"ok")
    assert ask(world.server.port, post(path, b"abc")).endswith(b"ok")


@pytest.mark.parametrize("head", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "], ids=["nothing", "a letter", "a field"])
def test_a_head_that_comes_byte_by_byte_is_given_up(world: World, head: bytes) -> None:
    with Client(world.server.port) as client:
        client.send(head)
        said = drip(client, [b"a" if head else b""], every=0.1, seconds=SOON)
        assert status_of(said) in (408, 400, 501) or (said == b"<cut>" and not head), said


def test_a_connection_without_a_request_is_closed(world: World) -> None:
    with Client(world.server.port) as client:
        client.ask(get(b"/honest"))
        client.socket.settimeout(SOON)
        assert client.ended()


# --- bytes of a client that sends without end -------------------------------------------------------------------------

ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "trailers": (b"0\r\n", b"X-Trailer: %b\r\n" % (b"t" * 1_000)),
    "one trailer": (b"0\r\nX-Trailer: ", b"t" * 1_000),
    "small trailers": (b"0\r\n", b"a: b\r\n" * 200),
    "an extension of a chunk": (b"1;a=", b"e" * 1_000),
    "an extension of the last chunk": (b"0;a=", b"e" * 1_000),
}


@pytest.mark.parametrize(("first", "more"), ENDLESS.values(), ids=ENDLESS)
def test_what_is_neither_head_nor_body_is_bounded(world: World, first: bytes, more: bytes) -> None:
    before, sent = resident(world.server.process.pid), 0
    with Client(world.server.port) as client:
        client.socket.settimeout(SOON)
        client.send(get(world.upstream.on(OK), b"Transfer-Encoding: chunked\r\n", b"POST") + first)
        while sent < KERNEL and not select.select([client.socket], [], [], 0)[0]:
            sent += client.socket.send(more * 64)
        assert sent < KERNEL
        assert status_of(client.answer()) in (400, 413, 431)
        with suppress(ConnectionError):  # what still comes is discarded for a while, so that the client can read the refusal
            while sent < 1_000 * KERNEL:
                sent += client.socket.send(more * 64)
        assert sent < 1_000 * KERNEL
    assert resident(world.server.process.pid) - before < 8 * MEGABYTE
    assert ask(world.server.port, get(b"/honest")).endswith(b"honest")


@pytest.mark.parametrize("more", [b"X-Trailer: %b\r\n" % (b"t" * 1_000), b"a: b\r\n" * 200], ids=["large ones", "small ones"])
def test_a_trailer_section_of_an_answer_is_bounded(world: World, more: bytes) -> None:
    over, sent = threading.Event(), [0]

    def script(wire: Wire, heard: Heard) -> None:
        try:
            wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
            while sent[0] < 4 * KERNEL:
                sent[0] += wire.socket.send(more * 64)
        finally:
            over.set()

    before = resident(world.server.process.pid)
    assert ask(world.server.port, get(world.upstream.on(script))).endswith(b"ok<cut>")
    assert over.wait(SOON)
    assert sent[0] < KERNEL
    assert resident(world.server.process.pid) - before < 8 * MEGABYTE


def test_requests_behind_one_that_waits_are_not_made_before_their_turn(world: World) -> None:
    """A pipelined request costs many times its size once it is made."""
    opened = threading.Event()

    def script(wire: Wire, heard: Heard) -> bytes:
        opened.wait(TIMEOUT)
        return OK

    path, count = world.upstream.on(script), 1_000
    small = b"GET /honest HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n"
    before = resident(world.server.process.pid)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(world.server.port)) for _ in range(20)]
        for client in clients:
            client.send(get(path) + small * count)
        assert wait_until(lambda: len(world.upstream.at(path)) == len(clients))
        assert resident(world.server.process.pid) - before < 3 * len(clients) * len(small) * count + 8 * MEGABYTE
        opened.set()
        assert clients[0].answer().endswith(b"ok")
        assert all(clients[0].answer().endswith(b"honest") for _ in range(count))


def test_a_client_that_only_sends_is_not_read_without_end(world: World) -> None:
    opened = threading.Event()

    def script(wire: Wire, heard: Heard) -> bytes:
        opened.wait(TIMEOUT)
        return OK

    before = resident(world.server.process.pid)
    with Client(world.server.port) as client:
        client.send(get(world.upstream.on(script)))
        assert pushed(client, get(b"/honest") * 1_000) < KERNEL
        assert resident(world.server.process.pid) - before < 8 * MEGABYTE
        opened.set()


def pushed(client: Client, data: bytes) -> int:
    """Sends as long as the system takes it without waiting for more than half a second; returns how many bytes."""
    sent = 0
    client.socket.settimeout(0.5)
    with suppress(OSError):
        while sent < 4 * KERNEL:
            sent += client.socket.send(data)
    client.socket.settimeout(TIMEOUT)
    return sent


def test_authz_does_not_answer_what_is_not_read(tmp_path: Path) -> None:
    """On memory no answer waits for a database, so nothing but the client itself can slow it down."""
    with hasty(tmp_path, "authz", "--trusted-proxy", HOST) as server:
        pid = server.process.pid
        assert status_of(ask(server.port, get(b"/authz"))) == 401
        before = resident(pid)
        with Client(server.port, buffer=65_536) as client:
            sent = pushed(client, get(b"/authz") * 1_000)
            assert sent < KERNEL
            assert resident(pid) - before < 16 * MEGABYTE
            assert wait_until(lambda: open_connections(server) == 0, seconds=SOON)
        with Client(server.port) as client:
            client.send(get(b"/authz") * 1_000)
            assert [status_of(client.answer()) for _ in range(1_000)] == [401] * 1_000


# --- a client that does not read --------------------------------------------------------------------------------------

SIZES = (1 << 18, 1 << 20, 3 << 20, 5 << 20, 8 << 20)
"""Such that the end of the answer is with the system, with us, or with the upstream."""


def test_clients_that_do_not_read_are_cut(world: World) -> None:
    """All of them wait at the same time, since each takes its second."""
    assert wait_until(lambda: open_connections(world.server) == 0, seconds=SOON)
    with ExitStack() as stack:
        kept: dict[int, str] = {}
        for size in SIZES:
            body = bytes(size)
            chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, body)
            for coding, said in (("a length", answer(body)), ("chunks", chunked)):
                path = world.upstream.on(said)
                client = stack.enter_context(Client(world.server.port, buffer=4_096))
                kept[client.socket.getsockname()[1]] = f"{size >> 10} KiB, {coding}"
                client.send(get(path))
                assert wait_until(lambda path=path: bool(world.upstream.at(path)))  # type: ignore[misc]
        wait_until(lambda: open_connections(world.server) == 0, seconds=SOON)
        assert [kept[port] for port in peers(world.server)] == []


def test_a_slow_but_steady_reader_is_never_cut(world: World) -> None:
    size = 4 * MEGABYTE
    with Client(world.server.port, buffer=65_536) as client:
        client.send(get(world.upstream.on(answer(bytes(size)))))
        client.until(b"\r\n\r\n")
        got = 0
        for _ in range(35):
            time.sleep(GRACE / 10)
            got += len(client.exactly(65_536))
        assert got + len(client.exactly(size - got)) == size


@pytest.mark.parametrize("size", [3 << 20, 8 << 20], ids=["3 MiB", "8 MiB"])
def test_term_does_not_wait_for_a_client_that_does_not_read(tmp_path: Path, size: int) -> None:
    with world_of(tmp_path) as world, Client(world.server.port, buffer=4_096) as client:
        path = world.upstream.on(answer(bytes(size)))
        client.send(get(path))
        assert wait_until(lambda: bool(world.upstream.at(path)))
        world.server.process.send_signal(signal.SIGTERM)
        world.server.process.wait(SOON)
        assert "Traceback" not in world.server.printed()


# --- tunnels ----------------------------------------------------------------------------------------------------------

HANDSHAKE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def tunnel(wire: Wire, heard: Heard) -> None:
    """Switches, and sends back all that comes."""
    wire.send(SWITCHED)
    while data := wire.more():
        wire.send(data)
    raise EOFError


def test_a_tunnel_without_a_byte_is_closed_and_one_with_some_is_not(world: World) -> None:
    path = world.upstream.on(tunnel)
    with Client(world.server.port) as silent, Client(world.server.port) as busy:
        for client in (silent, busy):
            client.send(get(path, HANDSHAKE))
            assert status_of(client.until(b"\r\n\r\n")) == 101
        for _ in range(10):
            busy.send(b"ping")
            assert busy.exactly(4) == b"ping"
            time.sleep(0.3)
        silent.socket.settimeout(SOON)
        silent.rest()  # returns at the end only
        busy.send(b"ping")
        assert busy.exactly(4) == b"ping"


def test_term_does_not_wait_for_an_idle_tunnel(tmp_path: Path) -> None:
    with world_of(tmp_path) as world, Client(world.server.port) as client:
        client.send(get(world.upstream.on(tunnel), HANDSHAKE))
        assert status_of(client.until(b"\r\n\r\n")) == 101
        world.server.process.send_signal(signal.SIGTERM)
        world.server.process.wait(SOON)


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--max-connections", "--max-connections-per-address"])
def test_connections_beyond_the_bound_are_refused_and_counted(tmp_path: Path, option: str) -> None:
    admin = tmp_path / "admin"
    with world_of(tmp_path, option, "5", "--admin", f"unix:{admin}") as world, ExitStack() as stack:
        port = world.server.port
        kept = [stack.enter_context(Client(port)) for _ in range(5)]
        assert all(client.ask(get(b"/honest")).endswith(b"honest") for client in kept)
        with Client(port) as beyond:
            with suppress(OSError):
                beyond.send(get(b"/honest"))
            assert status_of(beyond.answer()) in (503, 429, 0)
            assert beyond.ended()
        assert len(world.upstream.at(b"/honest")) == 5
        assert all(client.ask(get(b"/honest")).endswith(b"honest") for client in kept)
        kept[0].close()
        assert wait_until(lambda: ask(port, get(b"/honest")).endswith(b"honest"))
        name = option.removeprefix("--max-").replace("-", "_")
        assert f'bound="{name}"' in metrics(admin)
    assert "connections" in world.server.printed(), "the log says that connections were refused"


def metrics(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(TIMEOUT)
        asked.connect(str(path))
        asked.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: asked.recv(65_536), b"")).decode()


def test_connections_of_a_trusted_proxy_are_not_counted_by_address(tmp_path: Path) -> None:
    with world_of(tmp_path, "--max-connections-per-address", "2", "--trusted-proxy", HOST) as world, ExitStack() as stack:
        kept = [stack.enter_context(Client(world.server.port)) for _ in range(10)]
        assert all(client.ask(get(b"/honest")).endswith(b"honest") for client in kept)
