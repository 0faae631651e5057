"""Which path is the endpoint, and that every other one goes on byte for byte (CONTRACT.md 3)."""

from __future__ import annotations

import asyncio

import pytest

from tests.sidecar.stage import OK, answering, staged

OUR_OWN = [
    b"/auth/sessions",
    b"/auth/sessions/",
    b"/auth//sessions",
    b"/auth//sessions/",
    b"/auth/sessions?x=/y",
    b"/auth/sessions?",
    b"http://a/auth/sessions",
]
ANOTHERS = [
    b"//auth/sessions",
    b"/auth/sessions//",
    b"/AUTH/sessions",
    b"/auth%2Fsessions",
    b"/auth%2fsessions",
    b"/%61uth/sessions",
    b"/auth/sessions%20",
    b"/auth/sessions;a=b",
    b"/auth;/sessions",
    b"/x/../auth/sessions",
    b"/./auth/sessions",
    b"/auth/sessions/.",
    b"/auth/sessions%00",
    b"/auth/session",
    b"/auth/sessionsx",
    b"/auth\\sessions",
    b"/auth/sessions%3Fx",
    b"/auth/%2e/sessions",
    b"/x?/auth/sessions",
]
TARGETS = [
    *ANOTHERS,
    b"/",
    b"//",
    b"/?",
    b"/x?",
    b"/x??y",
    b"/x?y?z",
    b"/a//b///c",
    b"/%2F%2f",
    b"/a;b=c;d",
    b"/a%20b",
    b"/%",
    b"/%zz",
    b"/a|b",
    b'/a"b',
    b"/a<b>",
    b"/{a}",
    b"/a^b`c",
    b"/~a!$&'()*+,;=:@",
    b"/" + b"a" * 8_000,
    b"/..",
    b"/../../etc/passwd",
    b"/a?b=%00&c=d&c=e&",
    b"/a?http://b/",
]


@pytest.mark.parametrize("target", OUR_OWN, ids=lambda target: target.decode())
def test_the_endpoint_is_answered_here(target: bytes) -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            token, other = await stage.login("ann"), await stage.login("ann")
            request = b"DELETE " + target + b" HTTP/1.1\r\nHost: a\r\nX-Session-Token: %b\r\n\r\n"
            assert (await stage.say(request % token.encode())).endswith(b'{"count": 1}')
            assert (await stage.say(request % other.encode())).startswith(b"HTTP/1.1 401 ")
            assert stage.heard == []
            for method in (b"GET", b"POST", b"PUT", b"OPTIONS"):
                await stage.say(method + b" " + target + b" HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: DELETE\r\n\r\n")
            assert len(stage.heard) == 4

    asyncio.run(story())


def test_every_other_spelling_is_the_applications_and_revokes_nothing() -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            token, other = await stage.login("ann"), await stage.login("ann")
            for target in ANOTHERS:
                request = b"DELETE " + target + b" HTTP/1.1\r\nHost: a\r\nX-Session-Token: " + token.encode() + b"\r\n\r\n"
                assert (await stage.say(request)).startswith(b"HTTP/1.1 200 "), target
                assert stage.heard[-1].startswith(b"DELETE " + target + b" HTTP/1.1\r\n")
            await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\nX-Session-Token: " + other.encode() + b"\r\n\r\n")
            assert b"x-session-user: ann\r\n" in stage.heard[-1]

    asyncio.run(story())


def test_every_target_goes_on_byte_for_byte() -> None:
    async def story() -> None:
        async with staged(answering(OK)) as stage:
            for target in TARGETS:
                for method in (b"GET", b"PROPFIND"):
                    await stage.say(method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert stage.heard[-1].startswith(method + b" " + target + b" HTTP/1.1\r\n"), target

    asyncio.run(story())


@pytest.mark.parametrize("path", ["/auth/sessions", "/account/devices"])
def test_the_path_is_a_setting_and_forwarded_fields_do_not_move_it(path: str) -> None:
    async def story() -> None:
        async with staged(answering(OK), path=path, peers=["127.0.0.1"]) as stage:
            token = await stage.login("ann")
            moved = b"X-Forwarded-Prefix: /x\r\nX-Original-URL: /\r\nX-Forwarded-Uri: /\r\nX-Session-Token: " + token.encode() + b"\r\n\r\n"
            assert (await stage.say(b"DELETE " + path.encode() + b" HTTP/1.1\r\nHost: a\r\n" + moved)).endswith(b'{"count": 0}')
            into = b"X-Original-URL: " + path.encode() + b"\r\n" + moved
            assert (await stage.say(b"DELETE / HTTP/1.1\r\nHost: a\r\n" + into)).endswith(b"ok")

    asyncio.run(story())
