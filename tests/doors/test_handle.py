"""``sessionward.of()``: whose sessions it finds in what, and what a sessions refuses."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

import flask
import pytest
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket
from werkzeug.wrappers import Request as WerkzeugRequest

import sessionward
from sessionward.backends.sql import AsyncSQLBackend
from tests.doors.django_site import ASGIRequest, WSGIRequest
from tests.doors.keepers import Foreign, Memory
from tests.doors.old import webob
from tests.doors.sides import SECRET, ASGIHouse, Browser, Builder, Here, Reply, ValidatedHouse, town

# --- where it is found ------------------------------------------------------------------------------------------------


async def _plain(here: Here) -> Reply:
    return Reply()


def scope_of_a_request() -> Any:
    house = ASGIHouse(_plain, Memory())
    house.ask("GET", "/")
    house.close()
    return house.sent


def environ_of_a_request() -> Any:
    house = ValidatedHouse(_plain, Memory())
    house.ask("GET", "/")
    house.close()
    return house.sent


async def _never(*_: Any) -> Any:
    raise AssertionError


FROM_SCOPE: Final[list[Any]] = [
    pytest.param(lambda scope: scope, id="a scope"),
    pytest.param(Request, id="Starlette and FastAPI"),
    pytest.param(HTTPConnection, id="an HTTPConnection of Starlette"),
    pytest.param(lambda scope: WebSocket({**scope, "type": "websocket"}, _never, _never), id="a WebSocket of Starlette"),
    pytest.param(lambda scope: ASGIRequest(scope, io.BytesIO()), id="Django under ASGI"),
    pytest.param(lambda scope: SimpleNamespace(scope=scope), id="anything with a scope"),
]
FROM_ENVIRON: Final[list[Any]] = [
    pytest.param(lambda environ: environ, id="an environ"),
    pytest.param(flask.Request, id="a Request of Flask"),
    pytest.param(WerkzeugRequest, id="Werkzeug"),
    pytest.param(WSGIRequest, id="Django under WSGI"),
    pytest.param(webob.Request, id="WebOb and Pyramid"),
    pytest.param(lambda environ: SimpleNamespace(environ=environ), id="anything with an environ"),
    pytest.param(lambda environ: SimpleNamespace(env=environ), id="Falcon"),
    pytest.param(lambda environ: SimpleNamespace(wsgi_environ=environ), id="CherryPy"),
]


@pytest.mark.parametrize("request_of", FROM_SCOPE)
def test_the_async_ward_is_found_in(request_of: Callable[[Any], Any]) -> None:
    scope = scope_of_a_request()
    sessions = sessionward.of(request_of(scope))
    assert isinstance(sessions, sessionward.AsyncSessions)
    assert sessions is scope["sessionward"]


@pytest.mark.parametrize("request_of", FROM_ENVIRON)
def test_the_plain_ward_is_found_in(request_of: Callable[[Any], Any]) -> None:
    environ = environ_of_a_request()
    sessions = sessionward.of(request_of(environ))
    assert isinstance(sessions, sessionward.Sessions)
    assert sessions is environ["sessionward.sessions"]


def test_the_plain_ward_is_found_in_the_request_proxy_of_flask() -> None:
    environ = environ_of_a_request()
    with flask.Flask("app").request_context(environ):
        assert sessionward.of(flask.request) is environ["sessionward.sessions"]


@pytest.mark.parametrize(
    "request_of",
    [
        pytest.param(lambda: {"type": "http", "headers": []}, id="a scope"),
        pytest.param(lambda: {"REQUEST_METHOD": "GET"}, id="an environ"),
        pytest.param(lambda: Request({"type": "http", "headers": []}), id="Starlette"),
        pytest.param(lambda: webob.Request.blank("/"), id="WebOb"),
        pytest.param(lambda: {"sessionward": "of somebody else"}, id="a key of somebody else"),
    ],
)
def test_without_a_door_it_says_what_to_do(request_of: Callable[[], Any]) -> None:
    with pytest.raises(sessionward.UsageError, match=r"put sessionward\.ASGIMiddleware or WSGIMiddleware around"):
        sessionward.of(request_of())


@pytest.mark.parametrize("thing", [None, object(), "text", 5], ids=["None", "an object", "a text", "a number"])
def test_what_is_no_request_at_all_is_named(thing: object) -> None:
    with pytest.raises(sessionward.UsageError, match=f"{type(thing).__name__}.* carries neither an ASGI scope nor a WSGI environ"):
        sessionward.of(thing)


# --- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 256, id="256 bytes"),
        pytest.param("é" * 128, id="256 bytes in UTF-8"),
        pytest.param("a\nb", id="a control character"),
        pytest.param("a\x00b", id="NUL"),
        pytest.param("a\x85b", id="a control character beyond ASCII"),
        pytest.param("\ud800", id="half a surrogate pair"),
        pytest.param(None, id="None"),
        pytest.param(True, id="a boolean"),
        pytest.param(1.5, id="a fraction"),
        pytest.param(b"ann", id="bytes"),
    ],
)
def test_a_user_id_that_is_none_is_a_usage_error_in_every_verb(build: Builder, user: Any) -> None:
    async def tries(here: Here) -> Reply:
        for verb in (here.sessions.login, here.sessions.begin_login, here.sessions.revoke_all):
            with pytest.raises(sessionward.UsageError, match="user id"):
                await verb(user)
        return Reply(b"refused")

    answer = build(tries).ask("GET", "/")
    assert (answer.body, answer.values("set-cookie")) == (b"refused", [])


@pytest.mark.parametrize(
    ("user", "kept"),
    [
        pytest.param(7, "7", id="a number"),
        pytest.param(UUID(int=7), str(UUID(int=7)), id="a UUID"),
        pytest.param("x" * 255, "x" * 255, id="255 bytes"),
        pytest.param("Zoë  ", "Zoë  ", id="blanks at the end"),
    ],
)
def test_a_user_id_is_kept_as_its_text(build: Builder, user: Any, kept: str) -> None:
    async def signs_in(here: Here) -> Reply:
        if here.path == "/me":
            return Reply(here.sessions.current.user_id.encode())
        await here.sessions.login(user)
        return Reply()

    browser = Browser(build(signs_in))
    browser.ask("GET", "/login")
    assert browser.ask("GET", "/me").body.decode() == kept


def test_since_that_is_no_text_is_a_usage_error(build: Builder) -> None:
    async def tries(here: Here) -> Reply:
        with pytest.raises(sessionward.UsageError, match="ticket"):
            await here.sessions.login("ann", ticket=3)
        return Reply(b"refused")

    assert build(tries).ask("GET", "/").body == b"refused"


def test_since_that_is_garbage_is_stale(build: Builder) -> None:
    async def tries(here: Here) -> Reply:
        for ticket in ("", ".", "0", "0.", "0.x", "-1.x", "\u0663.x", "0.\ud800", "0.é", "9" * 5000 + ".x"):
            with pytest.raises(sessionward.StaleLogin):
                await here.sessions.login("ann", ticket=ticket)
        return Reply(b"refused")

    assert build(tries).ask("GET", "/").body == b"refused"


def test_a_verb_that_the_backend_lacks_is_a_usage_error_that_names_it(build: Builder) -> None:
    async def tries(here: Here) -> Reply:
        sessions = here.sessions
        for verb, call in {
            "login": lambda: sessions.login("ann"),
            "begin_login": lambda: sessions.begin_login("ann"),
            "end": sessions.logout,
            "revoke_all": lambda: sessions.revoke_all("ann"),
        }.items():
            with pytest.raises(sessionward.UsageError, match=rf"no {verb}\(\)"):
                await call()
        return Reply(str(await sessions.revoke_others()).encode())

    memory = Memory()
    house = build(town, memory)
    tokens = [Browser(house).sign_in() for _ in range(3)]
    answer = build(tries, Foreign(memory)).ask("GET", "/", ("X-Session-Token", tokens[0]))
    assert answer.body == b"2"


def test_a_failure_of_the_backend_reaches_the_application(build: Builder) -> None:
    memory = Memory()

    async def tries(here: Here) -> Reply:
        with pytest.raises(sessionward.BackendUnavailable, match="gone"):
            await here.sessions.revoke_others()
        return Reply(b"told")

    house = build(town, memory)
    token = Browser(house).sign_in()

    def gone() -> None:
        raise sessionward.BackendUnavailable("gone")

    memory.on_end_others = gone
    assert build(tries, memory).ask("GET", "/", ("X-Session-Token", token)).body == b"told"


def test_a_ward_shows_who_and_no_secret(build: Builder) -> None:
    shown: list[str] = []

    async def shows(here: Here) -> Reply:
        if here.path == "/show":
            sessions = sessionward.of(here.mapping)
            shown.extend([repr(sessions), str(sessions), f"{sessions}", repr(sessions.visit().credential), repr(sessions.current)])
            return Reply()
        return await town(here)

    browser = Browser(build(shows))
    token = browser.sign_in()
    browser.ask("GET", "/show")
    assert "user_id='ann'" in shown[0]
    assert token not in str(shown)


# --- blocking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_blocking_verbs_on_the_loops_own_thread_are_a_usage_error(kind: str, sqlite_url: str) -> None:
    raised: list[str] = []

    async def tries(here: Here) -> Reply:
        verbs = sessionward.of(here.mapping).blocking
        for call in (lambda: verbs.login("ann"), lambda: verbs.begin_login("ann"), verbs.logout, lambda: verbs.revoke_all("ann")):
            with pytest.raises(sessionward.UsageError, match="event loop"):
                call()
            raised.append("yes")
        return Reply()

    house = ASGIHouse(tries, Memory() if kind == "memory" else AsyncSQLBackend(sqlite_url))
    answer = house.ask("GET", "/")
    house.close()
    assert (answer.values("set-cookie"), len(raised)) == ([], 4)


def test_blocking_verbs_work_in_another_thread_and_see_what_the_async_ones_did() -> None:
    found: list[Any] = []

    async def both(here: Here) -> Reply:
        sessions = sessionward.of(here.mapping)
        verbs = sessions.blocking
        found.append(await asyncio.to_thread(verbs.login, "ann"))
        assert sessions.current is not None
        found.append((sessions.current.user_id, verbs.current is sessions.current))
        await sessions.login("bob")
        found.append(verbs.current.user_id if verbs.current else None)
        found.append(await asyncio.to_thread(verbs.revoke_others))
        return Reply()

    house = ASGIHouse(both, Memory(), secrets=[SECRET])
    answer = house.ask("GET", "/")
    house.close()
    assert len(answer.values("set-cookie")) == 1
    assert found[1:] == [("ann", True), "bob", 0]
