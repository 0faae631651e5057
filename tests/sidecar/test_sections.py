"""A client that repeats its header section is read as one that says it for the first time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import pytest

from sessionward.sidecar.client.framing import Refused
from sessionward.sidecar.client.reader import RequestReader
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.section import MAX_KEPT, Section
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from tests.sidecar.scripted import fields_of
from tests.sidecar.stage import OK, answering, read_answer, staged

COUNT: Final = 3_000
"""Conversations."""

LINES: Sequence[bytes] = (
    b"GET / HTTP/1.1", b"GET /a?b HTTP/1.1", b"HEAD /a HTTP/1.1", b"POST / HTTP/1.1", b"OPTIONS * HTTP/1.1", b"OPTIONS / HTTP/1.1",
    b"GET http://other/ HTTP/1.1", b"GET HTTP://other:8?b HTTP/1.1", b"GET / HTTP/1.0", b"\r\nGET / HTTP/1.1", b"\r\n\r\nGET / HTTP/1.1",
    b"GET / HTTP/1.2", b"TRACE / HTTP/1.1", b"GET /#a HTTP/1.1", b"GET * HTTP/1.1", b"BREW / HTTP/1.1",
    b"GET / HTTP/1.1\r\nHost: first", b"GET / HTTP/1.1\r\nGET / HTTP/1.1", b"GET /" + b"a" * 9_000 + b" HTTP/1.1",
)  # fmt: skip
"""Two of them make a section whose end is another one."""
SECTIONS: Sequence[tuple[bytes, bytes]] = (
    (b"Host: a", b""),
    (b"Host: ab", b""),
    (b"host: a", b""),
    (b"Host: a ", b""),
    (b"Host: a\r\nX-Other: b", b""),
    (b"X-Other: b\r\nHost: a", b""),
    (b"Host: a\r\nCookie: a=b", b""),
    (b"Host: a\r\nAuthorization: Bearer a", b""),
    (b"Host: a\r\nHost: a", b""),
    (b"Host: a b", b""),
    (b"Host : a", b""),
    (b"X-Other: b", b""),
    (b"Host: a\r\nAuthorization: a\r\nauthorization: b", b""),
    (b"Authorization: a\r\nExpect: 100-continue", b""),
    (b"Host: a\r\nExpect: 100-continue", b""),
    (b"Host: a\r\nExpect: more", b""),
    (b"Host: a\r\nContent-Length: 0", b""),
    (b"Host: a\r\nContent-Length: 5", b"\r\n\r\nb"),
    (b"Host: a\r\nContent-Length: 5\r\nExpect: 100-continue", b"abcde"),
    (b"Host: a\r\nTransfer-Encoding: chunked", b"4\r\n\r\n\r\n\r\n0\r\nHost: b\r\n\r\n"),
    (b"Host: a\r\nTransfer-Encoding: gzip", b""),
    (b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket", b""),
    (b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c", b""),
    (b"Host: a\r\nConnection: close", b""),
    (b"Host: a\r\nX-Long: " + b"a" * MAX_KEPT, b""),
    (b"Host: a\r\n" + b"\r\n".join(b"X-%d: a" % number for number in range(128)), b""),
)
"""Header sections, and the body behind each."""
USUAL: Sequence[tuple[bytes, bytes]] = SECTIONS[:8]
"""Those that the next request may repeat."""

Read = tuple[object, ...]


def seen(request: Request, body: bytes) -> Read:
    """Everything that a request says."""
    return (
        request.method, request.target, request.path, tuple(request.fields), request.version, request.length, request.is_chunked,
        request.has_body, request.expects, request.wants_websocket, request.authorization, request.keeps_alive, body,
    )  # fmt: skip


def read(reader: RequestReader, packets: Sequence[bytes]) -> Sequence[Read]:
    """What a reader finds in these packets, as a connection reads them: up to the first refusal, or the end of the connection."""
    found, request, body = list[Read](), None, b""
    try:
        for packet in packets:
            data = packet
            while data:
                data = reader.read(data)
                request = reader.head or request
                body += reader.body
                if request is not None and reader.is_whole:
                    found.append(seen(request, body))
                    if not request.keeps_alive or request.wants_websocket:
                        return found
                    request, body = None, b""
    except Refused as refused:
        found.append((refused.problem, refused.bound))
    return found


def conversation(rng: random.Random) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """The requests of a client, most of which repeat something, and the packets that they come in."""
    requests, few, chosen = list[bytes](), rng.sample(USUAL, 2), USUAL[0]
    for _ in range(rng.randrange(2, 8)):
        chosen = chosen if rng.random() < 0.6 else rng.choice(few) if rng.random() < 0.8 else rng.choice(SECTIONS)
        section, body = chosen
        line = LINES[0] if rng.random() < 0.8 else rng.choice(LINES)
        requests.append(line + b"\r\n" + section + b"\r\n\r\n" + body)
    if rng.random() < 0.7:
        return requests, requests
    whole = b"".join(requests)
    places = sorted(rng.randrange(len(whole)) for _ in range(rng.randrange(6)))
    return requests, [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]


def differences(seed: int) -> Sequence[str]:
    """The conversations that a reader reads otherwise than readers that know nothing, each its one request."""
    rng, wrong = random.Random(seed), list[str]()
    for _ in range(COUNT):
        requests, packets = conversation(rng)
        expected = list[Read]()
        for request in requests:
            expected += read(RequestReader(), [request])
            if expected and (len(expected[-1]) == 2 or not expected[-1][-2] or expected[-1][-4]):
                break
        found = read(RequestReader(), packets)
        if found != expected:
            wrong.append(f"{packets}: {found}, not {expected}")
    return wrong


def test_what_a_reader_knows_of_the_last_request_changes_nothing() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    wrong = differences(seed)
    assert not wrong, wrong[0]


@pytest.mark.parametrize("short", [-4, -6, 8], ids=["without its end", "without its last bytes", "its first bytes"])
def test_a_reader_that_compares_less_than_the_whole_section_is_caught(short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Section.__init__

    def shortened(self: Section, raw: bytes, fields: list[tuple[bytes, bytes]], authorization: bytes | None) -> None:
        whole(self, raw[:short], fields, authorization)

    monkeypatch.setattr(Section, "__init__", shortened)
    assert differences(1)


def test_many_of_these_conversations_repeat_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above says nothing."""
    repeated, again = list[object](), RequestReader.on_known_headers

    def noted(self: RequestReader) -> None:
        repeated.append(self)
        again(self)

    monkeypatch.setattr(RequestReader, "on_known_headers", noted)
    differences(1)
    assert len(repeated) > COUNT // 2


