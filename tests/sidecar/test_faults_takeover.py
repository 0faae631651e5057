"""What an upstream sends behind an answer never becomes the answer to another request, and nobody signs in by it."""

from __future__ import annotations

import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sidecar.processes import ROOT, sidecar
from tests.sidecar.scripted import OK, Client, Heard, Upstream, Wire, answer, ask, get, post, scripted, status_of, wait_until
from tests.support.servers import HOST, Server, served

EVIL = b"HTTP/1.1 200 OK\r\nSession-Login: admin\r\nX-Evil: yes\r\nContent-Length: 4\r\n\r\nevil"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
ROUNDS = 12


@dataclass(frozen=True, slots=True)
class World:
    upstream: Upstream
    server: Server


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with scripted() as upstream, sidecar(tmp_path_factory.mktemp("takeover"), f"http://{HOST}:{upstream.port}") as server:
        yield World(upstream, server)
        assert "Traceback" not in server.printed()


# --- bytes behind an answer -------------------------------------------------------------------------------------------

FIRST: dict[str, tuple[bytes, bytes]] = {
    "HEAD with a length": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(EVIL)),
    "HEAD in chunks": (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "HEAD with neither": (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
    "HEAD that is not found": (b"HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(EVIL)),
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "204 with a length": (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(EVIL)),
    "204 to DELETE": (b"DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304": (b"GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "304 with a length": (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: %d\r\n\r\n" % len(EVIL)),
    "304 in chunks": (b"GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "a length": (b"GET", OK),
    "a length of zero": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "chunks": (b"GET", CHUNKS),
    "205": (b"GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
}
NEVER_HAS_A_BODY = [kind for kind in FIRST if kind.startswith(("HEAD", "204", "304"))]


def said_at_once(first: bytes) -> Callable[[Wire, Heard], bytes]:
    return lambda wire, heard: first + EVIL


def said_before_the_next(first: bytes, told: threading.Event) -> Callable[[Wire, Heard], None]:
    def script(wire: Wire, heard: Heard) -> None:
        wire.send(first)
        time.sleep(0.005)  # the answer alone has reached the client
        wire.send(EVIL)
        told.set()

    return script


def said_after_the_next(first: bytes) -> Callable[[Wire, Heard], None]:
    """Waits until the next request has been written to this connection, or its end."""

    def script(wire: Wire, heard: Heard) -> None:
        wire.send(first)
        select.select([wire.socket], [], [], 2.0)
        wire.send(EVIL)

    return script


def asked_by_others(world: World, path: bytes, method: bytes, first: bytes, told: threading.Event | None = None) -> None:
    """One client gets the answer with more behind it; the next requests of it and of another client get their own."""
    with Client(world.server.port) as attacker, Client(world.server.port) as victim:
        assert victim.ask(get(b"/honest")).endswith(b"honest")  # a connection to the upstream is at hand
        for _ in range(ROUNDS):
            if told is not None:
                told.clear()
            attacker.send(get(path, method=method))
            head = attacker.answer(method)
            assert status_of(head) in (status_of(first), 502)
            if told is not None:
                assert told.wait(10)
            for client in (victim, attacker):
                said = client.ask(get(b"/honest"))
                if said == b"<cut>":  # this client may lose its connection; the next one begins anew
                    assert client is attacker
                    return
                assert said.endswith(b"\r\n\r\nhonest"), said
                assert b"X-Evil" not in said


@pytest.mark.parametrize(("method", "first"), FIRST.values(), ids=FIRST)
def test_bytes_in_the_packet_of_an_answer_reach_no_other_request(world: World, method: bytes, first: bytes) -> None:
    asked_by_others(world, world.upstream.on(said_at_once(first)), method, first)


@pytest.mark.parametrize(("method", "first"), FIRST.values(), ids=FIRST)
def test_bytes_that_come_late_but_before_the_next_request_reach_no_other_request(world: World, method: bytes, first: bytes) -> None:
    told = threading.Event()
    asked_by_others(world, world.upstream.on(said_before_the_next(first, told)), method, first, told)


@pytest.mark.parametrize("kind", NEVER_HAS_A_BODY)
def test_an_answer_that_can_have_no_body_never_frees_its_connection(world: World, kind: str) -> None:
    method, first = FIRST[kind]
    path = world.upstream.on(said_after_the_next(first))
    asked_by_others(world, path, method, first)
    last = {heard.wire: heard for heard in world.upstream.heard}
    assert all(last[heard.wire] is heard for heard in world.upstream.at(path)), "another request has come on its connection"


# --- both at the same moment ------------------------------------------------------------------------------------------


@contextmanager
def stopped(world: World) -> Iterator[None]:
    """What happens in the block is all there when the sidecar looks again."""
    world.server.process.send_signal(signal.SIGSTOP)
    status = Path(f"/proc/{world.server.process.pid}/stat")
    assert wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
    try:
        yield
    finally:
        world.server.process.send_signal(signal.SIGCONT)


def idle_wire(world: World, client: Client) -> Wire:
    """The connection that the next request would go out on."""
    path = world.upstream.on(OK)
    assert client.ask(get(path)).endswith(b"ok")
    (heard,) = world.upstream.at(path)
    return world.upstream.wires[heard.wire - 1]


LAST_WORDS: dict[str, Callable[[Wire], None]] = {
    "an answer": lambda wire: wire.send(EVIL),
    "one byte": lambda wire: wire.send(b"\n"),
    "a timeout of its own": lambda wire: wire.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nX-Evil: yes\r\n\r\nlate"),
    "an end": lambda wire: wire.close(),
    "a reset": lambda wire: wire.reset(),
    "an answer and an end": lambda wire: wire.close(EVIL),
}
REQUESTS = {"GET": get(b"/honest"), "POST": post(b"/honest", b"abc"), "PATCH": post(b"/honest", b"abc", method=b"PATCH")}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("say", LAST_WORDS.values(), ids=LAST_WORDS)
def test_a_request_never_goes_out_on_a_connection_that_has_something_to_read(
    world: World, say: Callable[[Wire], None], request_: bytes
) -> None:
    """The request is read first, and what the upstream has said or done is there already."""
    with Client(world.server.port) as client:
        for _ in range(3):
            wire = idle_wire(world, client)
            with stopped(world):
                client.send(request_)
                say(wire)
            said = client.answer()
            assert said.endswith(b"honest"), said
            assert b"X-Evil" not in said


# --- the other connections that are never free ------------------------------------------------------------------------


def wires_of_the_next(world: World, count: int = 3) -> set[int]:
    """The connections on which later requests of other clients arrive."""
    before = len(world.upstream.at(b"/honest"))
    for _ in range(count):
        assert ask(world.server.port, get(b"/honest")).endswith(b"honest")
    return {heard.wire for heard in world.upstream.at(b"/honest")[before:]}


@pytest.mark.parametrize("coding", ["a length", "chunks"])
def test_an_early_answer_to_an_unfinished_upload_never_frees_its_connection(world: World, coding: str) -> None:
    """What the upstream would read next is the rest of a body, so a request of another client would become a part of it."""
    path = world.upstream.on(answer(b"too large", status=b"413 Content Too Large"), reads_body=False)
    fields = b"Content-Length: 1000\r\n" if coding == "a length" else b"Transfer-Encoding: chunked\r\n"
    with Client(world.server.port) as client:
        client.send(get(path, fields, b"POST") + (b"abc" if coding == "a length" else b"3\r\nabc\r\n"))
        assert client.answer().endswith(b"too large")
        (heard,) = world.upstream.at(path)
        assert heard.wire not in wires_of_the_next(world)
        client.send(EVIL)
        assert heard.wire not in wires_of_the_next(world)


@pytest.mark.parametrize("scheme", [b"NTLM TlRMTVNTUAAB", b"Negotiate YII", b"negotiate YII", b"ntlm TlRMTVNTUAAB"])
@pytest.mark.parametrize("said_by", ["the client", "the upstream"])
def test_a_connection_that_is_signed_in_by_itself_serves_no_other_client(world: World, scheme: bytes, said_by: str) -> None:
    """NTLM and Negotiate sign in a connection, not a request."""
    challenge = b"WWW-Authenticate: Basic realm=a\r\nWWW-Authenticate: " + scheme + b"\r\n"
    said = answer(b"ok", b"" if said_by == "the client" else challenge, b"200 OK" if said_by == "the client" else b"401 Unauthorized")
    path = world.upstream.on(said)
    with Client(world.server.port) as client:
        client.ask(get(path, b"Authorization: " + scheme + b"\r\n" if said_by == "the client" else b""))
        (heard,) = world.upstream.at(path)
        assert heard.wire not in wires_of_the_next(world)


def test_a_connection_of_an_answer_that_closes_is_not_used_again(world: World) -> None:
    for fields in (b"Connection: close\r\n", b"Connection: Close, X-A\r\n", b"connection: keep-alive, close\r\n"):
        path = world.upstream.on(answer(b"ok", fields))
        assert ask(world.server.port, get(path)).endswith(b"ok")
        (heard,) = world.upstream.at(path)
        assert heard.wire not in wires_of_the_next(world)
    path = world.upstream.on(OK.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert ask(world.server.port, get(path)).endswith(b"ok")
    (heard,) = world.upstream.at(path)
    assert heard.wire not in wires_of_the_next(world)


def test_a_connection_of_a_whole_answer_is_used_again(world: World) -> None:
    """The claims above would hold where no connection is ever used again."""
    path = world.upstream.on(OK)
    with Client(world.server.port) as client:
        assert all(client.ask(get(path)).endswith(b"ok") for _ in range(20))
    assert len({heard.wire for heard in world.upstream.at(path)}) == 1


# --- servers that send the body of a HEAD -----------------------------------------------------------------------------

SERVERS: dict[str, Callable[[int], Sequence[str]]] = {
    "waitress": lambda port: ["-m", "waitress", "--listen", f"{HOST}:{port}", "tests.sidecar.stacks.uploads:app"],
    "cheroot": lambda port: ["-m", "cheroot", "--bind", f"{HOST}:{port}", "tests.sidecar.stacks.uploads:app"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVERS)
def test_an_upload_that_looks_like_an_answer_signs_nobody_in(tmp_path: Path, name: str) -> None:
    """Django's class-based views answer HEAD as GET, and these servers send the body: a stored upload of an attacker."""

    def command(port: int) -> Sequence[str]:
        return [sys.executable, *SERVERS[name](port)]

    three = (
        get(b"/page"),
        get(b"/upload", method=b"HEAD"),
        get(b"/page", b"X-Session-Token-Request: 1\r\n"),
    )
    with (
        served(command, log=tmp_path / "app.log", cwd=ROOT, env={"PYTHONPATH": str(ROOT)}) as app,
        sidecar(tmp_path, app.url, "--login-path", "/login") as server,
    ):
        for _ in range(100):
            with Client(server.port) as attacker:
                attacker.send(b"".join(three))
                said = [attacker.answer(request.split(b" ", 1)[0]) for request in three]
            assert said[0].endswith(b"honest")
            assert status_of(said[1]) == 200
            assert said[2].endswith(b"honest"), said
            assert b"x-session-token" not in said[2].lower()
            assert ask(server.port, get(b"/page")).endswith(b"honest")
