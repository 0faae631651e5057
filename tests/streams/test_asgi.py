"""Under ASGI a stream ends with its session, whatever the application does, and no other stream does."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import monotonic
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine, event
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import sessionward
from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import SQLBackend
from sessionward.door.parts import warn
from sessionward.drive import async_driver
from sessionward.identify import Identity
from sessionward.lease import WAITED
from sessionward.streams import asgi
from sessionward.streams.registry import Registry
from sessionward.streams.watching import Watching
from tests.doors.keepers import Foreign, Memory, Rows
from tests.doors.sides import SECRET
from tests.streams.leasing import LEASE, Leasing
from tests.streams.played import RECHECK, Client, Many, door_of, periods, played, scope_of, token_of, until
from tests.support.sessions import started

HEAD = {"type": "http.response.start", "status": 200, "headers": []}


async def listens(scope: Any, receive: Any, send: Any) -> None:
    """Streams, and leaves at the disconnect, as ASGI wants it."""
    if scope["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        scope["state"] = await receive()
        return
    await receive()
    await send(HEAD)
    await send({"type": "http.response.body", "body": b"1", "more_body": True})
    scope["state"] = await receive()


async def talks(scope: Any, receive: Any, send: Any) -> None:
    """Sends on and on, and never receives: it learns the end from ``send``."""
    await send({"type": "websocket.accept"} if scope["type"] == "websocket" else HEAD)
    part = {"type": "websocket.send", "text": "1"} if scope["type"] == "websocket" else {"type": "http.response.body", "more_body": True}
    while True:
        await send(part)
        await asyncio.sleep(0.01)


async def sleeps(scope: Any, receive: Any, send: Any) -> None:
    """Does nothing at all after its head."""
    await send({"type": "websocket.accept"} if scope["type"] == "websocket" else HEAD)
    await asyncio.sleep(3600)


async def ignores(scope: Any, receive: Any, send: Any) -> None:
    """Receives on and on, whatever comes."""
    await send({"type": "websocket.accept"} if scope["type"] == "websocket" else HEAD)
    while True:
        await receive()


async def _events() -> Any:
    while True:
        yield b"data: 1\n\n"
        await asyncio.sleep(0.01)


async def _sse(request: Any) -> StreamingResponse:
    return StreamingResponse(_events(), media_type="text/event-stream")


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    with pytest.raises(WebSocketDisconnect):
        await socket.receive_text()


starlette = Starlette(routes=[Route("/events", _sse), WebSocketRoute("/events", _socket)])
KINDS = ["http", "websocket"]
BEHAVIOURS = [listens, talks, sleeps, ignores, starlette]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("app", BEHAVIOURS, ids=["listens", "talks", "sleeps", "ignores", "starlette"])
def test_the_streams_of_the_others_end_and_no_other(app: Any, kind: str) -> None:
    backend = Many()

    async def story() -> None:
        own, other, bob = token_of(backend, "ann"), token_of(backend, "ann"), token_of(backend, "bob")
        door = door_of(app, backend)
        opened = [await Client(door, token, kind=kind).begun() for token in (own, own, other, other, bob, bob)]
        victims, bystanders = opened[2:4], [*opened[:2], *opened[4:]]
        pressed = Client(door, own, path="/auth/sessions", method="DELETE")
        await pressed.over
        assert b'"count": 1' in pressed.sent[-1]["body"]
        began = monotonic()
        await asyncio.wait([victim.over for victim in victims])
        assert monotonic() - began < 3 * RECHECK + (2 * GRACE if app in (sleeps, ignores) else 0) + MARGIN
        for victim in victims:
            assert victim.over.exception() is None  # a traceback in the log of the server
            if kind == "websocket":
                assert victim.sent[-1] == {"type": "websocket.close", "code": 1008, "reason": ""}
            else:
                assert victim.sent[-1].get("more_body", victim.kinds[-1] == "http.response.start")  # never the end of the answer
        await periods(backend, 3)
        for stays in bystanders:
            assert not stays.over.done()
            assert "websocket.close" not in stays.kinds
            stays.over.cancel()
        await asyncio.wait([stays.over for stays in bystanders])

    with patch.object(asgi, "GRACE", GRACE):
        played(story)


GRACE = 0.15
MARGIN = 10.0
"""Seconds more, for a machine that is busy."""


def test_one_question_in_a_period_for_all_streams_whatever_their_number() -> None:
    backend = Many()

    async def story() -> None:
        door = door_of(listens, backend)
        tokens = [token_of(backend, user) for user in ("ann", "ann", "bob")]
        clients = [await Client(door, token, kind=kind).begun() for token in tokens for kind in KINDS for _ in range(10)]
        began = monotonic()
        await periods(backend, 5)
        assert monotonic() - began > 4 * RECHECK  # the timer is not early
        assert {len(question) for question in backend.questions} == {3}
        assert backend.asked.count("find") == len(clients)  # at admission, and never again
        for client in clients:
            client.given.put_nowait({"type": "http.disconnect"})
        await asyncio.wait([client.over for client in clients])
        asked = len(backend.questions)
        await asyncio.sleep(3 * RECHECK)
        assert len(backend.questions) == asked  # the timer has ended with the last stream
        one = await Client(door, tokens[0], kind="websocket").begun()
        await periods(backend, 1)  # and begins again
        one.given.put_nowait({"type": "websocket.disconnect"})
        await one.over

    played(story)


def test_the_answer_about_many_streams_is_not_searched_for_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With thousands of them that would hold the event loop for seconds."""
    backend, compared = Many(), [0]
    equal = Credential.__eq__

    def counting(one: Credential, other: object) -> bool:
        compared[0] += 1
        return equal(one, other)

    async def story() -> None:
        door = door_of(listens, backend)
        clients = [await Client(door, token_of(backend, f"user {number}"), kind="websocket").begun() for number in range(SIZE)]
        await until(lambda: backend.questions and len(backend.questions[-1]) == SIZE)
        monkeypatch.setattr(Credential, "__eq__", counting)
        before = len(backend.questions)
        await periods(backend, 3)
        asked = len(backend.questions) - before
        monkeypatch.undo()
        assert compared[0] <= 10 * SIZE * asked
        for client in clients:
            client.given.put_nowait({"type": "websocket.disconnect"})
        await asyncio.wait([client.over for client in clients])

    played(story)


