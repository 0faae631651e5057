"""Nothing is buffered: what one side sends reaches the other before more is asked of it, and the end of one is the end of both."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from sessionward.sidecar.upstream.pool import IDLE, Place
from tests.sidecar.stage import OK, PATIENCE, Script, Stage, answering, read_answer, read_request, staged

GET = b"GET %b HTTP/1.1\r\nHost: app.example\r\n%b\r\n"
POST = b"POST /up HTTP/1.1\r\nHost: app.example\r\n%b\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
EXPECTS = b"Expect: 100-continue\r\nContent-Length: 5\r\n"


@asynccontextmanager
async def in_time(seconds: float = PATIENCE) -> AsyncIterator[None]:
    async with asyncio.timeout(seconds):
        yield


def told(story: Callable[[], Awaitable[None]]) -> None:
    """Run a story to its end; one that hangs has failed."""

    async def whole() -> None:
        async with in_time():
            await story()

    asyncio.run(whole())


def acting(act: Callable[[Stage, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Callable[[Stage], Script]:
    """An upstream that answers ``GET /warm`` plainly, so that a connection is at hand, and anything else as the act goes."""

    def of(stage: Stage) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while head := await reader.readuntil(b"\r\n\r\n"):
                stage.heard.append(head)
                if head.startswith(b"GET /warm "):
                    writer.write(OK)
                    continue
                await act(stage, reader, writer)

        return script

    return of


async def warm(stage: Stage) -> None:
    """Have a connection to the upstream at hand: only then something may go straight through."""
    assert (await stage.say(GET % (b"/warm", b""))).endswith(b"ok")


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def ends(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, whichever way it ends."""
    heard = b""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            heard += data
    return heard


