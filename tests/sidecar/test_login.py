"""The upstream signs users in and out with a field of its answer; nobody else can, and the client never sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend
from sessionward.backends.table import TableBackend
from tests.sidecar.stage import OK, Stage, answering, read_answer, staged

GET = b"GET %b HTTP/1.1\r\nHost: app.example\r\n%b\r\n"


def upstream(request: bytes) -> bytes:
    """Signs in whom the path names, signs out at ``/out``, else says who is there."""
    path = request.split(b" ")[1]
    if path.startswith(b"/in/"):
        body = request.partition(b"\r\n\r\n")[2] or b"welcome"
        return b"HTTP/1.1 200 OK\r\nSession-Login: %b; proof=%b\r\nCache-Control: max-age=5\r\nContent-Length: %d\r\n\r\n%b" % (
            path[4:],
            proof_of(request),
            len(body),
            body,
        )
    if path == b"/out":
        return b"HTTP/1.1 303 See Other\r\nLocation: /\r\nSession-Logout: 1\r\nContent-Length: 0\r\n\r\n"
    user = request.partition(b"x-session-user: ")[2].partition(b"\r\n")[0]
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(user), user)


def proof_of(request: bytes) -> bytes:
    """The proof with which the upstream may sign users in, empty if the request has none."""
    return request.partition(b"\r\nx-session-proof: ")[2].partition(b"\r\n")[0]


def fields_of(answer: bytes, name: bytes) -> list[bytes]:
    head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [line.partition(b": ")[2] for line in head if line.partition(b":")[0].lower() == name]


def cookie_of(answer: bytes) -> bytes:
    (cookie,) = fields_of(answer, b"set-cookie")
    return b"Cookie: " + cookie.partition(b";")[0] + b"\r\n"


def error_of(answer: bytes) -> str:
    error: str = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["id"]
    return error


@pytest.mark.parametrize("user", ["ann", "ann@example.com", "Zoë", "a b?d&e=f", "%41", "x" * 255])
def test_a_browser_is_given_a_cookie_and_the_upstream_then_sees_the_user(user: str) -> None:
    async def story() -> None:
        async with staged(answering(upstream)) as stage:
            await stage.say(GET % (b"/", b""))  # so that there is a connection at hand
            answer = await stage.say(GET % (b"/in/" + quote(user, safe="").encode(), b""))
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert answer.endswith(b"welcome")
            assert fields_of(answer, b"cache-control") == [b"no-store"]
            for name in (b"session-login", b"x-session-token"):
                assert fields_of(answer, name) == []
            seen = await stage.say(GET % (b"/", cookie_of(answer)))
            assert seen.endswith(quote(user, safe="").encode())

    asyncio.run(story())


def test_a_client_that_asks_is_given_the_token_and_no_cookie() -> None:
    async def story() -> None:
        async with staged(answering(upstream)) as stage:
            answer = await stage.say(GET % (b"/in/ann", b"X-Session-Token-Request: 1\r\n"))
            (token,) = fields_of(answer, b"x-session-token")
            assert fields_of(answer, b"set-cookie") == []
            assert fields_of(answer, b"cache-control") == [b"no-store"]
            assert (await stage.say(GET % (b"/", b"X-Session-Token: " + token + b"\r\n"))).endswith(b"ann")
            assert b"x-session-token-request" not in stage.heard[0]

    asyncio.run(story())


def test_the_endpoint_revokes_the_other_one_and_counts_it() -> None:
    async def story() -> None:
        async with staged(answering(upstream)) as stage:
            laptop, phone = [cookie_of(await stage.say(GET % (b"/in/ann", b""))) for _ in range(2)]
            heard = len(stage.heard)
            answer = await stage.say(b"DELETE /auth/sessions HTTP/1.1\r\nHost: app.example\r\n" + laptop + b"\r\n")
            assert answer.endswith(b'{"count": 1}')
            assert len(stage.heard) == heard
            assert (await stage.say(GET % (b"/", laptop))).endswith(b"ann")
            assert (await stage.say(GET % (b"/", phone))).endswith(b"\r\n\r\n")
            assert b"ookie" not in stage.heard[-1]

    asyncio.run(story())


def test_signing_out_revokes_the_session_and_clears_the_cookie() -> None:
    async def story() -> None:
        async with staged(answering(upstream)) as stage:
            cookie = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            answer = await stage.say(GET % (b"/out", cookie))
            assert answer.startswith(b"HTTP/1.1 303")
            assert b"Max-Age=0" in fields_of(answer, b"set-cookie")[0]
            assert fields_of(answer, b"session-logout") == []
            assert (await stage.say(GET % (b"/", cookie))).endswith(b"\r\n\r\n")

    asyncio.run(story())


def test_a_client_can_neither_sign_in_nor_out() -> None:
    async def story() -> None:
        async with staged(answering(upstream)) as stage:
            cookie = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            spoofed = b"Session-Login: eve\r\nSession-Logout: 1\r\nsession_login: eve\r\n"
            answer = await stage.say(GET % (b"/", cookie + spoofed))
            assert answer.endswith(b"ann")
            assert fields_of(answer, b"set-cookie") == []
            assert b"eve" not in stage.heard[-1]
            assert (await stage.say(GET % (b"/", cookie))).endswith(b"ann")

    asyncio.run(story())


class Gate:
    """An upstream whose sign-in waits, so that something can happen on the way."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    def __call__(self, stage: Stage) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            from tests.sidecar.stage import read_request

            while request := await read_request(reader):
                stage.heard.append(request)
                if request.startswith(b"GET /slow/"):
                    self.reached.set()
                    await self.opened.wait()
                    request = request.replace(b"/slow/", b"/in/", 1)
                writer.write(upstream(request))
                await writer.drain()

        return script