SIZE = 100
"""Streams. If each of them was searched for among all, that would be thousands of comparisons."""


def test_an_outage_cuts_nothing_and_the_next_period_asks_again(caplog: pytest.LogCaptureFixture) -> None:
    backend = Many()

    async def story() -> None:
        token = token_of(backend, "ann")
        client = await Client(door_of(listens, backend), token, kind="websocket").begun()

        def fails() -> None:
            raise sessionward.BackendUnavailable("gone")

        backend.on_many = fails
        backend.revoke_all("ann")
        await periods(backend, 3)
        assert not client.over.done()
        backend.on_many = lambda: None
        await client.over
        assert client.sent[-1]["code"] == 1008

    played(story)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_that_logs_out_or_expires_takes_its_streams_along(kind: str) -> None:
    backend = Many()

    async def story() -> None:
        door = door_of(listens, backend)
        out, late = token_of(backend, "ann"), token_of(backend, "bob")
        leaves = await Client(door, out, kind=kind).begun()

        async def logs_out(scope: Any, receive: Any, send: Any) -> None:
            await sessionward.of(scope).logout()
            await send(HEAD)
            await send({"type": "http.response.body"})

        await Client(door_of(logs_out, backend), out).over
        await leaves.over
        expires = await Client(door, late, kind=kind).begun()
        await periods(backend, 2)
        assert not expires.over.done()
        backend.now += 3601
        await expires.over

    played(story)


