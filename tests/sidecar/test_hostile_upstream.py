"""An upstream that is down, slow, broken or lying: the client gets 502 or 504 in our form, or sees that an answer was cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.sidecar.stage import OK, Script, Stage, answering, read_answer, read_request, staged

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


def error_of(answer: bytes) -> str:
    assert answer.startswith((b"HTTP/1.1 502 ", b"HTTP/1.1 504 "))
    error: str = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["id"]
    return error


def saying(*parts: bytes | None) -> Callable[[Stage], Script]:
    """Answers the first request with OK, each later one with these bytes, and then closes; None: resets in between."""

    def of(stage: Stage) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while request := await read_request(reader):
                stage.heard.append(request)
                if len(stage.heard) == 1:
                    writer.write(OK)
                    continue
                for part in parts:
                    if part is None:
                        writer.transport.abort()
                        return
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                return

        return script

    return of


INVALID: dict[str, bytes] = {
    "a length and a coding": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "two equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc",
    "no HTTP at all": b"220 mail.example ESMTP\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "a status of two digits": b"HTTP/1.1 99 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of zeros": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed in the head": b"HTTP/1.1 200 OK\r\nX-A: 1\nX-B: 2\r\nContent-Length: 0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "NUL in a field": b"HTTP/1.1 200 OK\r\nX-A: 1\x002\r\nContent-Length: 0\r\n\r\n",
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n",
    "another protocol, unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "a head without an end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 140_000,
    "300 fields": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(300)) + b"\r\n",
    "informational answers without an end": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 40,
}


@pytest.mark.parametrize("answer", INVALID.values(), ids=INVALID)
def test_what_is_no_answer_is_a_502(answer: bytes) -> None:
    async def story() -> None:
        async with staged(saying(answer)) as stage:
            assert (await stage.say(GET)).endswith(b"ok")
            for request in (GET, POST):
                assert error_of(await stage.say(request)) in ("upstream_invalid", "upstream_failed")
            assert set(stage.failures) <= {"invalid", "reset"}

    asyncio.run(story())


BROKEN: dict[str, tuple[bytes | None, ...]] = {
    "closes without a word": (),
    "resets without a word": (None,),
    "closes in the status line": (b"HTTP/1.1 2",),
    "closes in the head": (b"HTTP/1.1 200 OK\r\nContent-Le",),
    "resets in the head": (b"HTTP/1.1 200 OK\r\nContent-Le", None),
    "closes behind an informational answer": (b"HTTP/1.1 100 Continue\r\n\r\n",),
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
def test_what_breaks_off_before_its_head_is_there_is_a_502(parts: tuple[bytes | None, ...]) -> None:
    async def story() -> None:
        async with staged(saying(*parts)) as stage:
            await stage.say(GET)
            for request in (GET, POST):
                assert error_of(await stage.say(request)) == "upstream_failed"

    asyncio.run(story())


CUT: dict[str, tuple[bytes | None, ...]] = {
    "a length that is not kept": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",),
    "the same with a reset": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", None),
    "a large one": (b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", b"a" * 100_000),
    "no last chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",),
    "half of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30\r\nabc",),
    "a chunk that is none": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"zz\r\n"),
}


@pytest.mark.parametrize("parts", CUT.values(), ids=CUT)
def test_what_breaks_off_in_its_body_is_never_taken_for_whole(parts: tuple[bytes | None, ...]) -> None:
    async def story() -> None:
        async with staged(saying(*parts)) as stage:
            await stage.say(GET)
            answer = await stage.say(GET)
            assert answer.endswith(b"<cut>") or error_of(answer)
            assert stage.failures

    asyncio.run(story())


def test_what_comes_behind_an_answer_does_not_become_the_next_one() -> None:
    evil = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    async def story() -> None:
        for parts in ((evil,), (OK, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")):

            def of(stage: Stage, parts: tuple[bytes, ...] = parts) -> Script:
                async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    while await read_request(reader):
                        for part in parts:
                            writer.write(part)
                            await writer.drain()
                            await asyncio.sleep(0.01)

                return script

            async with staged(of) as stage:
                for _ in range(4):
                    answer = await stage.say(GET)
                    assert b"evil" not in answer
                    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 502 "))
                    await asyncio.sleep(0.02)

    asyncio.run(story())


@pytest.mark.parametrize("silent", ["from the first byte on", "behind the status line"])
def test_silence_is_a_504_in_time(silent: str) -> None:
    def of(stage: Stage) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while request := await read_request(reader):
                stage.heard.append(request)
                if len(stage.heard) == 1:
                    writer.write(OK)
                elif silent == "behind the status line":
                    writer.write(b"HTTP/1.1 200 OK\r\n")

        return script

    async def story() -> None:
        async with staged(of, response_timeout=0.3) as stage:
            await stage.say(GET)
            for request in (GET, POST, GET):
                assert error_of(await stage.say(request)) == "upstream_timeout"
            assert stage.failures == ["timeout"] * 3

    asyncio.run(story())


def test_nobody_there_is_a_502_and_the_next_one_is_served_when_somebody_is() -> None:
    async def story() -> None:
        async with staged(None) as stage:
            for _ in range(2):
                assert error_of(await stage.say(GET)) == "upstream_failed"
            assert stage.failures == ["connect", "connect"]

    asyncio.run(story())


@pytest.mark.parametrize("request_", [GET, b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", POST])
def test_a_kept_connection_that_has_ended_costs_no_request(request_: bytes) -> None:
    """What may be repeated is; what may not goes out on a fresh connection."""

    def of(stage: Stage) -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            number = 0
            while request := await read_request(reader):
                stage.heard.append(request)
                number += 1
                if number == 2:  # the second one on each connection finds it closed
                    return
                writer.write(OK)

        return script

    async def story() -> None:
        async with staged(of) as stage:
            await stage.say(GET)
            stage.heard.clear()
            assert (await stage.say(request_)).endswith(b"ok")
            assert len(stage.heard) == (1 if request_.startswith(b"POST") else 2)

    asyncio.run(story())


ODD: dict[str, tuple[bytes, bytes]] = {
    "299": (b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok"),
    "599": (b"HTTP/1.1 599 \r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 599 \r\nContent-Length: 2\r\n\r\nok"),
    "999": (b"HTTP/1.1 999 Go Away\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 999 Go Away\r\nContent-Length: 2\r\n\r\nok"),
    "a phrase of many words": (
        b"HTTP/1.1 200 It's \xe9 fine\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 It's \xe9 fine\r\nContent-Length: 0\r\n\r\n",
    ),
    "early hints before it": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, OK),
    "100 before it": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, OK),
    "204": (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
    "304 with a length": (
        b'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "a"\r\n\r\n',
        b'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "a"\r\n\r\n',
    ),
    "no fields at all but an end": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "fields in any case, twice, in their order": (
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSET-COOKIE: b=2\r\nX-a: 1\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSET-COOKIE: b=2\r\nX-a: 1\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\n\r\n",
    ),
    "chunks and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-A: 1\r\nSession-Login: eve\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
}


DATE_LINE = len(b"date: Sat, 28 Nov 2026 12:00:00 GMT\r\n")


def undated(answer: bytes) -> bytes:
    """An answer without the Date that we have added to it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    (date,) = [line for line in head.split(b"\r\n") if line.startswith(b"date: ")]
    return head.replace(b"\r\n" + date, b"", 1) + b"\r\n\r\n" + body


