"""The session API behind real servers: what HEAD sends, and that the path is the one that the client wrote."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sessionward.backends.sql import SQLBackend
from tests.doors.servers import ASGI_SERVERS, PATIENCE, WSGI_SERVERS, running
from tests.doors.sides import SESSIONS
from tests.sidecar.processes import shop, sidecar
from tests.support.sessions import started


@dataclass
class Site:
    port: int
    token: str

    def sent(self, method: str, path: str, *fields: str) -> tuple[bytes, bytes]:
        """The head and the body of the answer, as they are on the wire."""
        lines = [f"{method} {SESSIONS}{path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *fields, "", ""]
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall("\r\n".join(lines).encode())
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return head.lower(), body


@pytest.fixture(scope="module", params=[*ASGI_SERVERS, *WSGI_SERVERS, "sidecar"], ids=lambda kind: kind.partition(" --")[0])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("api")
    backend = SQLBackend(f"sqlite:///{folder}/sessions.db")
    backend.create_tables()
    token = started(backend, "ada")[1]
    backend.close()
    if request.param == "sidecar":
        with shop() as upstream, sidecar(folder, upstream.url, "--api") as proxy:
            yield Site(proxy.port, token)
        return
    door = "asgi" if request.param in ASGI_SERVERS else "wsgi"
    with running(request.param, f"tests.api.site:{door}", SESSIONWARD_TEST_DATABASE=f"sqlite:///{folder}/sessions.db") as server:
        yield Site(server.port, token)


def length_in(head: bytes) -> int:
    return int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])


@pytest.mark.parametrize("path", ["", "/whoami", "/openapi.json", "/nonsense"])
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "anonymous"])
def test_head_has_the_length_of_the_body_and_no_body(site: Site, path: str, signed_in: bool) -> None:
    fields = [f"X-Session-Token: {site.token}"] if signed_in else []
    fields += ["X-Request-Id: r"]
    get, head = site.sent("GET", path, *fields), site.sent("HEAD", path, *fields)
    assert head[0].split(b" ")[1] == get[0].split(b" ")[1]
    assert head[1] == b""
    assert get[1].startswith((b"{", b"["))
    assert length_in(head[0]) == length_in(get[0]) == len(get[1])


def test_the_204_of_a_revoked_session_has_no_body_and_no_length(site: Site) -> None:
    head, body = site.sent("DELETE", "/00000000-0000-4000-8000-000000000000", f"X-Session-Token: {site.token}")
    assert head.split(b" ")[1] == b"204"
    assert body == b""
    assert b"\r\ncontent-type:" not in head