def test_a_request_that_is_no_stream_may_finish() -> None:
    """P9: it was admitted. A response counts as a stream when it has been under way for a period."""
    backend = Many()

    async def story() -> None:
        revoked = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await revoked.wait()
            await asyncio.sleep(3 * RECHECK)
            await send(HEAD)
            await send({"type": "http.response.body", "body": b"a report", "more_body": True})
            await send({"type": "http.response.body"})
            await asyncio.sleep(3 * RECHECK)  # and a background task of the framework's

        client = Client(door_of(slow, backend), token_of(backend, "ann"))
        await asyncio.sleep(0)
        backend.revoke_all("ann")
        revoked.set()
        await client.over
        assert client.kinds == ["http.response.start", "http.response.body", "http.response.body"]
        assert backend.questions == []

    with patch.object(asgi, "GRACE", 0.01):
        played(story)


def test_a_stream_that_has_just_begun_is_cut_when_it_is_one() -> None:
    backend = Many()

    async def story() -> None:
        ahead = await Client(door_of(listens, backend, recheck=0.4), token_of(backend, "bob")).begun()
        door = door_of(listens, backend, recheck=0.4)
        keeps = await Client(door, token_of(backend, "bob")).begun()
        await asyncio.sleep(0.3)  # the question comes 0.1 s later, and the stream is due 0.4 s later
        began = monotonic()
        client = await Client(door, token_of(backend, "ann")).begun()
        backend.revoke_all("ann")
        await client.over
        assert 0.39 < monotonic() - began < 0.4 + MARGIN
        for stays in (ahead, keeps):
            assert not stays.over.done()
            stays.over.cancel()
        await asyncio.wait([ahead.over, keeps.over])

    played(story)