@pytest.mark.parametrize(("answer", "expected"), ODD.values(), ids=ODD)
def test_what_is_odd_but_well_formed_passes_as_it_is(answer: bytes, expected: bytes) -> None:
    async def story() -> None:
        async with staged(answering(answer)) as stage:
            reader, writer = await stage.open()
            for _ in range(3):
                writer.write(GET)
                async with asyncio.timeout(10):
                    assert undated(await reader.readexactly(len(expected) + DATE_LINE)) == expected
            writer.close()

    asyncio.run(story())


def test_a_body_that_ends_with_the_connection_is_whole_for_the_client() -> None:
    async def story() -> None:
        async with staged(saying(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n", b"abc", b"def")) as stage:
            await stage.say(GET)
            answer = await stage.say(GET)
            assert answer.endswith(b"abcdef")
            assert b"transfer-encoding: chunked" in answer
            assert stage.failures == []

    asyncio.run(story())


def test_a_body_where_there_is_none_never_reaches_the_next_request() -> None:
    async def story() -> None:
        for status in (b"204 No Content", b"304 Not Modified"):
            answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nevil"
            async with staged(answering(answer)) as stage:
                reader, writer = await stage.open()
                for _ in range(3):
                    writer.write(GET)
                    head = await read_answer(reader)
                    assert b"evil" not in head
                    assert head.startswith((b"HTTP/1.1 204 ", b"HTTP/1.1 304 ", b"HTTP/1.1 502 "))
                writer.close()

    asyncio.run(story())


def test_an_answer_to_head_has_its_length_and_no_body() -> None:
    async def story() -> None:
        async with staged(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as stage:
            reader, writer = await stage.open()
            for _ in range(3):
                writer.write(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert undated(await reader.readuntil(b"\r\n\r\n")) == b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
            writer.close()
            assert stage.connections == 3  # a body that some servers send all the same must not answer the next request

    asyncio.run(story())
