"""Real proxies before an application that accepts h2c: no request reaches it past the check, in whichever way a client speaks HTTP/2."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

from sessionward.backends.sql import SQLBackend
from tests.sidecar.engines import ROOT, App, Engine, engine
from tests.sidecar.town import WAIT, WEBSOCKET, Town
from tests.support.servers import Server, served

SETTINGS = b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
SPOOFED = "admin"
Pairs = Sequence[tuple[str, str]]


@pytest.fixture(scope="module")
def h2c(folder: Path) -> Iterator[Server]:
    """Hypercorn with an application that prints the user of each request."""
    command = [sys.executable, "-m", "hypercorn", "tests.sidecar.engine_apps.h2c:app", "--bind"]
    with served(lambda port: [*command, f"127.0.0.1:{port}"], log=folder / "h2c.log", cwd=ROOT) as server:
        yield server


@pytest.fixture(scope="module", params=["required", "optional"])
def tunnelled(
    request: pytest.FixtureRequest, chosen: Engine, service: int, h2c: Server, app: App, folder: Path, backend: SQLBackend
) -> Iterator[Town]:
    """The engine before that application, where a session is required, and where an anonymous user passes too."""

    def optional(text: str) -> str:
        return text.replace("/authz/", "/authz/optional/") if request.param == "optional" else text

    place = folder / f"{chosen}-h2c-{request.param}".replace(" ", "-")
    with engine(chosen, place, authz=service, app=h2c.port, change=optional) as server:
        yield Town(server.port, app, folder, backend, chosen.kind)


UPGRADES: dict[str, Sequence[bytes]] = {
    "h2c": (b"Upgrade: h2c",),
    "upper case": (b"Upgrade: H2C",),
    "after websocket": (b"Upgrade: websocket, h2c",),
    "before websocket": (b"Upgrade: h2c, websocket",),
    "a second field": (*WEBSOCKET, b"Upgrade: h2c"),
    "a first field": (b"Upgrade: h2c", *WEBSOCKET),
    "with a version": (b"Upgrade: h2c/2",),
}


def h2_connection() -> h2.connection.H2Connection:
    return h2.connection.H2Connection(config=h2.config.H2Configuration(client_side=True, header_encoding="latin-1"))


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_to_h2c_never_reaches_the_application(tunnelled: Town, h2c: Server, upgrade: Sequence[bytes]) -> None:
    seen = len(h2c.printed())
    fields = [b"Cookie: " + tunnelled.login("ann"), *upgrade, b"Connection: Upgrade, HTTP2-Settings", SETTINGS]
    with socket.create_connection(("127.0.0.1", tunnelled.port), timeout=WAIT) as connection:
        connection.sendall(b"\r\n".join([b"GET /first HTTP/1.1", b"Host: app.example", *fields, b"", b""]))
        head = connection.recv(65_536)
        assert head
        assert b" 101 " not in head.partition(b"\r\n")[0]
        h2_client = h2_connection()
        h2_client.initiate_upgrade_connection()
        h2_client.send_headers(3, request_for("/second"), end_stream=True)
        with suppress(OSError):  # an engine that refuses the upgrade may have closed already
            connection.sendall(h2_client.data_to_send())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
    printed = h2c.printed()[seen:]
    assert SPOOFED not in printed
    assert "HTTP/2" not in printed
    if head.startswith(b"HTTP/1.1 200"):
        assert "HTTP/1.1 http /first for ['ann']" in printed


def request_for(path: str, *fields: tuple[str, str]) -> Pairs:
    return [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "app.example"), *fields, ("x-session-user", SPOOFED)]


def test_a_client_that_begins_with_http_2_is_checked_like_any_other(switched: Town) -> None:
    """Envoy and Caddy 2.11 accept HTTP/2 on a port without TLS, and so does HAProxy by default."""
    seen = len(switched.app.heads)
    preflight = [(":method", "OPTIONS"), *request_for("/preflight", ("origin", "a"), ("access-control-request-method", "PUT"))[1:]]
    client = h2_connection()
    client.initiate_connection()
    client.send_headers(1, request_for("/alone"), end_stream=True)
    client.send_headers(3, request_for("/with-a-trailer", ("cookie", switched.login("ann").decode())))
    client.send_data(3, b"x")
    client.send_headers(3, [("x-session-user", SPOOFED)], end_stream=True)
    client.send_headers(5, preflight)
    client.send_data(5, b"hello", end_stream=True)
    with socket.create_connection(("127.0.0.1", switched.port), timeout=WAIT) as connection:
        connection.sendall(client.data_to_send())
        statuses = answers(connection, client, 3)
    arrived = b"".join(switched.app.heads[seen:])
    assert SPOOFED.encode() not in arrived
    assert b"hello" not in arrived
    if statuses:
        assert switched.kind in ("caddy", "envoy")
        assert statuses in [{1: "401", 3: "200", 5: last} for last in ("401", "413")]


def answers(connection: socket.socket, client: h2.connection.H2Connection, number: int) -> dict[int, str]:
    """Returns the statuses of so many streams, or none if the engine does not speak HTTP/2."""
    statuses: dict[int, str] = {}
    ended = 0
    while ended < number and (data := _received(connection)):
        try:
            events = client.receive_data(data)
        except h2.exceptions.ProtocolError:
            return {}
        for event in events:
            if isinstance(event, h2.events.ResponseReceived):
                statuses[event.stream_id] = next(
                    str(value, "ascii") if isinstance(value, bytes) else value
                    for name, value in event.headers
                    if name in (":status", b":status")
                )
            ended += isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset))
            if isinstance(event, h2.events.ConnectionTerminated):
                return statuses
        connection.sendall(client.data_to_send())
    return statuses


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""
