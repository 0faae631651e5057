"""Answers that are odd, and what the client, the counters and the next reader get of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sessionward.sidecar.client.proxy_protocol import parse
from sessionward.sidecar.observe.counts import Counts
from sessionward.sidecar.observe.observer import Observer
from tests.sidecar.stage import OK, answering, staged

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def asked(answer: bytes | Callable[[bytes], bytes], request: bytes = GET) -> tuple[bytes, dict[str, float]]:
    """Returns what the client gets of an answer, and the counters behind it."""
    counts = Counts()

    async def story() -> bytes:
        async with staged(answering(answer), observer=Observer(counts)) as stage:
            return await stage.say(request)

    return asyncio.run(story()), counts.sums()


@pytest.mark.parametrize("status", [b"204 No Content", b"204 "])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE"])
def test_a_204_has_no_length(status: bytes, method: bytes) -> None:
    """A reader that believed it would take the next answer for this body (RFC 9110, 8.6)."""
    said, _ = asked(b"HTTP/1.1 %b\r\nX-A: b\r\nContent-Length: 90\r\n\r\n" % status, GET.replace(b"GET", method))
    assert said.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nX-A: b\r\n" in said
    assert b"content-length" not in said.lower()


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", b"200 OK"), (b"GET", b"304 Not Modified")])
def test_the_length_of_an_answer_to_head_and_of_a_304_stays(method: bytes, status: bytes) -> None:
    async def story() -> None:
        async with staged(answering(b"HTTP/1.1 %b\r\nContent-Length: 90\r\n\r\n" % status)) as stage:
            reader, writer = await stage.open()
            writer.write(GET.replace(b"GET", method))
            assert b"\r\nContent-Length: 90\r\n" in await reader.readuntil(b"\r\n\r\n")
            writer.close()

    asyncio.run(story())


@pytest.mark.parametrize("field", [b"Content-Length: 2 ", b"Content-Length:2\t", b"Content-Length:\t 2 \t "])
def test_blanks_around_a_length_are_no_part_of_it(field: bytes) -> None:
    assert asked(OK.replace(b"Content-Length: 2", field))[0].endswith(b"\r\n\r\nok")


def test_blanks_behind_a_coding_are_no_part_of_it() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert asked(answer)[0].endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("status", [b"600", b"777", b"999"])
def test_a_status_beyond_the_classes_counts_as_an_error_of_the_server_alone(status: bytes) -> None:
    """It was added to a bucket of the durations (RFC 9110, 15: such a status is read as 5xx)."""
    said, sums = asked(OK.replace(b"200 OK", status + b" Odd"))
    assert said.startswith(b"HTTP/1.1 %b Odd\r\n" % status)
    assert sums["responses:5xx"] == 1
    assert sum(value for name, value in sums.items() if name.startswith("le:")) == 1


def test_http_1_0_makes_no_websocket() -> None:
    """A server must ignore Upgrade there (RFC 9110, 7.8)."""
    heard: list[bytes] = []

    def answer(request: bytes) -> bytes:
        heard.append(request)
        return OK

    said, _ = asked(answer, b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert said.endswith(b"ok")
    assert b"upgrade" not in heard[0].lower()


@pytest.mark.parametrize("spelling", [b"::ffff:192.0.2.7", b"::FFFF:c000:0207"])
def test_an_ipv4_address_that_a_proxy_header_carries_in_ipv6_is_an_ipv4_address(spelling: bytes) -> None:
    """Limits by address and X-Forwarded-For have one name for one client."""
    found = parse(b"PROXY TCP6 %b ::1 4711 443\r\n" % spelling)
    assert found is not None
    assert found[0] is not None
    assert found[0].source == "192.0.2.7"
