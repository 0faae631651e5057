"""The protocol carries other people's sessions: the contract over their table, and the same behind both doors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import sessionward
from sessionward import AsyncSessions, Sessions
from sessionward.testing import BackendContract, Client, World
from sessionward.testing.bridge import Loop
from sessionward.wsgi import StartResponse
from tests.backends.keytable import COOKIE, AsyncKeyTable, KeyTable
from tests.contract.doors import Answer, asgi_scope, ask_asgi, ask_wsgi, wsgi_environ


class KeyTableWorld(World):
    """The application inserts its rows without us."""

    def __init__(self, path: Path, *, is_async: bool) -> None:
        self.table = KeyTable(path)
        super().__init__(AsyncKeyTable(path) if is_async else self.table)

    def sign_in(self, user: str = "ann") -> Client:
        key = uuid4().hex
        with self.table.transaction() as table:
            table.execute("INSERT INTO logins VALUES (?, ?)", (user, key))
        return self.client(key)


class TestKeyTable(BackendContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> KeyTableWorld:
        return KeyTableWorld(tmp_path / "app.db", is_async=False)

    def test_p4_an_end_that_fails_changes_nothing_and_a_repeat_completes_it(self, world: KeyTableWorld) -> None:
        own, *others = [world.sign_in() for _ in range(4)]
        last = others[-1].credential.reveal()
        with world.table.transaction() as table:
            table.execute(f"CREATE TRIGGER refusing BEFORE DELETE ON logins WHEN OLD.key = '{last}' BEGIN SELECT RAISE(ABORT, ''); END")
        with pytest.raises(sqlite3.IntegrityError):
            world.sessions.revoke_others(own.session)
        assert world.lives(own, *others) == [True] * 4
        with world.table.transaction() as table:
            table.execute("DROP TRIGGER refusing")
        assert world.sessions.revoke_others(own.session) == 3


class TestAsyncKeyTable(BackendContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[KeyTableWorld]:
        world = KeyTableWorld(tmp_path / "app.db", is_async=True)
        yield world
        world.close()


# --- behind both doors ------------------------------------------------------------------------------------------------


class Door:
    """An application behind a door: what it is called with, and what comes out."""

    def __init__(self, world: KeyTableWorld, ask: Callable[[Door, dict[str, Any], str, str], Answer]) -> None:
        self.world = world
        self.seen: list[Any] = []
        self.given: list[Any] = []
        self._ask = ask

    def __call__(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self._ask(self, headers or {}, method, path)

    def wsgi(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        self.seen += [environ, start_response]
        start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", f"{COOKIE}=theirs; Path=/")])
        return [b"theirs"]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen += [scope, receive, send]
        headers = [(b"content-type", b"text/plain"), (b"set-cookie", f"{COOKIE}=theirs; Path=/".encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"theirs"})


def through_wsgi(door: Door, headers: dict[str, str], method: str, path: str) -> Answer:
    wrapped = sessionward.WSGIMiddleware(door.wsgi, door.world.backend)
    environ = wsgi_environ(method, path, headers)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        door.given = [environ, start_response]
        return wrapped(environ, start_response)

    return ask_wsgi(app, environ)


def through_asgi(door: Door, headers: dict[str, str], method: str, path: str) -> Answer:
    wrapped = sessionward.ASGIMiddleware(door.asgi, door.world.backend)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        door.given = [scope, receive, send]
        await wrapped(scope, receive, send)

    with_loop = Loop()
    try:
        return with_loop.run(ask_asgi(app, asgi_scope(method, path, headers)))
    finally:
        with_loop.close()


@pytest.fixture(params=["WSGI", "ASGI, sync backend", "ASGI, async backend"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    world = KeyTableWorld(tmp_path / "app.db", is_async=request.param == "ASGI, async backend")
    yield Door(world, through_wsgi if request.param == "WSGI" else through_asgi)
    world.close()


def cookie(client: Client) -> dict[str, str]:
    return {"Cookie": f"theme=dark; {COOKIE}={client.credential.reveal()}; lang=en"}


def test_their_cookie_ends_their_other_sessions_and_counts_them(door: Door) -> None:
    own, *others = [door.world.sign_in() for _ in range(3)]
    answers = [door("DELETE", "/auth/sessions", cookie(own)) for _ in range(2)]
    assert [(answer.status, json.loads(answer.body)) for answer in answers] == [(200, {"count": 2}), (200, {"count": 0})]
    assert door.world.lives(own, *others) == [True, False, False]
    assert not [name for answer in answers for name, _ in answer.headers if name.lower() == "set-cookie"]
    assert door.seen == []


def test_their_header_does_the_same(door: Door) -> None:
    own, other = door.world.sign_in(), door.world.sign_in()
    answer = door("DELETE", "/auth/sessions", {"Authorization": f"Token {own.credential.reveal()}"})
    assert (answer.status, json.loads(answer.body)) == (200, {"count": 1})
    assert door.world.lives(own, other) == [True, False]


def test_who_was_signed_out_gets_401_and_ends_nobody(door: Door) -> None:
    own, other = door.world.sign_in(), door.world.sign_in()
    door("DELETE", "/auth/sessions", cookie(own))
    answer = door("DELETE", "/auth/sessions", cookie(other))
    assert (answer.status, json.loads(answer.body)["error"]["id"]) == (401, "session_inactive")
    assert door.world.lives(own) == [True]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no credential"),
        pytest.param({"Cookie": f"{COOKIE}=unknown"}, id="an unknown cookie"),
        pytest.param({"Cookie": f"{COOKIE}="}, id="an empty cookie"),
        pytest.param({"Cookie": f"x{COOKIE}=unknown"}, id="another cookie"),
        pytest.param({"Authorization": "Token unknown"}, id="an unknown header"),
        pytest.param({"X-Session-Token": "MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE"}, id="a header of ours"),
    ],
)
def test_without_their_live_credential_the_answer_is_401(door: Door, headers: dict[str, str]) -> None:
    other = door.world.sign_in()
    answer = door("DELETE", "/auth/sessions", headers)
    assert (answer.status, json.loads(answer.body)["error"]["id"]) == (401, "session_inactive")
    assert door.world.lives(other) == [True]


def test_two_values_of_their_cookie_are_ambiguous(door: Door) -> None:
    own, other = door.world.sign_in(), door.world.sign_in()
    doubled = f"{COOKIE}={own.credential.reveal()}; {COOKIE}={other.credential.reveal()}"
    answer = door("DELETE", "/auth/sessions", {"Cookie": doubled})
    assert (answer.status, json.loads(answer.body)["error"]["id"]) == (400, "ambiguous_credentials")
    assert door.world.lives(own, other) == [True, True]


def test_a_page_of_another_site_cannot_use_their_cookie(door: Door) -> None:
    own, other = door.world.sign_in(), door.world.sign_in()
    answer = door("DELETE", "/auth/sessions", cookie(own) | {"Sec-Fetch-Site": "cross-site"})
    assert (answer.status, json.loads(answer.body)["error"]["id"]) == (403, "security_csrf_violation")
    assert door.world.lives(own, other) == [True, True]


def test_p7_a_table_that_cannot_be_read_is_503(door: Door) -> None:
    own = door.world.sign_in()
    with door.world.table.transaction() as table:
        table.execute("ALTER TABLE logins RENAME TO gone")
    answer = door("DELETE", "/auth/sessions", cookie(own))
    assert (answer.status, json.loads(answer.body)["error"]["id"]) == (503, "backend_unavailable")


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/login"), ("GET", "/auth/sessions"), ("DELETE", "/auth/sessions/7")])
@pytest.mark.parametrize("state", ["live", "unknown", "doubled", "absent"])
def test_other_traffic_gets_nothing_added_but_a_handle_and_nothing_taken_out(door: Door, method: str, path: str, state: str) -> None:
    own = door.world.sign_in()
    headers = {
        "live": cookie(own),
        "unknown": {"Cookie": f"{COOKIE}=unknown"},
        "doubled": {"Cookie": f"{COOKIE}=a; {COOKIE}=b"},
        "absent": {},
    }[state]
    answer = door(method, path, headers)
    assert answer == Answer(200, _theirs(answer), b"theirs")
    assert len(door.seen) == len(door.given)
    assert all(seen is given for seen, given in zip(door.seen, door.given, strict=True))
    expected = wsgi_environ(method, path, headers) if "PATH_INFO" in door.seen[0] else asgi_scope(method, path, headers)
    sessions = sessionward.of(door.seen[0])
    assert isinstance(sessions, Sessions | AsyncSessions)
    ours = "sessionward.sessions" if "PATH_INFO" in expected else "sessionward"
    assert door.seen[0] == {**expected, ours: sessions}


def _theirs(answer: Answer) -> list[tuple[str, str]]:
    names = ("Content-Type", "Set-Cookie") if answer.headers[0][0] == "Content-Type" else ("content-type", "set-cookie")
    return list(zip(names, ("text/plain", f"{COOKIE}=theirs; Path=/"), strict=True))
