"""What the client of each real server sees when its stream is cut: the table in the manual says the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse, IncompleteRead
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import uuid4

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sessionward.backends.sql import SQLBackend
from tests.doors.servers import PATIENCE, Client, Server, request, running, signed_in
from tests.streams.site import EVENT, RECHECK

CUTS: Final = ("uvicorn h11", "uvicorn httptools", "hypercorn", "gunicorn gthread --threads 12", "waitress")
"""Servers that close the connection when the response stays unfinished."""
SOCKETS: Final = {"uvicorn h11": 1008, "uvicorn httptools": 1008, "hypercorn": 1008, "daphne": 4001}
"""The code with which each closes a WebSocket."""
SILENCE: Final = 1.0
"""Seconds without a byte after which a stream hangs: the application sends twenty times as often."""
MARGIN: Final = 5.0
"""Seconds more, for a machine that is busy."""


@contextmanager
def site_on(kind: str, folder: Path) -> Iterator[Server]:
    url = f"sqlite:///{folder}/sessions.db"
    backend = SQLBackend(url)
    backend.create_tables()
    backend.close()
    door = "asgi" if kind in SOCKETS else "wsgi"
    with running(kind, f"tests.streams.site:{door}", SESSIONWARD_TEST_DATABASE=url) as server:
        yield server


@pytest.fixture(scope="module", params=[*dict.fromkeys((*CUTS, *SOCKETS))])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "daphne" and find_spec("daphne") is None:  # not imported: its Autobahn is not that of test_conformance.py
        pytest.skip("daphne is needed: pip install daphne")
    with site_on(request.param, tmp_path_factory.mktemp("site")) as server:
        yield server


def people(server: Server) -> Sequence[Client]:
    """A caller, another device of the same user, and another user. The users are new."""
    ann, bob = f"ann-{uuid4()}", f"bob-{uuid4()}"
    return signed_in(server, ann, ann, bob)


class Stream:
    """A response that the client reads. ``version``: of HTTP, as the client speaks it."""

    def __init__(self, client: Client, path: str, version: str = "1.1") -> None:
        self.connection = client.server.connect()
        head = request("GET", path, ("Cookie", client.cookie)).replace(b"HTTP/1.1", b"HTTP/" + version.encode())
        self.connection.sendall(head)
        self.response = HTTPResponse(self.connection, method="GET")
        self.response.begin()
        assert self.response.status == 200
        assert self.response.read1(len(EVENT)) == EVENT

    def goes_on(self) -> bool:
        self.connection.settimeout(PATIENCE)
        return self.response.read1(len(EVENT)) == EVENT

    def end(self) -> str:
        """How it ends: broken, clean, or not at all, although nothing comes."""
        self.connection.settimeout(SILENCE)
        try:
            while self.response.read1(65_536):
                pass
        except (IncompleteRead, ConnectionError):
            return "broken"
        except TimeoutError:
            return "hangs"
        return "broken" if self.response.length else "clean"

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@pytest.mark.parametrize("path", ["/events", "/download"])
def test_the_streams_of_the_other_session_end_with_an_error_and_no_other(server: Server, path: str) -> None:
    own, other, bob = people(server)
    streams = [Stream(client, path) for client in (own, other, bob)]
    assert own.press().json() == {"count": 1}
    began = monotonic()
    assert streams[1].end() == ("hangs" if server.kind == "daphne" else "broken")
    assert monotonic() - began < 2 * RECHECK + SILENCE + MARGIN
    for _ in range(int(3 * RECHECK / 0.05)):
        assert streams[0].goes_on()
        assert streams[2].goes_on()
    for stream in streams:
        stream.close()


def test_an_http_1_0_client_cannot_tell_the_end(server: Server) -> None:
    """Nothing but a reset could tell it, which no server offers to an application; the sidecar resets."""
    own, other, _ = people(server)
    stream = Stream(other, "/events", "1.0")
    assert own.press().json() == {"count": 1}
    expected = {"daphne": "hangs", "uvicorn httptools": "broken"}  # which sends chunks to such a client too
    assert stream.end() == expected.get(server.kind, "clean")
    stream.close()


def test_the_websockets_of_the_other_session_are_closed_and_no_other(server: Server) -> None:
    if server.kind not in SOCKETS:
        pytest.skip("a WSGI server has no WebSockets")
    clients = people(server)
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(connect(f"ws://127.0.0.1:{server.port}/socket", additional_headers=[("Cookie", client.cookie)], proxy=None))
            for client in clients
        ]
        assert clients[0].press().json() == {"count": 1}
        began = monotonic()
        with pytest.raises(ConnectionClosed) as closed:
            sockets[1].recv(PATIENCE)
        assert monotonic() - began < RECHECK + 2 * MARGIN
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == SOCKETS[server.kind]
        for stays in (sockets[0], sockets[2]):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    stays.recv(RECHECK)
            stays.send("hello")
            assert stays.recv(PATIENCE) == "hello"


def test_over_http_2_hypercorn_sends_nothing_more_and_cannot_tell_the_client(tmp_path: Path) -> None:
    with site_on("hypercorn", tmp_path) as server:
        own, other, _ = people(server)
        address, timeout = f"http://127.0.0.1:{server.port}", httpx2.Timeout(PATIENCE, read=SILENCE)
        with (
            httpx2.Client(http1=False, http2=True, base_url=address, timeout=timeout) as http2,
            http2.stream("GET", "/events", headers={"Cookie": other.cookie}) as cut,
        ):
            assert cut.http_version == "HTTP/2"
            assert own.press().json() == {"count": 1}
            with pytest.raises(httpx2.ReadTimeout):
                deque(cut.iter_raw(), maxlen=0)


def test_a_worker_serves_on_after_many_cuts(server: Server) -> None:
    for _ in range(3):
        own, other, _ = people(server)
        stream = Stream(other, "/download")
        assert own.press().json() == {"count": 1}
        stream.end()
        stream.close()
        assert other.me() == "nobody"
        assert own.me().startswith("ann")