@pytest.mark.parametrize("wait", [0.0, 0.3], ids=["at once", "after a while"])
def test_a_sign_in_that_was_under_way_when_the_sessions_were_revoked_is_refused(wait: float) -> None:
    async def story() -> None:
        gate = Gate()
        async with staged(gate) as stage:  # type: ignore[arg-type]
            await stage.say(GET % (b"/", b""))
            laptop = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            late = asyncio.create_task(stage.say(GET % (b"/slow/ann", b"")))
            await gate.reached.wait()
            await stage.say(b"DELETE /auth/sessions HTTP/1.1\r\nHost: app.example\r\n" + laptop + b"\r\n")
            await asyncio.sleep(wait)
            gate.opened.set()
            answer = await late
            assert answer.startswith(b"HTTP/1.1 409 Conflict")
            assert error_of(answer) == "stale_login"
            assert fields_of(answer, b"set-cookie") == []
            assert b"welcome" not in answer
            again = await stage.say(GET % (b"/in/ann", b""))
            assert fields_of(again, b"set-cookie")

    asyncio.run(story())


def test_a_sign_in_beyond_the_limit_is_refused_where_the_setting_says_so_and_ends_nobody() -> None:
    async def story() -> None:
        async with staged(answering(upstream), max_sessions=1, at_limit="refuse") as stage:
            laptop = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            answer = await stage.say(GET % (b"/in/ann", b""))
            assert answer.startswith(b"HTTP/1.1 409 Conflict")
            assert error_of(answer) == "session_limit"
            assert fields_of(answer, b"set-cookie") == []
            assert b"welcome" not in answer
            assert (await stage.say(GET % (b"/", laptop))).endswith(b"\r\n\r\nann")
            await stage.say(GET % (b"/out", laptop))
            assert fields_of(await stage.say(GET % (b"/in/ann", b"")), b"set-cookie")

    asyncio.run(story())


def test_a_client_may_revoke_only_after_a_recent_sign_in_and_not_too_often() -> None:
    now = [1_800_000_000.0]
    delete = b"DELETE /auth/sessions HTTP/1.1\r\nHost: app.example\r\n%b\r\n"

    async def story() -> None:
        backend = MemoryBackend(clock=lambda: now[0])
        async with staged(answering(upstream), backend=backend, recent=300, rate_limit=1, sign_in="/in/?to={return_to}") as stage:
            laptop = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            for status in (b"200", b"429"):
                now[0] += 1
                cookie_of(await stage.say(GET % (b"/in/ann", b"")))
                assert (await stage.say(delete % laptop)).startswith(b"HTTP/1.1 " + status)
            often = await stage.say(delete % laptop)
            assert (error_of(often), fields_of(often, b"retry-after")) == ("rate_limited", [b"3599"])
            now[0] += 301
            old = await stage.say(delete % laptop)
            assert (error_of(old), fields_of(old, b"retry-after")) == ("session_refresh_required", [])
            assert json.loads(old.partition(b"\r\n\r\n")[2])["redirect_browser_to"] == "/in/?to=%2Fauth%2Fsessions"

    asyncio.run(story())


