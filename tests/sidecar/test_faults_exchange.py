"""One request is one request and one answer is one answer, whatever the client and the upstream put before, into and behind it."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sidecar.processes import ROOT, SECRET, sidecar
from tests.sidecar.scripted import (
    OK,
    TIMEOUT,
    Client,
    Heard,
    Wire,
    World,
    answer,
    ask,
    fields_of,
    get,
    post,
    scripted,
    status_of,
    wait_until,
)
from tests.support.servers import HOST, served

WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UUID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("exchange")
    log = folder / "access.log"
    with scripted() as upstream, sidecar(folder, f"http://{HOST}:{upstream.port}", "--access-log", str(log)) as server:
        yield World(upstream, server, log)
        assert "Traceback" not in server.printed()


# --- upgrades ---------------------------------------------------------------------------------------------------------

UPGRADES: dict[str, bytes] = {
    "h2c as Java's client asks for it": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
    "h2c in capitals": b"Connection: UPGRADE\r\nUpgrade: H2C\r\n",
    "h2c and websocket": b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
    "TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
    "websocket, unnamed in Connection": b"Upgrade: websocket\r\n",
    "HTTP/2.0": b"Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n",
}


@pytest.mark.parametrize("body", [None, b"", b"a=1&b=2", b"x" * 100_000], ids=["GET", "nothing", "a form", "100 KB"])
@pytest.mark.parametrize("fields", UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_that_we_do_not_make_leaves_a_plain_request(world: World, fields: bytes, body: bytes | None) -> None:
    path = world.upstream.on(OK)
    with Client(world.server.port) as client:
        for _ in range(2):  # what is behind it is the next request
            assert client.ask(get(path, fields) if body is None else post(path, body, fields)).endswith(b"ok")
    for heard in world.upstream.at(path):
        assert heard.body == (body or b"")
        for name in (b"upgrade", b"http2-settings", b"connection"):
            assert not fields_of(heard.head, name), heard.head


BROKEN_DENIALS: dict[str, bytes] = {
    "a length": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\npart",
    "chunks": b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    "half of a chunk": b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n40\r\npart",
    "a bad chunk": b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n",
}


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("said", BROKEN_DENIALS.values(), ids=BROKEN_DENIALS)
def test_a_denied_handshake_that_breaks_off_gets_no_second_head(world: World, said: bytes, end: str) -> None:
    taken = threading.Event()

    def script(wire: Wire, heard: Heard) -> None:
        wire.send(said)
        taken.wait(TIMEOUT)
        wire.reset() if end == "reset" else wire.close()
        raise EOFError

    with Client(world.server.port) as client:
        client.send(get(world.upstream.on(script), WEBSOCKET))
        if b"zz" in said:
            taken.set()
        head = client.until(b"\r\n\r\n")
        assert status_of(head) in ((403, 502) if b"zz" in said else (403,))
        taken.set()
        rest = client.rest()
    assert b"HTTP/1." not in rest
    if status_of(head) == 403:
        assert b"error" not in rest
        assert not rest.endswith(b"0\r\n\r\n"), "a broken body never looks whole"


# --- informational answers --------------------------------------------------------------------------------------------

BODIES_OF_1XX: dict[str, bytes] = {
    "103 with a length": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello",
    "103 in chunks": b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "100 with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
    "102 with a length": b"HTTP/1.1 102 Processing\r\nContent-Length: 40\r\n\r\n" + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n  ",
    "103 and a body that is announced by nothing": b"HTTP/1.1 103 Early Hints\r\n\r\nhello",
}


@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["in one packet", "in three"])
@pytest.mark.parametrize("informational", BODIES_OF_1XX.values(), ids=BODIES_OF_1XX)
def test_a_1xx_with_a_body_is_a_502_and_spills_into_no_answer(world: World, informational: bytes, pause: float) -> None:
    head, _, body = informational.partition(b"\r\n\r\n")

    def script(wire: Wire, heard: Heard) -> None:
        if pause:
            wire.send(head + b"\r\n\r\n", body or b" ", OK, pause=pause)
        else:
            wire.send(informational + OK)

    for request in (get(world.upstream.on(script)), post(world.upstream.on(script), b"abc")):
        with Client(world.server.port) as client:
            client.send(request.replace(b"Host:", b"Connection: close\r\nHost:"))
            said = client.rest()
        assert status_of(re.sub(rb"\AHTTP/1.1 1.*?\r\n\r\n", b"", said, flags=re.DOTALL)) == 502, said
        assert b"hello" not in said
    assert ask(world.server.port, get(b"/honest")).endswith(b"honest")


# --- pipelines --------------------------------------------------------------------------------------------------------

GARBAGE: dict[str, tuple[int, bytes]] = {
    "no request": (400, b"(this is not HTTP)\r\n\r\n"),
    "a bad field": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX A: 1\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "a length and a coding": (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "another coding": (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    "an unknown method": (501, b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a head that is too large": (431, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n"),
    "NUL": (400, b"\x00\x00\x00\x00"),
    "a TLS greeting": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


@pytest.mark.parametrize("packets", [1, 2])
@pytest.mark.parametrize(("status", "garbage"), GARBAGE.values(), ids=GARBAGE)
def test_the_refusal_of_a_pipelined_request_comes_behind_the_answer_to_the_one_before(
    world: World, status: int, garbage: bytes, packets: int
) -> None:
    opened, reached = threading.Event(), threading.Event()

    def script(wire: Wire, heard: Heard) -> bytes:
        reached.set()
        opened.wait(TIMEOUT)
        return answer(b"the first")

    path = world.upstream.on(script)
    with Client(world.server.port) as client:
        client.send(get(path) + (garbage if packets == 1 else b""))
        assert reached.wait(TIMEOUT)
        if packets == 2:
            client.send(garbage)
        opened.set()
        first = client.answer()
        assert first.endswith(b"the first"), first
        assert status_of(client.answer()) == status
        assert client.ended()


@pytest.mark.parametrize("size", [65_535, 65_537, 131_073, 300_000])
@pytest.mark.parametrize("coding", ["a length", "one chunk", "many chunks"])
def test_what_is_behind_a_large_upload_in_the_same_read_is_the_next_request(world: World, coding: str, size: int) -> None:
    path, body = world.upstream.on(OK), bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    if coding == "a length":
        upload = post(path, body)
    else:
        step = size if coding == "one chunk" else 1_000
        parts = [body[place : place + step] for place in range(0, size, step)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        upload = get(path, b"Transfer-Encoding: chunked\r\n", b"POST") + chunks + b"0\r\n\r\n"
    with Client(world.server.port) as client:
        client.send(upload + get(path) + upload + get(path))
        assert [client.answer()[-2:] for _ in range(4)] == [b"ok"] * 4
    assert [heard.body for heard in world.upstream.at(path)] == [body, b"", body, b""]


@pytest.mark.parametrize("size", [1_000, 500_000, 3_000_000])
def test_an_early_answer_arrives_although_the_upstream_closes_without_reading(world: World, size: int) -> None:
    """Its system answers the rest of the upload with a reset, and then our writing fails before we have read the answer."""

    def script(wire: Wire, heard: Heard) -> None:
        wire.send(answer(b"too large", status=b"413 Content Too Large"))
        raise EOFError

    path = world.upstream.on(script, reads_body=False)
    for _ in range(20):
        with Client(world.server.port) as client:
            with suppress(ConnectionError):
                client.send(post(path, bytes(size)))
            assert client.answer().endswith(b"too large")


def test_pipelined_requests_are_made_one_after_the_other(world: World) -> None:
    here, most = 0, 0
    lock = threading.Lock()

    def script(wire: Wire, heard: Heard) -> bytes:
        nonlocal here, most
        with lock:
            here += 1
            most = max(most, here)
        with lock:
            here -= 1
        return answer(heard.head.split(b" ", 2)[1].partition(b"?")[2])

    path = world.upstream.on(script)
    with Client(world.server.port) as client:
        client.send(b"".join(get(b"%b?%d" % (path, number)) for number in range(1_000)))
        answers = [client.answer().partition(b"\r\n\r\n")[2] for _ in range(1_000)]
    assert answers == [b"%d" % number for number in range(1_000)]
    assert most == 1


# --- small things -----------------------------------------------------------------------------------------------------

DATE = rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:\d\d GMT"
OWN_ANSWERS: dict[str, bytes] = {
    "400": b"GET / HTTP/1.1\r\n\r\n",
    "400 to what is no request": b"nothing\r\n\r\n",
    "401": get(b"/auth/sessions", method=b"DELETE"),
    "405": get(b"/", method=b"TRACE"),
    "501": get(b"/", method=b"BREW"),
    "431": get(b"/", b"X-A: %b\r\n" % (b"a" * 200_000)),
}


@pytest.mark.parametrize("request_", OWN_ANSWERS.values(), ids=OWN_ANSWERS)
def test_an_answer_of_ours_has_the_date(world: World, request_: bytes) -> None:
    said = ask(world.server.port, request_)
    (date,) = fields_of(said, b"date")
    assert re.fullmatch(DATE, date)
    assert status_of(said) >= 400
    assert set(json.loads(said.partition(b"\r\n\r\n")[2])["error"]) >= {"id", "code", "message"}


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"204 No Content", b"304 Not Modified"])
def test_an_answer_that_lacks_the_date_is_given_one_and_another_keeps_its_own(world: World, status: bytes) -> None:
    own = b"Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
    for fields, expected in ((b"", DATE), (own, re.escape(own[6:-2]))):
        said = b"HTTP/1.1 %b\r\n%b%b\r\n" % (status, fields, b"Content-Length: 0\r\n" if status < b"204" or status > b"304" else b"")
        (date,) = fields_of(ask(world.server.port, get(world.upstream.on(said))), b"date")
        assert re.fullmatch(expected, date)


def test_an_upstream_failure_has_the_date_and_the_id(world: World) -> None:
    def script(wire: Wire, heard: Heard) -> None:
        raise EOFError

    said = ask(world.server.port, post(world.upstream.on(script), b"abc", b"X-Request-Id: f00d-1\r\n"))
    assert status_of(said) == 502
    assert re.fullmatch(DATE, fields_of(said, b"date")[0])
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["request"] == "f00d-1"


METHODS_UNKNOWN = [b"BREW", b"FOO", b"SPACEJUMP", b"GETT", b"get", b"VERSION-CONTROL"]


@pytest.mark.parametrize("method", METHODS_UNKNOWN)
def test_a_method_that_is_not_known_is_a_501(world: World, method: bytes) -> None:
    path = world.upstream.on(OK)
    said = ask(world.server.port, get(path, method=method))
    assert status_of(said) == 501
    assert not world.upstream.at(path)
    assert wait_until(lambda: bool(world.logged('"status":501') or world.logged('"status": 501')))


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT"])
def test_trace_and_connect_are_refused(world: World, method: bytes) -> None:
    path = world.upstream.on(OK) if method == b"TRACE" else b"a.example:443"
    assert status_of(ask(world.server.port, get(path, method=method))) in (400, 405, 501)
    assert not world.upstream.at(path)


@pytest.mark.parametrize("method", [b"PROPFIND", b"REPORT", b"MKCOL", b"OPTIONS", b"PATCH", b"PURGE"])
def test_a_method_that_is_known_passes(world: World, method: bytes) -> None:
    path = world.upstream.on(OK)
    assert ask(world.server.port, get(path, method=method)).endswith(b"ok")
    assert [heard.method for heard in world.upstream.at(path)] == [method]


def test_http_1_0_without_a_host_is_given_one(world: World) -> None:
    path = world.upstream.on(OK)
    assert ask(world.server.port, b"GET %b HTTP/1.0\r\n\r\n" % path).endswith(b"ok")
    (heard,) = world.upstream.at(path)
    assert heard.field(b"host")


UNDERSCORES = [b"X_Foo", b"x_session_user", b"X-Session_User", b"_", b"a_", b"_a", b"Content_Length", b"Transfer_Encoding", b"Remote_User"]


def test_every_field_whose_name_has_an_underscore_is_dropped(world: World) -> None:
    path = world.upstream.on(OK)
    fields = b"".join(b"%b: smuggled\r\n" % name for name in UNDERSCORES)
    assert ask(world.server.port, get(path, fields + b"X-Kept: a_b\r\n")).endswith(b"ok")
    (heard,) = world.upstream.at(path)
    assert b"smuggled" not in heard.head
    assert heard.field(b"x-kept") == b"a_b"


CREDENTIALS = {"no credential": b"", "a token": b"X-Session-Token: %b\r\n" % (b"a" * 32), "a cookie": b"Cookie: a=b\r\n"}


@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.parametrize("given", [None, b"0af7651916cd43dd8448eb211c80319c"], ids=["none", "given"])
def test_each_request_has_an_id_on_its_way(world: World, given: bytes | None, credential: bytes) -> None:
    path = world.upstream.on(OK)
    fields = credential + (b"X-Request-Id: %b\r\n" % given if given else b"")
    for request in (get(path, fields), post(path, b"abc", fields)):
        ask(world.server.port, request)
    assert wait_until(lambda: len(world.logged(path.decode() + '"')) == 2)
    for heard, line in zip(world.upstream.at(path), world.logged(path.decode() + '"'), strict=True):
        number = heard.field(b"x-request-id") or b""
        assert re.fullmatch(UUID if given is None else given, number)
        assert line["id"] == number.decode()


def test_ipv4_is_never_spelled_as_ipv6(tmp_path: Path) -> None:
    """A listener on both families sees the addresses of IPv4 as ``::ffff:192.0.2.1``."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this system has no IPv6")
    log, secret = tmp_path / "access.log", tmp_path / "secret"
    secret.write_text(SECRET)
    with scripted() as upstream:
        arguments = [
            "serve", "--upstream", f"http://{HOST}:{upstream.port}", "--backend", "memory", "--workers", "1", "--drain-delay", "0",
            "--secret-file", str(secret), "--access-log", str(log), "--trusted-proxy", "127.0.0.0/8",
        ]  # fmt: skip
        command = [sys.executable, "-m", "sessionward", *arguments]
        with served(lambda port: [*command, "--listen", f"[::]:{port}"], log=tmp_path / "log", cwd=ROOT) as server:
            path = upstream.on(OK)
            ask(server.port, get(path))
            ask(server.port, get(path, b"X-Forwarded-For: ::ffff:192.0.2.1\r\n"))
            with Client(server.port, host="::1") as client:
                assert client.ask(get(path)).endswith(b"ok")
            assert [heard.field(b"x-forwarded-for") for heard in upstream.at(path)] == [b"127.0.0.1", b"192.0.2.1, 127.0.0.1", b"::1"]
            assert wait_until(lambda: len(log.read_text().splitlines()) == 3)
    assert "::ffff:" not in log.read_text()