def test_a_large_section_is_not_kept() -> None:
    reader = RequestReader()
    for size, is_kept in ((MAX_KEPT - 16, True), (MAX_KEPT, False)):
        reader.read(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (size - 14) + b"\r\n\r\n")
        assert reader.head is not None
        assert (reader.head.section is not None) is is_kept


# --- what the upstream gets -------------------------------------------------------------------------------------------

REPEATED = b"Host: a\r\nX-Forwarded-For: 192.0.2.9\r\nAccept: */*\r\nCookie: theme=dark\r\n\r\n"


def first_of(head: bytes, name: bytes) -> bytes:
    """The value of a field that the upstream gets once."""
    (value,) = fields_of(head, name)
    return value


def test_what_the_upstream_gets_of_a_repeated_section_depends_on_the_request_that_repeats_it() -> None:
    """The path may be one to sign in on, the target may name another host, and a reload may trust the peer from now on."""

    async def story() -> None:
        async with staged(answering(OK)) as stage:
            reader, writer = await stage.open()

            async def heard(line: bytes, section: bytes = REPEATED) -> bytes:
                writer.write(line + b" HTTP/1.1\r\n" + section)
                assert (await read_answer(reader)).startswith(b"HTTP/1.1 200 ")
                return stage.heard[-1]

            first = await heard(b"GET /one")
            assert await heard(b"GET /two") == first.replace(b"/one", b"/two")
            assert await heard(b"DELETE /one") == first.replace(b"GET", b"DELETE")
            proofs = {first_of(await heard(b"GET /in/now"), b"x-session-proof") for _ in range(3)}
            assert len(proofs) == 3
            assert first_of(await heard(b"GET http://b/one"), b"host") == b"b"
            assert await heard(b"GET /one") == first
            token = await stage.login("ada")
            mine = REPEATED.replace(b"Cookie: theme=dark", b"Cookie: theme=dark\r\nX-Session-Token: " + token.encode())
            for _ in range(3):
                assert first_of(await heard(b"GET /one", mine), b"x-session-user") == b"ada"
            stage.backend.revoke_all("ada")
            assert first_of(await heard(b"GET /one", mine), b"x-session-user") == b""
            await heard(b"GET /one")
            assert await heard(b"GET /one") == first
            stage.listener.trusted = TrustedProxies(["127.0.0.1"])
            assert fields_of(await heard(b"GET /one"), b"x-forwarded-for") == [b"192.0.2.9, 127.0.0.1"]
            stage.listener.trusted = TrustedProxies(())
            assert await heard(b"GET /one") == first
            writer.close()

    asyncio.run(story())