MALFORMED = {
    "empty": b"Session-Login: ; proof=%b\r\n",
    "not UTF-8": b"Session-Login: %%ff; proof=%b\r\n",
    "a control character": b"Session-Login: a%%00b; proof=%b\r\n",
    "two users": b"Session-Login: ann; proof=%b\r\nsession-login: bob\r\n",
    "twice the same": b"Session-Login: ann; proof=%b\r\nSession-Login: ann\r\n",
    "too long": b"Session-Login: " + b"x" * 256 + b"; proof=%b\r\n",
    "not percent-encoded": b"Session-Login: a b; proof=%b\r\n",
    "something behind the proof": b"Session-Login: ann; proof=%b; more\r\n",
    "the proof in quotes": b'Session-Login: ann; proof="%b"\r\n',
    "in and out at once": b"Session-Login: ann; proof=%b\r\nSession-Logout: 1\r\n",
    "a sign-out that is none": b"X-Proof: %b\r\nSession-Logout: 0\r\n",
}


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_sign_in_is_an_error_of_the_upstream(said: bytes) -> None:
    def answer(request: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\n" + said % proof_of(request) + b"Content-Length: 2\r\n\r\nok"

    async def story() -> None:
        async with staged(answering(answer)) as stage:
            for _ in range(2):
                answer_ = await stage.say(GET % (b"/in/ann", b""))
                assert answer_.startswith(b"HTTP/1.1 502 ")
                assert error_of(answer_) == "upstream_invalid"
                assert fields_of(answer_, b"set-cookie") == []

    asyncio.run(story())


PROOFS = {
    "none": lambda proofs: b"Session-Login: admin\r\n",
    "a wrong one": lambda proofs: b"Session-Login: admin; proof=" + b"A" * 22 + b"\r\n",
    "an empty one": lambda proofs: b"Session-Login: admin; proof=\r\n",
    "that of an earlier request": lambda proofs: b"Session-Login: admin; proof=" + proofs[0] + b"\r\n",
}


@pytest.mark.parametrize("said", PROOFS.values(), ids=PROOFS)
def test_without_the_proof_of_this_very_request_nobody_is_signed_in(said: Callable[[list[bytes]], bytes]) -> None:
    proofs: list[bytes] = []

    def answer(request: bytes) -> bytes:
        proofs.append(proof_of(request))
        return b"HTTP/1.1 200 OK\r\n" + (said(proofs) if len(proofs) > 1 else b"") + b"Content-Length: 2\r\n\r\nok"

    async def story() -> None:
        async with staged(answering(answer)) as stage:
            await stage.say(GET % (b"/in/ann", b""))
            heard = await stage.say(GET % (b"/in/ann", b"X-Session-Token-Request: 1\r\n"))
            assert heard.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 502 "))
            for name in (b"set-cookie", b"x-session-token", b"session-login", b"x-session-proof"):
                assert fields_of(heard, name) == []
        assert all(len(proof) == 22 for proof in proofs)
        assert len(set(proofs)) == 2

    asyncio.run(story())


@pytest.mark.parametrize("path", [b"/", b"/in", b"/IN/ann", b"/%69n/ann", b"//in/ann", b"/x/../in/ann"])
def test_on_another_path_there_is_no_proof_and_nobody_is_signed_in(path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with staged(answering(b"HTTP/1.1 200 OK\r\nSession-Login: admin; proof=\r\nContent-Length: 2\r\n\r\nok")) as stage:
            heard = await stage.say(GET % (path, b"X-Session-Proof: " + b"A" * 22 + b"\r\n"))
            assert heard.endswith(b"ok")
            assert fields_of(heard, b"set-cookie") == []
            assert b"x-session-proof" not in stage.heard[-1]
            assert "set --login-path" in caplog.text

    asyncio.run(story())


class Silent(MemoryBackend):
    """Signs nobody in or out any more."""

    silent = False

    def login(self, *args: Any, **named: Any) -> sessionward.Session:
        if self.silent:
            raise sessionward.BackendUnavailable("gone")
        return super().login(*args, **named)

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        if self.silent:
            raise sessionward.OutcomeUnknown("gone")
        return super().revoke(user_id, id)


def test_a_backend_that_is_silent_at_sign_in_or_sign_out_is_a_503_and_nobody_is_told_that_it_was_done() -> None:
    async def story() -> None:
        backend = Silent()
        async with staged(answering(upstream), backend=backend) as stage:
            cookie = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            backend.silent = True
            answer = await stage.say(GET % (b"/in/ann", b""))
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert error_of(answer) == "backend_unavailable"
            assert fields_of(answer, b"retry-after")
            answer = await stage.say(GET % (b"/out", cookie))
            assert error_of(answer) == "outcome_unknown"
            assert fields_of(answer, b"set-cookie") == []

    asyncio.run(story())


def test_a_backend_that_signs_nobody_in_says_so(tmp_path: object) -> None:
    async def story() -> None:
        backend = TableBackend(f"sqlite:///{tmp_path}/t.db", "sessions", key="key", user="user", cookie="sid")
        async with staged(answering(upstream), backend=backend) as stage:
            answer = await stage.say(GET % (b"/in/ann", b""))
            assert answer.startswith(b"HTTP/1.1 502 ")
        backend.close()

    asyncio.run(story())


def test_on_sqlite_with_its_threads(tmp_path: object) -> None:
    async def story() -> None:
        backend = AsyncSQLBackend(f"sqlite:///{tmp_path}/s.db")
        await backend.create_tables()
        async with staged(answering(upstream), backend=backend) as stage:
            cookie = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            assert (await stage.say(GET % (b"/", cookie))).endswith(b"ann")
            other = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            assert (await stage.say(b"DELETE /auth/sessions HTTP/1.1\r\nHost: a\r\n" + cookie + b"\r\n")).endswith(b'{"count": 1}')
            assert (await stage.say(GET % (b"/", other))).endswith(b"\r\n\r\n")
        await backend.close()

    asyncio.run(story())


def test_a_sign_in_replaces_the_session_that_this_browser_had() -> None:
    async def story() -> None:
        async with staged(answering(upstream)) as stage:
            first = cookie_of(await stage.say(GET % (b"/in/ann", b"")))
            await stage.say(GET % (b"/in/bob", first))
            assert (await stage.say(GET % (b"/", first))).endswith(b"\r\n\r\n")

    asyncio.run(story())


def test_many_sign_ins_on_one_connection() -> None:
    async def story() -> None:
        async with staged(answering(upstream)) as stage:
            reader, writer = await stage.open()
            for number in range(20):
                writer.write(GET % (b"/in/user%d" % number, b""))
                assert cookie_of(await read_answer(reader))
                writer.write(GET % (b"/", b""))
                assert (await read_answer(reader)).endswith(b"\r\n\r\n")
            writer.close()
            assert stage.connections == 1

    asyncio.run(story())


def test_the_other_fields_of_the_answer_stay_as_they_are() -> None:
    async def story() -> None:
        def answer(request: bytes) -> bytes:
            login = b"Session-Login: ann; proof=" + proof_of(request)
            fields = b"X-A: 1\r\n" + login + b"\r\nx-a: 2\r\nSet-Cookie: theme=dark\r\n"
            return b"HTTP/1.1 201 Made By Hand\r\n" + fields + OK.partition(b"\r\n")[2]

        async with staged(answering(answer)) as stage:
            heard = await stage.say(GET % (b"/in/ann", b""))
            assert heard.startswith(b"HTTP/1.1 201 Made By Hand\r\n")
            assert b"X-A: 1\r\nx-a: 2\r\nSet-Cookie: theme=dark\r\n" in heard

    asyncio.run(story())
