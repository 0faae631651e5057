"""What a client says of itself in fields that are ours never arrives, however it is spelled, and cannot take ours away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from tests.sidecar.stage import OK, Stage, answering, staged

IDENTITY = [b"X-Session-User", b"X-Session-Id", b"X-Session-Assertion"]
OURS = [*IDENTITY, b"Session-Login", b"Session-Logout", b"X-Session-Token-Request"]
HEARSAY = [
    b"X-Forwarded-For",
    b"X-Forwarded-Proto",
    b"X-Forwarded-Host",
    b"X-Forwarded-Prefix",
    b"X-Forwarded-Uri",
    b"X-Forwarded-Port",
    b"Forwarded",
    b"X-Real-IP",
    b"X-Original-URL",
    b"X-Original-Method",
    b"X-Rewrite-URL",
    b"True-Client-IP",
    b"Proxy",
]
BODY = b"1\r\nx\r\n0\r\n"
TRAILER = b"Transfer-Encoding: chunked\r\n\r\n" + BODY

Spelled = Callable[[bytes], Sequence[bytes]]
"""The parts of a request behind its Host."""

SPELLINGS: dict[str, Spelled] = {
    "as it is": lambda name: [name + b": eve\r\n\r\n"],
    "in small letters": lambda name: [name.lower() + b": eve\r\n\r\n"],
    "in capitals": lambda name: [name.upper() + b": eve\r\n\r\n"],
    "with underscores": lambda name: [name.replace(b"-", b"_") + b": eve\r\n\r\n"],
    "with one underscore": lambda name: [name.replace(b"-", b"_", 1) + b": eve\r\n\r\n"],
    "with a dot": lambda name: [name.replace(b"-", b".") + b": eve\r\n\r\n"],
    "twice": lambda name: [name + b": eve\r\n" + name + b": eve\r\n\r\n"],
    "with a blank before the colon": lambda name: [name + b" : eve\r\n\r\n"],
    "folded": lambda name: [b"X-A: 1\r\n " + name + b": eve\r\n\r\n"],
    "in a trailer": lambda name: [TRAILER + name + b": eve\r\n\r\n"],
    "in a trailer that comes later": lambda name: [TRAILER, name + b": eve\r\n\r\n"],
    "named by Connection": lambda name: [name + b": eve\r\nConnection: " + name + b"\r\n\r\n"],
    "named by Connection alone": lambda name: [b"Connection: close, " + name.lower() + b"\r\n\r\n"],
    "behind a bare line feed": lambda name: [b"X-A: 1\n" + name + b": eve\r\n\r\n"],
}


def values(heard: bytes, name: bytes) -> list[bytes]:
    """Of a field, by any name that some server folds into this one."""
    lines = heard.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    folded = name.lower().replace(b"-", b"_")
    return [
        line.partition(b":")[2].strip()
        for line in lines
        if line.partition(b":")[0].lower().replace(b"-", b"_").replace(b".", b"_") == folded
    ]


async def tries(stage: Stage, parts: Sequence[bytes], *fields: bytes) -> list[bytes]:
    """Send it; the requests that have reached the upstream, or none if it was refused."""
    stage.heard.clear()
    head = b"POST / HTTP/1.1\r\nHost: app.example\r\n" + b"".join(field + b"\r\n" for field in fields)
    answer = await stage.say(head + parts[0], *parts[1:])
    assert answer[9:12] in (b"200", b"400"), answer
    assert bool(stage.heard) == (answer[9:12] == b"200")
    return stage.heard


@pytest.mark.parametrize("peers", [(), ("127.0.0.1",)], ids=["a stranger", "a trusted proxy"])
@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_a_field_of_ours_never_arrives_and_the_true_one_always_does(spelled: Spelled, peers: Sequence[str]) -> None:
    async def story() -> None:
        async with staged(answering(OK), peers=peers, signer=Signs()) as stage:
            token = await stage.login("ann")
            await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            for name in OURS:
                for credential, user in (([], b""), ([b"X-Session-Token: " + token.encode()], b"ann")):
                    for heard in await tries(stage, spelled(name), *credential):
                        assert b"eve" not in heard
                        assert values(heard, b"X-Session-User") == [user]
                        assert values(heard, b"X-Session-Assertion") == [b"signed for ann" if user else b""]
                        assert len(values(heard, b"X-Session-Id")) == 1
                        assert not any(values(heard, other) for other in OURS[3:])

    asyncio.run(story())


class Signs:
    def sign(self, session: Any, now: float, /) -> bytes:
        return f"signed for {session.user_id}".encode()


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_hearsay_of_a_stranger_never_arrives(spelled: Spelled) -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            for name in HEARSAY:
                for heard in await tries(stage, spelled(name)):
                    assert b"eve" not in heard
                    assert values(heard, b"X-Forwarded-For") == [b"127.0.0.1"]
                    assert values(heard, b"X-Forwarded-Proto") == [b"http"]
                    assert values(heard, b"X-Forwarded-Host") == [b"app.example"]

    asyncio.run(story())


@pytest.mark.parametrize("name", ["X_Session_Token", "X-Session_Token", "X.Session.Token"])
def test_a_credential_in_a_spelling_that_we_do_not_read_does_not_arrive(name: str) -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            token = await stage.login("ann")
            await stage.say(f"GET / HTTP/1.1\r\nHost: a\r\n{name}: {token}\r\n\r\n".encode())
            assert token.encode() not in stage.heard[0]
            assert values(stage.heard[0], b"X-Session-User") == [b""]

    asyncio.run(story())


@pytest.mark.parametrize("name", ["Cookie", "Authorization", "Host", "Content-Length", "X-Session-Token", "Content-Type"])
def test_connection_cannot_take_out_what_the_request_is_judged_by(name: str) -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            fields = "Cookie: a=b\r\nAuthorization: Basic YTpi\r\nX-Session-Token: x\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
            fields += f"Connection: {name}"
            await stage.say(f"POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nabc".encode())
            assert len(values(stage.heard[0], name.encode())) == 1
            assert stage.heard[0].endswith(b"\r\n\r\nabc")

    asyncio.run(story())


def test_hop_by_hop_fields_go_and_what_connection_names_goes_with_them() -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            gone = b"Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: X-A\r\nProxy-Authorization: Basic x\r\n"
            gone += b"X-Mine: 1\r\nConnection: X-Mine, keep-alive\r\n"
            await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\n" + gone + b"X-Kept: 1\r\n\r\n")
            names = [line.partition(b":")[0] for line in stage.heard[0].split(b"\r\n")[1:-2]]
            assert names == [
                b"host",
                b"x-kept",
                b"x-forwarded-for",
                b"x-forwarded-proto",
                b"x-forwarded-host",
                b"x-session-user",
                b"x-session-id",
            ]

    asyncio.run(story())


ANSWERED = {
    "a login": b"Session-Login: ann",
    "in small letters": b"session-login: ann",
    "with underscores": b"Session_Login: eve",
    "a logout": b"Session-Logout: 1",
    "a proof": b"X-Session-Proof: 1",
    "a token request": b"X-Session-Token-Request: 1",
    "an identity": b"X-Session-User: eve",
    "a hop": b"Keep-Alive: 5",
    "named by Connection": b"X-Mine: eve\r\nConnection: X-Mine",
}


@pytest.mark.parametrize("line", ANSWERED.values(), ids=ANSWERED)
def test_what_an_answer_says_to_us_does_not_reach_the_client(line: bytes) -> None:
    async def story() -> None:
        answer = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok"
        async with staged(answering(answer)) as stage:
            for _ in range(2):
                said = await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                head = said.partition(b"\r\n\r\n")[0].lower()
                assert b"x-kept: 1" in head
                assert not values(said, line.partition(b":")[0])
                assert b"eve" not in said

    asyncio.run(story())


# --- what a trusted proxy says ----------------------------------------------------------------------------------------

CHAINS: dict[str, tuple[str, Sequence[str], Any, str | None]] = {
    "nobody is trusted": ("", ["6.6.6.6"], "10.0.0.1", "10.0.0.1"),
    "a stranger": ("10.0.0.0/8", ["6.6.6.6"], "192.0.2.1", "192.0.2.1"),
    "one proxy": ("10.0.0.0/8", ["6.6.6.6"], "10.0.0.1", "6.6.6.6"),
    "what the client had said before is hearsay": ("10.0.0.0/8", ["1.1.1.1, 6.6.6.6"], "10.0.0.1", "6.6.6.6"),
    "two proxies": ("10.0.0.0/8", ["1.1.1.1, 6.6.6.6, 10.0.0.2"], "10.0.0.1", "6.6.6.6"),
    "two fields": ("10.0.0.0/8", ["1.1.1.1, 6.6.6.6", "10.0.0.2"], "10.0.0.1", "6.6.6.6"),
    "only proxies": ("10.0.0.0/8", ["10.0.0.3, 10.0.0.2"], "10.0.0.1", "10.0.0.3"),
    "no field": ("10.0.0.0/8", [], "10.0.0.1", "10.0.0.1"),
    "an empty field": ("10.0.0.0/8", [""], "10.0.0.1", "10.0.0.1"),
    "rubbish": ("10.0.0.0/8", ["6.6.6.6, unknown"], "10.0.0.1", "10.0.0.1"),
    "a port": ("10.0.0.0/8", ["6.6.6.6:1234"], "10.0.0.1", "6.6.6.6"),
    "IPv6": ("fd00::/8", ["2001:db8::1"], "fd00::1", "2001:db8::1"),
    "IPv6 with a port": ("fd00::/8", ["[2001:db8::1]:443"], "fd00::1", "2001:db8::1"),
    "IPv4 inside of IPv6": ("10.0.0.0/8", ["6.6.6.6"], "::ffff:10.0.0.1", "6.6.6.6"),
    "a trusted network inside of IPv6": ("::ffff:10.0.0.0/104", ["6.6.6.6"], "10.0.0.1", "6.6.6.6"),
    "a trusted address inside of IPv6": ("::ffff:10.0.0.1", ["6.6.6.6"], "10.0.0.1", "6.6.6.6"),
    "a unix socket": ("unix", ["6.6.6.6"], None, "6.6.6.6"),
    "a unix socket that nobody trusts": ("10.0.0.0/8", ["6.6.6.6"], None, None),
}


@pytest.mark.parametrize(("trusted", "fields", "peer", "client"), CHAINS.values(), ids=CHAINS)
def test_the_client_is_the_last_one_that_no_trusted_proxy_is(
    trusted: str, fields: Sequence[str], peer: str | None, client: str | None
) -> None:
    found = TrustedProxies(filter(None, [trusted])).client_of(peer, [(b"x-forwarded-for", field.encode()) for field in fields])
    assert found == client


def test_behind_a_trusted_proxy_its_word_goes_on_and_it_is_added_itself() -> None:
    async def story() -> None:
        async with staged(answering(OK), peers=["127.0.0.1"]) as stage:
            await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            said = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
            said += b"X-Forwarded-Prefix: /app\r\nX-Real-IP: 6.6.6.6\r\n"
            await stage.say(b"GET / HTTP/1.1\r\nHost: internal\r\n" + said + b"\r\n")
            heard = stage.heard[-1]
            assert values(heard, b"X-Forwarded-For") == [b"6.6.6.6, 127.0.0.1"]
            assert values(heard, b"X-Forwarded-Proto") == [b"https"]
            assert values(heard, b"X-Forwarded-Host") == [b"shop.example"]
            assert values(heard, b"X-Forwarded-Prefix") == [b"/app"]
            assert values(heard, b"Host") == [b"internal"]

    asyncio.run(story())