def test_a_socket_that_signs_in_at_its_handshake_is_watched() -> None:
    backend = Many()

    async def signs_in(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await sessionward.of(scope).login("ann")
        await send({"type": "websocket.accept"})
        scope["state"] = await receive()

    async def story() -> None:
        client = await Client(door_of(signs_in, backend), None, kind="websocket").begun()
        await periods(backend, 1)
        assert not client.over.done()
        backend.revoke_all("ann")
        await client.over
        assert client.scope["state"] == {"type": "websocket.disconnect", "code": 1008, "reason": ""}
        assert client.sent[-1]["code"] == 1008

    played(story)


def test_a_socket_that_revokes_all_sessions_of_its_own_user_is_closed_too() -> None:
    backend = Many()

    async def revokes(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await sessionward.of(scope).revoke_all("ann")
        scope["state"] = await receive()

    async def story() -> None:
        client = Client(door_of(revokes, backend), token_of(backend, "ann"), kind="websocket")
        await client.over
        assert client.scope["state"] == {"type": "websocket.disconnect", "code": 1008, "reason": ""}
        assert client.sent[-1]["code"] == 1008

    played(story)


class Sid:
    """Reads the application's own login: a cookie whose value is the user."""

    cookies = ("sid",)
    blocking = False
    lifetime = 1000.0

    def identify(self, _name: str, value: str, /) -> Identity:
        return Identity(user_id=value)


def test_a_stream_whose_login_is_adopted_by_its_own_response_is_watched() -> None:
    backend = Many()

    async def story() -> None:
        door = door_of(listens, backend, identify=Sid())
        clients = [Client(door, None) for _ in range(2)]
        for client, user in zip(clients, ("ann", "bob"), strict=True):  # they begin at the next await
            client.scope["headers"] = [(b"cookie", f"sid={user}".encode())]
        for client in clients:
            await client.begun()
            assert any(name == b"set-cookie" for name, _ in client.sent[0]["headers"])
        backend.revoke_all("ann")
        await clients[0].over
        assert not clients[1].over.done()
        clients[1].given.put_nowait({"type": "http.disconnect"})
        await clients[1].over

    played(story)


@pytest.mark.parametrize("kind", KINDS)
def test_p1_a_stream_is_cut_only_when_no_worker_trusts_its_session_any_more(kind: str) -> None:
    """The cut says that the session has ended, as a refusal does."""
    backend, cut_at = Leasing(), list[float]()

    async def notes(scope: Any, receive: Any, send: Any) -> None:
        await listens(scope, receive, send)
        cut_at.append(monotonic())

    async def story() -> None:
        token = token_of(backend, "ann")
        client = await Client(door_of(notes, backend, lease=LEASE), token, kind=kind).begun()
        backend.revoke_all("ann")
        await client.over

    played(story)
    assert cut_at[0] >= backend.known_at[0] + WAITED * LEASE


def test_p7_a_stream_is_not_cut_while_it_is_not_known_for_how_long_it_is_trusted() -> None:
    backend, asked = Leasing(), list[float]()

    def fails() -> float:
        asked.append(monotonic())
        raise sessionward.BackendUnavailable("gone")

    async def story() -> None:
        client = await Client(door_of(listens, backend, lease=LEASE), token_of(backend, "ann")).begun()
        with patch.object(backend, "lease_wait", fails):
            backend.revoke_all("ann")
            await until(lambda: len(asked) >= 3)
            assert not client.over.done()
        await client.over

    played(story)


def test_daphne_is_told_another_code() -> None:
    backend = Many()

    async def story() -> None:
        sent: list[Any] = []

        async def send(_protocol: object, message: Any) -> None:
            sent.append(message)

        send.__module__ = "daphne.server"

        async def as_daphne(scope: Any, receive: Any, _send: Any) -> None:
            await door_of(listens, backend)(scope, receive, partial(send, None))

        client = Client(as_daphne, token_of(backend, "ann"), kind="websocket")
        await until(lambda: sent)
        backend.revoke_all("ann")
        await client.over
        assert [message.get("code") for message in sent] == [None, 4001]

    played(story)


def test_a_blocked_send_is_cancelled() -> None:
    backend = Many()

    async def story() -> None:
        client = Client(door_of(talks, backend), token_of(backend, "ann"))
        await client.begun()
        client.blocked = asyncio.Event()  # the client reads no more
        await until(lambda: len(client.sent) > 1)
        backend.revoke_all("ann")
        await client.over
        assert client.over.exception() is None

    with patch.object(asgi, "GRACE", GRACE):
        played(story)


@pytest.mark.parametrize("app", [listens, talks, sleeps], ids=["listens", "talks", "sleeps"])
def test_a_cancellation_of_the_servers_is_not_swallowed(app: Any) -> None:
    """Also at the moment of the cut, since the server counts on it."""
    backend = Many()

    async def story() -> None:
        for moment in range(8):
            token = token_of(backend, "ann")
            client = await Client(door_of(app, backend), token).begun()
            cutting: list[Any] = []

            def cut(stream: Any, seen: list[Any] = cutting, client: Client = client, moment: int = moment) -> None:
                original(stream)
                seen.append(stream)
                if moment < 4:
                    client.over.cancel()

            with patch.object(asgi.ASGIStream, "cut", cut):
                backend.revoke_all("ann")
                await until(lambda: cutting)  # noqa: B023 - it is asked before the loop goes on
                if moment >= 4:
                    for _ in range(moment - 4):
                        await asyncio.sleep(0)
                    if client.over.done():
                        continue
                    client.over.cancel()
                await asyncio.wait({client.over})
            assert client.over.cancelled() or moment > 4

    original = asgi.ASGIStream.cut
    with patch.object(asgi, "GRACE", GRACE):
        played(story)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_cut_once_and_nothing_is_asked_about_it_any_more(kind: str) -> None:
    """An application that cleans up for longer than a period is neither told again nor cancelled earlier."""
    backend, cleaned = Many(), list[str]()

    async def cleans_up(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"} if kind == "websocket" else HEAD)
        if kind == "websocket":
            await receive()
        await receive()
        await asyncio.sleep(4 * RECHECK)
        cleaned.append("whole")

    async def story() -> None:
        client = await Client(door_of(cleans_up, backend), token_of(backend, "ann"), kind=kind).begun()
        if kind == "http":
            await until(lambda: client.given.empty())
        backend.revoke_all("ann")
        await until(lambda: backend.questions)
        await client.over
        assert cleaned == ["whole"]
        assert client.kinds.count("websocket.close") == (kind == "websocket")
        assert len(backend.questions) <= 2

    played(story)


@pytest.mark.parametrize("listens_first", [False, True], ids=["alone", "beside one that listens"])
def test_an_application_that_polls_for_the_disconnect_gets_it(listens_first: bool) -> None:
    """Starlette's ``request.is_disconnected()`` gives ``receive`` no time to wait."""
    backend, noticed = Many(), list[bool]()

    async def polls(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await request.body()
        await send(HEAD)
        if listens_first:
            assert (await receive())["type"] == "http.disconnect"
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        noticed.append(True)

    async def story() -> None:
        client = await Client(door_of(polls, backend), token_of(backend, "ann")).begun()
        backend.revoke_all("ann")
        await client.over

    with patch.object(asgi, "GRACE", 5 * MARGIN):
        played(story)
    assert noticed == [True]


def test_a_cancellation_from_before_the_cut_is_not_swallowed() -> None:
    """An application that cleans up for long is cancelled by us as well, and only that second time is ours."""
    backend, cancelled = Many(), list[int]()

    async def cleans_up(scope: Any, receive: Any, send: Any) -> None:
        await send(HEAD)
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.append(1)
            await asyncio.sleep(3600)

    async def story() -> None:
        client = await Client(door_of(cleans_up, backend), token_of(backend, "ann")).begun()
        client.over.cancel()
        await until(lambda: cancelled)
        backend.revoke_all("ann")
        await asyncio.wait({client.over})
        assert client.over.cancelled()

    with patch.object(asgi, "GRACE", GRACE):
        played(story)


def test_a_fault_of_the_application_after_the_cut_is_still_reported() -> None:
    backend = Many()

    async def faulty(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(HEAD)
        assert (await receive())["type"] == "http.disconnect"
        raise ZeroDivisionError

    async def story() -> None:
        client = await Client(door_of(faulty, backend), token_of(backend, "ann")).begun()
        backend.revoke_all("ann")
        await asyncio.wait({client.over})
        assert isinstance(client.over.exception(), ZeroDivisionError)

    played(story)


# --- what is watched --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "settings", "is_watched"),
    [
        pytest.param("/events", {}, True, id="by default"),
        pytest.param("/events", {"recheck": None}, False, id="switched off"),
        pytest.param("/events/1", {"recheck_paths": ["/a", "/events/"]}, True, id="named"),
        pytest.param("/%65vents/1", {"recheck_paths": ["/events/"]}, True, id="named, in another spelling"),
        pytest.param("/a/../events/1", {"recheck_paths": ["/events/"]}, True, id="named, perhaps"),
        pytest.param("/other", {"recheck_paths": ["/events/"]}, False, id="not named"),
        pytest.param("/events", {"recheck_paths": []}, False, id="none named"),
        pytest.param("/events", {"exempt_paths": ["/events"]}, False, id="exempt"),
    ],
)
def test_the_settings_say_what_is_watched(path: str, settings: dict[str, Any], is_watched: bool, kind: str) -> None:
    backend = Many()

    async def story() -> None:
        client = await Client(door_of(listens, backend, **settings), token_of(backend, "ann"), kind=kind, path=path).begun()
        backend.revoke_all("ann")
        if is_watched:
            await client.over
        else:
            await asyncio.sleep(4 * RECHECK)
            assert not client.over.done()
            assert backend.questions == []
            client.given.put_nowait({"type": f"{kind}.disconnect"})
            await client.over

    played(story)


@pytest.mark.parametrize("raw", ["/app/events/1", "/%61pp/events/1", "/app/%65vents/1"])
def test_below_a_mount_every_spelling_of_it_is_watched_too(raw: str) -> None:
    """A server gives the mount decoded, and who holds a session chooses how to write it."""
    backend = Many()

    async def story() -> None:
        door = door_of(listens, backend, recheck_paths=["/events/"])

        async def mounted(scope: Any, receive: Any, send: Any) -> None:
            await door({**scope, "path": "/app/events/1", "root_path": "/app", "raw_path": raw.encode()}, receive, send)

        client = await Client(mounted, token_of(backend, "ann")).begun()
        backend.revoke_all("ann")
        await client.over

    played(story)


def test_a_backend_without_find_many_is_asked_about_each_session() -> None:
    backend = Memory()

    async def story() -> None:
        door = door_of(listens, Foreign(backend))
        tokens = [token_of(backend, user) for user in ("ann", "bob") for _ in range(20)]
        clients = [await Client(door, token, kind="websocket").begun() for token in tokens]
        backend.revoke_all("ann")
        await asyncio.wait([client.over for client in clients[:20]])
        assert not any(client.over.done() for client in clients[20:])
        for client in clients[20:]:
            client.given.put_nowait({"type": "websocket.disconnect"})
        await asyncio.wait([client.over for client in clients])

    played(story)


def test_sessions_of_the_application_are_not_watched_and_the_setting_says_so() -> None:
    rows = Rows(key="ann")
    sessionward.ASGIMiddleware(listens, rows)
    with pytest.raises(sessionward.ConfigurationError, match="recheck_paths: we watch no streams"):
        sessionward.ASGIMiddleware(listens, rows, recheck_paths=["/events"])


def test_nothing_of_a_session_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    backend = Many()

    async def story() -> None:
        token = token_of(backend, "ann")
        client = await Client(door_of(talks, backend), token).begun()
        backend.revoke_all("ann")
        await client.over
        assert token not in caplog.text

    with caplog.at_level(logging.DEBUG):
        played(story)
    assert SECRET not in caplog.text


def test_under_trio_streams_are_not_watched_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    trio = pytest.importorskip("trio")
    warn.cache_clear()
    backend = Many()
    token = token_of(backend, "ann")
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = scope_of(token)
    trio.run(door_of(listens, backend), scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert "not watched under trio" in caplog.text


def test_over_a_database_it_is_one_statement_in_a_period(sqlite_url: str) -> None:
    statements: list[str] = []
    aside = SQLBackend(sqlite_url)
    aside.create_tables()
    tokens = [started(aside, user)[1] for user in ("ann", "ann", "bob")]

    def note(statement: str) -> None:
        if "PRAGMA" not in statement:  # with which our backend sets up the connection of another engine
            statements.append(statement)

    async def story() -> None:
        engine = create_engine(sqlite_url)
        event.listen(engine, "connect", lambda connection, _record: connection.set_trace_callback(note))
        backend = SQLBackend(engine)
        door = door_of(listens, backend, recheck=0.5)
        clients = [await Client(door, token, kind=kind).begun() for token in tokens for kind in KINDS for _ in range(10)]
        before = len(statements)
        began = monotonic()
        await until(lambda: len(statements) >= before + 3)
        assert monotonic() - began > 2 * 0.5 - 0.1  # so there was one in each period
        assert all("WHERE digest IN" in statement for statement in statements[before:])
        aside.revoke_all("ann")
        await asyncio.wait([client.over for client in clients[:40]])
        assert not any(client.over.done() for client in clients[40:])
        for client in clients[40:]:
            client.given.put_nowait({"type": "http.disconnect"})
        await asyncio.wait([client.over for client in clients])
        backend.close()
        engine.dispose()

    played(story)
    aside.close()


def test_a_stream_that_cannot_be_cut_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Open:
        """An open stream of a session that the backend does not know."""

        _due = 0.0

        def __init__(self, *, fails: bool) -> None:
            self._proof = Credential(b"nobody")
            self._fails = fails
            self.is_cut = False

        def _cut(self) -> None:
            self.is_cut = True
            if self._fails:
                raise OSError("no descriptor is free")

    async def story() -> None:
        driver = async_driver(MemoryBackend(), 1.0, is_async=False, blocks=False)
        watching = Watching(RECHECK, None, asks_many=True, has_leases=False)
        registry = Registry(watching, driver, asyncio.get_running_loop())
        opened = [Open(fails=number % 2 == 0) for number in range(10)]
        for stream in opened:
            registry.add(stream)
        await until(lambda: all(stream.is_cut for stream in opened))
        for stream in opened:
            registry.discard(stream)

    played(story)
    assert caplog.text.count("could not be cut") >= 5
