"""What a client may send to the listener: it is refused, or goes on as one request in one spelling, however it is cut up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import h11
import pytest

from sessionward.sidecar.client.limits import Limits
from tests.sidecar.stage import OK, Stage, answering, read_answer, staged

HOST = b"Host: app.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def get(fields: bytes = b"", target: bytes = b"/", version: bytes = b"HTTP/1.1", method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" " + version + b"\r\n" + HOST + fields + b"\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return get(fields, method=b"POST") + body


REFUSED: dict[str, tuple[int, bytes]] = {
    # two lengths, or none that can be relied on
    "a length and a coding": (400, post(b"Content-Length: 3\r\n" + CHUNKED, b"0\r\n\r\n")),
    "a coding and a length": (400, post(CHUNKED + b"Content-Length: 3\r\n", b"0\r\n\r\n")),
    "two lengths": (400, post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd")),
    "two equal lengths": (400, post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc")),
    "a list of lengths": (400, post(b"Content-Length: 3, 3\r\n", b"abc")),
    "a signed length": (400, post(b"Content-Length: +3\r\n", b"abc")),
    "a negative length": (400, post(b"Content-Length: -3\r\n", b"abc")),
    "a length in hexadecimal": (400, post(b"Content-Length: 0x3\r\n", b"abc")),
    "an empty length": (400, post(b"Content-Length: \r\n", b"abc")),
    "a length with an underscore": (400, post(b"Content-Length: 1_0\r\n", b"abcdefghij")),
    "a length with zeros without end": (400, post(b"Content-Length: " + b"0" * 4_301 + b"\r\n")),
    "an enormous length": (400, post(b"Content-Length: 99999999999999999999999\r\n")),
    # codings
    "gzip, chunked": (501, post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n")),
    "chunked twice": (400, post(CHUNKED + CHUNKED, b"0\r\n\r\n")),
    "chunked, chunked": (400, post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n")),
    "chunked, identity": (400, post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n")),
    "identity": (501, post(b"Transfer-Encoding: identity\r\n")),
    "a coding in quotes": (501, post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n")),
    "xchunked": (501, post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n")),
    "a coding behind a vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n")),
    "a blank before the colon of a coding": (400, post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n")),
    "a coding for HTTP/1.0": (400, get(CHUNKED, version=b"HTTP/1.0", method=b"POST") + b"0\r\n\r\n"),
    # fields
    "a blank before the colon": (400, get(b"X-A : 1\r\n")),
    "a blank in the name": (400, get(b"X A: 1\r\n")),
    "an empty name": (400, get(b": 1\r\n")),
    "no colon": (400, get(b"X-A\r\n")),
    "a folded field": (400, get(b"X-A: 1\r\n 2\r\n")),
    "a folded first field": (400, b"GET / HTTP/1.1\r\n X: 1\r\n" + HOST + b"\r\n"),
    "a bare line feed between fields": (400, b"GET / HTTP/1.1\r\nX-A: 1\n" + HOST + b"\r\n"),
    "a bare line feed at the end": (400, b"GET / HTTP/1.1\r\n" + HOST + b"\n"),
    "a bare carriage return in a value": (400, get(b"X-A: 1\r2\r\n")),
    "NUL in a value": (400, get(b"X-A: 1\x002\r\n")),
    "NUL in a name": (400, get(b"X\x00A: 1\r\n")),
    "a control character in a value": (400, get(b"X-A: \x01\r\n")),
    "a name that is not ASCII": (400, get(b"X-\xe9: 1\r\n")),
    # Host
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, get(b"Host: other.example\r\n")),
    "two equal Hosts": (400, get(HOST)),
    "a Host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "a Host with a user": (400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    "a Host with a blank": (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "a Host with a comma": (400, b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    "a Host with two ports": (400, b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    # the request line
    "HTTP/0.9": (505, b"GET /\r\n\r\n"),
    "HTTP/0.9 with a target that ends like a version": (505, b"GET /1.1\r\nhost: a\r\n\r\n"),
    "HTTP/0.9 for our route": (505, b"DELETE /auth/sessions?HTTP/1.1\r\nhost: a\r\n\r\n"),
    "RTSP": (505, b"OPTIONS / RTSP/1.1\r\nHost: app.example\r\n\r\n"),
    "ICE": (505, b"SOURCE / ICE/1.1\r\nHost: app.example\r\n\r\n"),
    "HTTP/2.0": (505, get(version=b"HTTP/2.0")),
    "HTTP/1.2": (400, get(version=b"HTTP/1.2")),
    "http/1.1": (400, get(version=b"http/1.1")),
    "no version": (400, b"GET / \r\n" + HOST + b"\r\n"),
    "a tab": (400, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a method in small letters": (501, get(method=b"get")),
    "an unknown method": (501, get(method=b"FOO")),
    "CONNECT": (405, b"CONNECT app.example:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TRACE": (405, get(method=b"TRACE")),
    "a fragment": (400, get(target=b"/a#b")),
    "a blank in the target": (400, get(target=b"/a b")),
    "a target that is not ASCII": (400, get(target=b"/\xc3\xa9")),
    "a NUL in the target": (400, get(target=b"/\x00")),
    "a target without a slash": (400, get(target=b"a")),
    "an asterisk for GET": (400, get(target=b"*")),
    "another scheme": (400, get(target=b"ftp://app.example/")),
    "an absolute target without a host": (400, get(target=b"http:///a")),
    "an absolute target with a user": (400, get(target=b"http://u@app.example/")),
    "a target of 9 000 bytes": (414, get(target=b"/" + b"a" * 9_000)),
    # too much
    "a field of 70 000 bytes": (431, get(b"X-A: " + b"a" * 70_000 + b"\r\n")),
    "200 fields": (431, get(b"".join(b"X-%d: 1\r\n" % number for number in range(200)))),
    "a head without an end": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 140_000),
    # expectations
    "an expectation that nobody knows": (417, post(b"Expect: 200-ok\r\nContent-Length: 1\r\n", b"a")),
    # bytes that are none of HTTP
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "HTTP/2 with prior knowledge": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
}

BODIES: dict[str, bytes] = {
    "a chunk size in nonsense": b"zz\r\nabc\r\n0\r\n\r\n",
    "a negative chunk size": b"-1\r\nabc\r\n0\r\n\r\n",
    "a chunk size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a blank in front": b" 3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a blank behind": b"3 \r\nabc\r\n0\r\n\r\n",
    "a chunk size that overflows": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a bare line feed behind the size": b"3\nabc\r\n0\r\n\r\n",
    "a bare line feed behind the chunk": b"3\r\nabc\n0\r\n\r\n",
    "a chunk that is longer than it says": b"3\r\nabcd\r\n0\r\n\r\n",
    "a chunk that is shorter than it says": b"3\r\nab\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "a bare line feed at the end": b"3\r\nabc\r\n0\r\n\n",
}
"""Chunked bodies that do not keep to RFC 9112, 7.1."""

HEAD_UP = (
    b"host: app.example\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: app.example\r\n"
    b"x-session-user: \r\nx-session-id: \r\n"
)
PASSES: dict[str, tuple[bytes, bytes]] = {
    "nothing special": (get(), b"GET / HTTP/1.1\r\n" + HEAD_UP + b"\r\n"),
    "two blanks": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", b"GET / HTTP/1.1\r\n" + HEAD_UP + b"\r\n"),
    "HTTP/1.0": (get(version=b"HTTP/1.0"), b"GET / HTTP/1.1\r\n" + HEAD_UP + b"\r\n"),
    "an absolute target": (get(target=b"HTTP://app.example/a?b"), b"GET /a?b HTTP/1.1\r\n" + HEAD_UP + b"\r\n"),
    "an absolute target without a path": (get(target=b"http://app.example"), b"GET / HTTP/1.1\r\n" + HEAD_UP + b"\r\n"),
    "an absolute target with a query only": (get(target=b"http://app.example?b"), b"GET /?b HTTP/1.1\r\n" + HEAD_UP + b"\r\n"),
    "its host decides over the field": (
        b"GET http://app.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD_UP + b"\r\n",
    ),
    "OPTIONS of all": (get(target=b"*", method=b"OPTIONS"), b"OPTIONS * HTTP/1.1\r\n" + HEAD_UP + b"\r\n"),
    "blanks around a value": (
        get(b"X-A: \t 1 \t\r\n"),
        b"GET / HTTP/1.1\r\n" + HEAD_UP.replace(b"x-forw", b"x-a: 1\r\nx-forw", 1) + b"\r\n",
    ),
    "Chunked in capitals": (
        post(b"Transfer-Encoding: Chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
        b"POST / HTTP/1.1\r\n" + HEAD_UP + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    "extensions of a chunk, and trailers": (
        post(CHUNKED, b"3;a=b\r\nabc\r\n0\r\nX-Session-User: eve\r\nX-Late: 1\r\n\r\n"),
        b"POST / HTTP/1.1\r\n" + HEAD_UP + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    "a length of zeros in front": (
        post(b"Content-Length: 003\r\n", b"abc"),
        b"POST / HTTP/1.1\r\n" + HEAD_UP.replace(b"x-forw", b"content-length: 003\r\nx-forw", 1) + b"\r\nabc",
    ),
    "an upgrade to HTTP/2": (
        get(b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        b"GET / HTTP/1.1\r\n" + HEAD_UP + b"\r\n",
    ),
    "an upgrade to HTTP/2 with a body": (
        post(b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 3\r\n", b"abc"),
        b"POST / HTTP/1.1\r\n" + HEAD_UP.replace(b"x-forw", b"content-length: 3\r\nx-forw", 1) + b"\r\nabc",
    ),
    "an upgrade to something with a chunked body": (
        post(b"Upgrade: x\r\nConnection: Upgrade\r\n" + CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"),
        b"POST / HTTP/1.1\r\n" + HEAD_UP + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    "a websocket with a body is a request": (
        get(b"Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 3\r\n") + b"abc",
        b"GET / HTTP/1.1\r\n" + HEAD_UP.replace(b"x-forw", b"content-length: 3\r\nx-forw", 1) + b"\r\nabc",
    ),
    "a websocket by POST is a request": (
        post(b"Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n"),
        b"POST / HTTP/1.1\r\n" + HEAD_UP.replace(b"x-forw", b"content-length: 0\r\nx-forw", 1) + b"\r\n",
    ),
    "a line end before the request": (b"\r\n" + get(), b"GET / HTTP/1.1\r\n" + HEAD_UP + b"\r\n"),
}


def error_of(answer: bytes) -> tuple[int, str]:
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    return error["code"], error["id"]


def cut_up(request: bytes) -> Sequence[Sequence[bytes]]:
    """The request in one piece, in two at every place (long ones: at a few), and byte by byte."""
    places = range(1, len(request)) if len(request) < 400 else (1, 17, len(request) // 2, len(request) - 1)
    whole = [[request]] + [[request[:place], request[place:]] for place in places]
    return whole if len(request) >= 400 else [*whole, [request[at : at + 1] for at in range(len(request))]]


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ends without a further byte."""
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