# --- down -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_each_event_reaches_the_client_before_the_upstream_sends_the_next(framing: str) -> None:
    """The upstream sends an event only when the client has said that it has the one before."""

    async def story() -> None:
        has = asyncio.Queue[int]()
        heads = {"chunked": b"Transfer-Encoding: chunked", "close": b"Connection: close", "length": b"Content-Length: 180"}

        async def events(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n\r\n" % heads[framing])
            for number in range(20):
                assert await has.get() == number
                event = b"data: %02d\n" % number
                writer.write(b"9\r\n%b\r\n" % event if framing == "chunked" else event)
            writer.write(b"0\r\n\r\n" if framing == "chunked" else b"")
            if framing == "close":
                writer.close()

        async with staged(acting(events)) as stage:
            await warm(stage)
            reader, writer = await stage.open()
            writer.write(GET % (b"/events", b""))
            head = await reader.readuntil(b"\r\n\r\n")  # which does not wait for the first event
            assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            for number in range(20):
                has.put_nowait(number)
                event = await reader.readexactly(9) if framing == "length" else await read_chunk(reader)
                assert event == b"data: %02d\n" % number
            if framing != "length":
                assert await read_chunk(reader) == b""
            writer.write(GET % (b"/warm", b""))
            assert (await read_answer(reader)).endswith(b"ok")
            writer.close()

    told(story)


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "the head by itself"])
def test_bodies_of_every_size_arrive_whole(at_once: bool) -> None:
    async def story() -> None:
        async def give(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            size = int(stage.heard[-1].split(b" ")[1][1:])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            if not at_once:
                await asyncio.sleep(0.002)
            writer.write((bytes(range(256)) * (size // 256 + 1))[:size])

        async with staged(acting(give)) as stage:
            reader, writer = await stage.open()
            for size in (0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 3_000_001):
                writer.write(GET % (b"/%d" % size, b""))
                body = (await read_answer(reader)).partition(b"\r\n\r\n")[2]
                assert body == (bytes(range(256)) * (size // 256 + 1))[:size]
            writer.close()
            assert stage.connections == 1

    told(story)


def test_an_http_1_0_client_is_given_a_body_that_ends_with_the_connection() -> None:
    async def story() -> None:
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
        async with staged(answering(answer)) as stage:
            await stage.say(GET % (b"/", b""))
            for keep in (b"", b"Connection: keep-alive\r\n"):
                reader, writer = await stage.open()
                writer.write(b"GET / HTTP/1.0\r\n%b\r\n" % keep)
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                assert body == b"abcdef"
                assert b"chunked" not in head.lower()
                assert b"connection: close" in head.lower()
                writer.close()

    told(story)


def test_a_body_cut_short_does_not_look_whole_to_an_http_1_0_client() -> None:
    """It has nothing but the end of the connection to tell: so that must not be an orderly one."""

    async def story() -> None:
        async def half(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await writer.drain()
            writer.close()

        async with staged(acting(half)) as stage:
            reader, writer = await stage.open()
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(ConnectionError):
                await reader.read()
            writer.close()

    told(story)


BODILESS = {
    "HEAD": (b"HEAD", b'HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: "a"\r\n\r\n'),
    "HEAD, chunked": (b"HEAD", b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: "a"\r\n\r\n'),
    "HEAD, no length": (b"HEAD", b'HTTP/1.1 200 OK\r\nETag: "a"\r\n\r\n'),
    "204": (b"GET", b'HTTP/1.1 204 No Content\r\nETag: "a"\r\n\r\n'),
    "204 to a POST": (b"POST", b'HTTP/1.1 204 No Content\r\nETag: "a"\r\n\r\n'),
    "304": (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'),
    "304 with the length of what it does not send": (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 99\r\n\r\n'),
}


@pytest.mark.parametrize(("method", "answer"), BODILESS.values(), ids=BODILESS.keys())
def test_an_answer_without_a_body_keeps_the_client_and_never_the_upstream(method: bytes, answer: bytes) -> None:
    async def story() -> None:
        async with staged(answering(answer)) as stage:
            reader, writer = await stage.open()
            for _ in range(3):
                writer.write(b"%b / HTTP/1.1\r\nHost: app.example\r\n\r\n" % method)
                head = await reader.readuntil(b"\r\n\r\n")
                assert b'\r\nETag: "a"\r\n' in head
                assert head.split(b"\r\n")[0] == answer.split(b"\r\n")[0]
                assert (b"Content-Length" in head) == (b"Content-Length" in answer)
            writer.write(b"bad\r\n\r\n")  # whatever comes now is the answer to this
            assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            assert stage.connections == 3  # some servers send a body all the same, which must not answer the next request

    told(story)


# --- up ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_body_streams_up_before_it_is_complete(framing: str) -> None:
    async def story() -> None:
        parts = asyncio.Queue[bytes]()

        async def upload(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(10):
                parts.put_nowait(await (read_chunk(reader) if framing == "chunked" else reader.readexactly(7)))
            if framing == "chunked":
                assert await read_chunk(reader) == b""
            writer.write(OK)

        async with staged(acting(upload)) as stage:
            reader, writer = await stage.open()
            writer.write(POST % (CHUNKED if framing == "chunked" else b"Content-Length: 70\r\n"))
            for number in range(10):
                part = b"part %02d" % number
                writer.write(b"7\r\n%b\r\n" % part if framing == "chunked" else part)
                assert await parts.get() == part
            writer.write(b"0\r\n\r\n" if framing == "chunked" else b"")
            assert (await read_answer(reader)).endswith(b"ok")
            writer.write(GET % (b"/warm", b""))
            assert (await read_answer(reader)).endswith(b"ok")
            writer.close()
            assert stage.connections == 1

    told(story)


def test_an_echo_answers_each_part_before_the_next_is_sent() -> None:
    async def story() -> None:
        async def echo(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while data := await read_chunk(reader):
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            writer.write(b"0\r\n\r\n")

        async with staged(acting(echo)) as stage:
            reader, writer = await stage.open()
            for _ in range(2):  # and the connection is good for another one
                writer.write(POST % CHUNKED)
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
                for number in range(20):
                    writer.write(b"7\r\npart %02d\r\n" % number)
                    assert await read_chunk(reader) == b"part %02d" % number
                writer.write(b"0\r\n\r\n")
                assert await read_chunk(reader) == b""
            writer.close()
            assert stage.connections == 2  # a request with a body cannot be repeated, so it never uses a kept connection

    told(story)


@pytest.mark.parametrize("status", [b"413 Content Too Large", b"401 Unauthorized"])
@pytest.mark.parametrize("reads", [True, False], ids=["the client listens", "the client first sends it all"])
def test_an_early_answer_to_an_upload_arrives_whole(status: bytes, reads: bool) -> None:
    """The client is not reset before it can read; what was half used is not used again."""

    async def story() -> None:
        page = b"too much\n" * 10_000

        async def refuse(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(page), page))
            await writer.drain()
            await ends(reader)
            stage.heard.append(b"<end>")
            raise ConnectionError

        async with staged(acting(refuse)) as stage:
            await warm(stage)
            reader, writer = await stage.open()
            size = 1 << 30 if reads else 8_000_000
            writer.write(POST % (b"Content-Length: %d\r\n" % size))
            if reads:
                writer.write(bytes(100_000))
            else:
                for _ in range(size // 100_000):
                    writer.write(bytes(100_000))
                    await writer.drain()
            answer = await read_answer(reader)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert answer.endswith(b"\r\n\r\n" + page)
            assert await ends(reader) == b""
            writer.close()
            while stage.heard[-1] != b"<end>":
                await asyncio.sleep(0.01)
            await warm(stage)
            assert stage.connections == 2

    told(story)


def test_the_door_refuses_an_upload_in_the_middle_and_the_client_can_read_it() -> None:
    """An answer of our own, before anything was asked of the upstream."""

    async def story() -> None:
        async with staged(answering(OK)) as stage:
            reader, writer = await stage.open()
            writer.write(b"DELETE /auth/sessions HTTP/1.1\r\nHost: app.example\r\nContent-Length: 8000000\r\n\r\n")
            for _ in range(80):
                writer.write(bytes(100_000))
                await writer.drain()
            answer = await read_answer(reader)
            assert answer.startswith(b"HTTP/1.1 4")
            json.loads(answer.partition(b"\r\n\r\n")[2])
            assert await ends(reader) == b""
            writer.close()
            assert stage.connections == 0

    told(story)


# --- Expect: 100-continue ---------------------------------------------------------------------------------------------


def test_the_body_is_asked_for_when_the_upstream_asks_for_it() -> None:
    async def story() -> None:
        asked = asyncio.Event()

        async def careful(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert b"\r\nexpect: 100-continue\r\n" in stage.heard[-1]
            await asked.wait()
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            stage.heard.append(await reader.readexactly(5))
            writer.write(OK)

        async with staged(acting(careful)) as stage:
            reader, writer = await stage.open()
            for number in (1, 2):
                asked.clear()
                writer.write(POST % EXPECTS)
                while len(stage.heard) < 2 * number - 1:
                    await asyncio.sleep(0.001)
                with pytest.raises(TimeoutError):  # nobody has asked for it yet
                    async with asyncio.timeout(0.05):
                        await reader.readexactly(1)
                asked.set()
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"hello")
                assert (await read_answer(reader)).endswith(b"ok")
                assert stage.heard[-1] == b"hello"
            writer.close()
            assert stage.connections == 2

    told(story)


def test_the_body_is_asked_for_when_the_upstream_says_nothing_for_a_second() -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:  # reads head and body, and knows nothing of Expect
            reader, writer = await stage.open()
            writer.write(POST % EXPECTS)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hello")
            assert (await read_answer(reader)).endswith(b"ok")
            assert stage.heard[0].endswith(b"\r\n\r\nhello")
            writer.close()

    told(story)


def test_a_client_that_does_not_wait_is_served_all_the_same() -> None:
    async def story() -> None:
        async def careful(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            stage.heard.append(await reader.readexactly(5))
            writer.write(OK)

        async with staged(acting(careful)) as stage:
            reader, writer = await stage.open()
            writer.write(POST % EXPECTS + b"hello")
            answer = await read_answer(reader)
            if answer.startswith(b"HTTP/1.1 100 "):
                answer = await read_answer(reader)
            assert answer.endswith(b"ok")
            assert stage.heard[-1] == b"hello"
            writer.close()

    told(story)


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"401 Unauthorized"])
def test_a_refusal_instead_of_100_keeps_the_body_with_the_client(status: bytes) -> None:
    async def story() -> None:
        async def refuse(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 3\r\n\r\nno!" % status)
            stage.heard.append(b"<body>" + await ends(reader))
            raise ConnectionError

        async with staged(acting(refuse)) as stage:
            reader, writer = await stage.open()
            writer.write(POST % EXPECTS)
            answer = await read_answer(reader)  # no 100 before it
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert answer.endswith(b"no!")
            assert await ends(reader) == b""
            while len(stage.heard) < 2:
                await asyncio.sleep(0.01)
            assert stage.heard[-1] == b"<body>"
            writer.close()

    told(story)


def test_an_upstream_that_falls_silent_on_a_kept_connection_is_given_up_and_not_asked_twice() -> None:
    async def story() -> None:
        async with staged(acting(silent), response_timeout=0.4) as stage:
            await warm(stage)
            assert (await stage.say(GET % (b"/", b""))).startswith(b"HTTP/1.1 504 ")
            while stage.heard[-1] != b"<end>":
                await asyncio.sleep(0.001)
            assert len(stage.heard) == 3
            assert stage.failures == ["timeout"]

    told(story)


@pytest.mark.parametrize("says_100", [True, False])
def test_an_upstream_that_never_answers_an_expectant_upload_is_given_up(says_100: bool) -> None:
    async def story() -> None:
        async def never(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if says_100:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await ends(reader)
            raise ConnectionError

        async with staged(acting(never), response_timeout=0.4) as stage:
            reader, writer = await stage.open()
            writer.write(POST % EXPECTS)
            await reader.readuntil(b"\r\n\r\n")  # 100, from whomever
            writer.write(b"hello")
            answer = await read_answer(reader)
            assert answer.startswith(b"HTTP/1.1 504 ")
            writer.close()

    told(story)


# --- ends -------------------------------------------------------------------------------------------------------------


async def until_end(stage: Stage, reader: asyncio.StreamReader) -> None:
    await ends(reader)
    stage.heard.append(b"<end>")
    raise ConnectionError


async def silent(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await until_end(stage, reader)


async def half_a_body(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfirst")
    await until_end(stage, reader)


async def an_event(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    await until_end(stage, reader)


async def flooding(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            writer.write(b"5\r\nfirst\r\n" * 1000)
            await writer.drain()
            await asyncio.sleep(0.001)
    except ConnectionError:
        stage.heard.append(b"<end>")
        raise


UPLOAD = POST % (b"Content-Length: 1000\r\n") + b"part"
ABORTS: dict[str, tuple[Any, bytes, bool]] = {
    "before the head": (silent, GET % (b"/", b""), False),
    "in the middle of a body": (half_a_body, GET % (b"/", b""), True),
    "between events": (an_event, GET % (b"/", b""), True),
    "in a flood": (flooding, GET % (b"/", b""), True),
    "in a flood, with another request behind it": (flooding, 2 * (GET % (b"/", b"")), True),
    "during an upload": (silent, UPLOAD, False),
    "during an upload that is being answered": (an_event, UPLOAD, True),
    "during an upload with a flood": (flooding, UPLOAD, True),
    "in a flood instead of 100": (flooding, POST % EXPECTS, True),
    "between events instead of 100": (an_event, POST % EXPECTS, True),
    "before 100": (silent, POST % EXPECTS, False),
}


@pytest.mark.parametrize(("act", "request_", "answered"), ABORTS.values(), ids=ABORTS.keys())
@pytest.mark.parametrize("way", ["closes", "resets"])
def test_a_client_that_goes_away_is_missed_by_the_upstream(act: Any, request_: bytes, answered: bool, way: str) -> None:
    if request_.startswith(b"POST") and act is silent and way == "resets":
        return  # a body never goes straight; and waiting for 100 takes a second

    async def story() -> None:
        async with staged(acting(act), response_timeout=60.0) as stage:
            await warm(stage)
            reader, writer = await stage.open()
            writer.write(request_)
            while len(stage.heard) < 2:
                await asyncio.sleep(0.001)
            if answered:
                await reader.readuntil(b"first")
            if way == "closes":
                writer.close()
            else:
                writer.transport.abort()
            async with in_time(2.0):
                while stage.heard[-1] != b"<end>":
                    await asyncio.sleep(0.01)
            assert len(stage.heard) == 3
            await warm(stage)  # and it serves on
            assert stage.failures == []

    told(story)


# --- back-pressure ----------------------------------------------------------------------------------------------------


def narrow(port: int) -> socket.socket:
    """A connection of a client whose system takes little for it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.setblocking(False)
    with suppress(BlockingIOError):
        sock.connect(("127.0.0.1", port))
    return sock


async def stands_still(count: Callable[[], int]) -> int:
    """Wait until a counter has not moved for a while; answers where it stands."""
    before = -1
    while before != (before := count()):
        await asyncio.sleep(0.15)
    return before


MOST = 50_000_000
"""Bytes: more than the systems of both connections take (tcp_wmem and tcp_rmem, grown), and we with our 200 kB."""


def test_the_upstream_is_not_read_while_the_client_does_not_read() -> None:
    async def story() -> None:
        sent = 0
        size = 80_000_000

        async def flood(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // 64_000):
                writer.write(bytes(64_000))
                await writer.drain()
                sent += 64_000

        async with staged(acting(flood)) as stage:
            await warm(stage)
            sock = narrow(stage.port)
            reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
            writer.write(GET % (b"/", b""))
            while not sent:
                await asyncio.sleep(0.001)
            assert 0 < await stands_still(lambda: sent) < MOST
            await reader.readuntil(b"\r\n\r\n")
            got = 0
            while got < size:
                got += len(await reader.read(1 << 20))
            assert (got, sent) == (size, size)
            writer.close()

    told(story)


def test_the_client_is_not_read_while_the_upstream_does_not_read() -> None:
    async def story() -> None:
        reads = asyncio.Event()
        size = 80_000_000

        async def lazy(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reads.wait()
            got = 0
            while got < size:
                got += len(await reader.read(1 << 20))
            writer.write(OK)

        async with staged(acting(lazy)) as stage:
            reader, writer = await stage.open()
            writer.write(POST % (b"Content-Length: %d\r\n" % size))
            sent = 0

            async def upload() -> None:
                nonlocal sent
                for _ in range(size // 64_000):
                    writer.write(bytes(64_000))
                    await writer.drain()
                    sent += 64_000

            uploading = asyncio.create_task(upload())
            while not sent:
                await asyncio.sleep(0.001)
            assert 0 < await stands_still(lambda: sent) < MOST
            reads.set()
            assert (await read_answer(reader)).endswith(b"ok")
            await uploading
            assert sent == size
            writer.close()

    told(story)


def test_a_slow_writer_on_either_side_is_waited_for() -> None:
    """A request and an answer that come byte by byte."""

    async def story() -> None:
        async def dripping(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello":
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

        async with staged(acting(dripping)) as stage:
            await warm(stage)
            answer = await stage.say(*(bytes([byte]) for byte in GET % (b"/", b"X-C: d\r\n")))
            assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n")
            assert answer.endswith(b"\r\n\r\nhello")
            assert b"\r\nx-c: d\r\n" in stage.heard[-1]

    told(story)


# --- the connections to the upstream ----------------------------------------------------------------------------------


def test_many_requests_one_after_the_other_need_one_connection() -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            reader, writer = await stage.open()
            for number in range(100):
                writer.write(b"%b /%d HTTP/1.1\r\nHost: app.example\r\n\r\n" % ((b"GET", b"DELETE", b"OPTIONS")[number % 3], number))
                assert (await read_answer(reader)).endswith(b"ok")
            writer.close()
            assert (stage.connections, len(stage.heard)) == (1, 100)

    told(story)


def test_a_connection_that_is_idle_for_too_long_is_closed() -> None:
    async def story() -> None:
        closed = asyncio.Event()

        def noting(stage: Stage) -> Script:
            async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while await read_request(reader):
                    writer.write(OK)
                closed.set()

            return script

        async with staged(noting) as stage:
            await stage.say(GET % (b"/", b""))
            while not len(stage.pool):
                await asyncio.sleep(0.001)
            begun = asyncio.get_running_loop().time()
            await closed.wait()
            assert IDLE * 0.5 < asyncio.get_running_loop().time() - begun < IDLE * 3
            assert len(stage.pool) == 0
            await stage.say(GET % (b"/", b""))
            assert stage.connections == 2

    told(story)


def test_an_upstream_that_was_restarted_between_two_requests_is_found_again() -> None:
    async def story() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            current.append(writer)
            with suppress(ConnectionError):
                while await read_request(reader):
                    writer.write(OK)
                writer.close()

        current: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with staged(None, place=Place(host="127.0.0.1", port=port)) as stage:
            reader, writer = await stage.open()
            for method in (b"GET", b"PUT", b"POST"):
                ask = b"%b / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n" % method
                writer.write(ask)
                assert (await read_answer(reader)).endswith(b"ok")
                server.close()
                for connection in current:
                    connection.transport.abort()
                current.clear()
                writer.write(GET % (b"/", b""))
                assert (await read_answer(reader)).startswith(b"HTTP/1.1 502 ")
                server = await asyncio.start_server(serve, "127.0.0.1", port, reuse_address=True)
                writer.write(ask)
                assert (await read_answer(reader)).endswith(b"ok")
            writer.close()
        for connection in current:
            connection.close()
        server.close()

    told(story)


@pytest.mark.parametrize(("method", "again"), [(b"GET", True), (b"HEAD", True), (b"DELETE", True), (b"POST", False), (b"PATCH", False)])
def test_only_what_may_be_asked_twice_is_asked_again_when_a_kept_connection_turns_out_to_be_dead(method: bytes, again: bool) -> None:
    async def story() -> None:
        async def drops(stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if sum(not head.startswith(b"GET /warm") for head in stage.heard) == 1:
                raise ConnectionError
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

        async with staged(acting(drops)) as stage:
            await warm(stage)
            answer = await stage.say(b"%b / HTTP/1.1\r\nHost: app.example\r\n\r\n" % method)
            assert answer.startswith(b"HTTP/1.1 204 " if again else b"HTTP/1.1 502 ")
            assert len(stage.heard) == (3 if again else 2)

    told(story)
