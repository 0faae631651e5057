"""A peer that has to say for whom it connects (PROXY protocol) is believed at the begin of its connection, and nobody else is."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.sidecar.processes import sidecar
from tests.sidecar.scripted import OK, Client, World, get, scripted, status_of, wait_until
from tests.support.servers import HOST

V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2 = SIGNATURE + b"\x21\x11\x00\x0c" + socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 40_000, 443)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("proxied")
    log = folder / "access.log"
    arguments = (
        "--proxy-protocol",
        HOST,
        "--head-timeout",
        "1",
        "--idle-timeout",
        "2",
        "--max-connections-per-address",
        "3",
        "--access-log",
        str(log),
    )
    with scripted() as upstream, sidecar(folder, f"http://{HOST}:{upstream.port}", *arguments) as server:
        yield World(upstream, server, log)
        assert "Traceback" not in server.printed()


@pytest.mark.parametrize("cut", [0, 1, 12, 20])
@pytest.mark.parametrize("header", [V1, V2], ids=["version 1", "version 2"])
def test_the_client_is_the_one_that_the_peer_names(world: World, header: bytes, cut: int) -> None:
    path = world.upstream.on(OK)
    data = header + get(path)
    with Client(world.server.port) as client:
        client.send(*((data[:cut], data[cut:]) if cut else (data,)), pause=0.02)
        assert client.answer().endswith(b"ok")
        assert client.ask(get(path, b"X-Forwarded-For: 198.51.100.1\r\n")).endswith(b"ok")
    assert [heard.field(b"x-forwarded-for") for heard in world.upstream.at(path)] == [b"203.0.113.7"] * 2
    assert wait_until(lambda: len(world.logged(path.decode() + '"')) == 2)
    assert {line["client"] for line in world.logged(path.decode() + '"')} == {"203.0.113.7"}


WITHOUT: dict[str, Sequence[bytes]] = {
    "a request": [get(b"/secret")],
    "half a header": [V1[:-2] + b" \r\n", get(b"/secret")],
    "a header of another version": [V1.replace(b"PROXY", b"PROXY3"), get(b"/secret")],
    "a name in place of an address": [V1.replace(b"203.0.113.7", b"evil.example"), get(b"/secret")],
    "two headers": [V1 + V1, get(b"/secret")],
    "a signature that goes on as a request": [SIGNATURE + get(b"/secret")],
    "a long header": [b"PROXY TCP4 " + b"1" * 300 + b"\r\n", get(b"/secret")],
}


@pytest.mark.parametrize("parts", WITHOUT.values(), ids=WITHOUT)
def test_without_its_header_no_request_of_that_peer_is_served(world: World, parts: Sequence[bytes]) -> None:
    with Client(world.server.port) as client, suppress(ConnectionError):
        client.send(*parts, pause=0.01)
        assert status_of(client.rest()) in (0, 400, 501)
    assert not world.upstream.at(b"/secret")


def test_a_header_that_does_not_come_is_not_waited_for(world: World) -> None:
    for begin in (b"", V1[:10], V2[:10]):
        with Client(world.server.port) as client:
            client.send(begin)
            client.rest()


def test_a_header_later_in_a_connection_is_no_header(world: World) -> None:
    with Client(world.server.port) as client:
        client.send(V1)
        assert client.ask(get(b"/honest")).endswith(b"honest")
        client.send(V1.replace(b"203", b"198") + get(b"/secret"))
        assert status_of(client.answer()) in (400, 501)
    assert not world.upstream.at(b"/secret")


def test_connections_are_counted_by_the_address_that_the_peer_names(world: World) -> None:
    with ExitStack() as stack:
        for number in range(4):
            header = V1.replace(b"203.0.113.7", b"203.0.113.%d" % (100 + number))
            for _ in range(3):
                client = stack.enter_context(Client(world.server.port))
                client.send(header)
                assert client.ask(get(b"/honest")).endswith(b"honest")
        beyond = stack.enter_context(Client(world.server.port))
        with suppress(ConnectionError):
            beyond.send(V1.replace(b"203.0.113.7", b"203.0.113.100") + get(b"/secret"))
            assert status_of(beyond.rest()) in (0, 429, 503)
    assert not world.upstream.at(b"/secret")


def test_a_peer_that_is_not_listed_cannot_say_for_whom_it_connects(tmp_path: Path) -> None:
    with scripted() as upstream, sidecar(tmp_path, f"http://{HOST}:{upstream.port}", "--proxy-protocol", "192.0.2.99") as server:
        for header in (V1, V2):
            with Client(server.port) as client, suppress(ConnectionError):
                client.send(header + get(b"/secret"))
                assert status_of(client.rest()) in (400, 501)
        with Client(server.port) as client:
            assert client.ask(get(b"/honest")).endswith(b"honest")
        assert not upstream.at(b"/secret")