async def refused(stage: Stage, parts: Sequence[bytes], status: int) -> None:
    reader, writer = await stage.open()
    for part in parts:
        writer.write(part)
        if len(parts) > 1:
            await asyncio.sleep(0)
    answer = await read_answer(reader)
    assert error_of(answer)[0] == status
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in answer
    assert await ends(reader)
    writer.close()


@pytest.mark.parametrize(("status", "request_"), REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_wherever_the_packets_are_cut(
    status: int, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            await stage.say(get())  # so that there is a connection at hand
            heard = len(stage.heard)
            for parts in cut_up(request_):
                await refused(stage, parts, status)
            assert len(stage.heard) == heard

    asyncio.run(story())
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_malformed_chunk_never_becomes_a_whole_request(body: bytes) -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            for parts in cut_up(post(CHUNKED, body)):
                reader, writer = await stage.open()
                for part in parts:
                    writer.write(part)
                    await asyncio.sleep(0)
                answer = await read_answer(reader)
                assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
                assert await ends(reader)
                writer.close()
            assert stage.heard == []

    asyncio.run(story())


@pytest.mark.parametrize(("request_", "expected"), PASSES.values(), ids=PASSES)
def test_what_passes_goes_on_in_one_spelling_wherever_the_packets_are_cut(request_: bytes, expected: bytes) -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            await stage.say(get())
            for parts in cut_up(request_):
                stage.heard.clear()
                reader, writer = await stage.open()
                for part in parts:
                    writer.write(part)
                    if len(parts) > 1:
                        await asyncio.sleep(0)
                assert (await read_answer(reader)).startswith(b"HTTP/1.1 200 ")
                assert b"".join(chunk_joined(heard) for heard in stage.heard) == expected
                writer.close()

    asyncio.run(story())


def chunk_joined(heard: bytes) -> bytes:
    """A request whose chunks, however many they have become, are one: that is the only freedom that there is."""
    head = heard.partition(b"\r\n\r\n")[0]
    if b"transfer-encoding: chunked" not in head:
        return heard
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(heard)
    events = []
    while not isinstance(event := connection.next_event(), (h11.EndOfMessage, h11.NEED_DATA)):
        events.append(event)
    assert isinstance(event, h11.EndOfMessage)
    assert event.headers.raw_items() == []
    data = b"".join(bytes(event.data) for event in events if isinstance(event, h11.Data))
    return head + b"\r\n\r\n" + (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + b"0\r\n\r\n"


@pytest.mark.parametrize("deep", [2, 200])
def test_pipelined_requests_are_answered_in_their_order(deep: int) -> None:
    def echo(request: bytes) -> bytes:
        path = request.split(b" ")[1]
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)

    async def story() -> None:
        async with staged(answering(echo)) as stage:
            reader, writer = await stage.open()
            writer.write(b"".join(get(target=b"/%d" % number) for number in range(deep)))
            for number in range(deep):
                assert (await read_answer(reader)).endswith(b"\r\n\r\n/%d" % number)
            writer.close()

    asyncio.run(story())


@pytest.mark.parametrize("garbage", [b"GARBAGE\r\n\r\n", b"\x00", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"])
def test_garbage_behind_a_request_ends_the_connection_once_that_one_is_answered(garbage: bytes) -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            await stage.say(get())
            for parts in ([get() + garbage], [get(), garbage]):
                reader, writer = await stage.open()
                for part in parts:
                    writer.write(part)
                    await asyncio.sleep(0)
                answers = await reader.read()
                assert answers.startswith(b"HTTP/1.1 200 OK\r\n")
                assert answers.count(b"HTTP/1.1 200 ") == 1
                writer.close()

    asyncio.run(story())


def test_a_body_that_looks_like_a_request_stays_a_body() -> None:
    inner = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

    async def story() -> None:
        async with staged(answering(OK)) as stage:
            for request in (
                post(b"Content-Length: %d\r\n" % len(inner), inner),
                post(CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)),
                get(b"Content-Length: %d\r\n" % len(inner)) + inner,
            ):
                assert (await stage.say(request)).startswith(b"HTTP/1.1 200 ")
            assert len(stage.heard) == 3
            assert not any(heard.startswith(b"GET /smuggled") for heard in stage.heard)

    asyncio.run(story())


def test_a_head_that_does_not_come_to_its_end_is_given_up() -> None:
    async def story() -> None:
        async with staged(answering(OK), limits=Limits(head_timeout=0.05)) as stage:
            reader, writer = await stage.open()
            writer.write(b"GET / HTTP/1.1\r\nHost:")
            assert error_of(await read_answer(reader)) == (408, "request_timeout")
            assert await ends(reader)
            writer.close()

    asyncio.run(story())


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def story() -> None:
        async with staged(answering(OK), limits=Limits(grace=0.05)) as stage:
            reader, writer = await stage.open()
            writer.write(post(b"Content-Length: 5\r\n", b"ab"))
            assert error_of(await read_answer(reader)) == (408, "request_timeout")
            assert stage.heard == []
            writer.close()

    asyncio.run(story())


def test_what_follows_an_upgrade_that_is_not_made_is_the_next_request() -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            upgrade = get(b"Upgrade: h2c\r\nConnection: Upgrade\r\n", target=b"/one")
            for parts in ([upgrade + get(target=b"/two")], [upgrade, get(target=b"/two")]):
                stage.heard.clear()
                reader, writer = await stage.open()
                for part in parts:
                    writer.write(part)
                    await asyncio.sleep(0.01)
                for _ in range(2):
                    assert (await read_answer(reader)).startswith(b"HTTP/1.1 200 ")
                assert [heard.split(b" ")[1] for heard in stage.heard] == [b"/one", b"/two"]
                writer.close()

    asyncio.run(story())
