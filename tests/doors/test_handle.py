"""``sessionward.of()``: whose sessions it finds in what, what the verbs refuse, and how ``current`` asks."""

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
from sessionward.door.handle import context_of
from sessionward.identify import Function
from tests.doors.django_site import ASGIRequest, WSGIRequest
from tests.doors.keepers import AsyncRows, Foreign, Memory, RecordedRows, Rows, WaitingRows
from tests.doors.old import webob
from tests.doors.sides import SECRET, ASGIHouse, Browser, Builder, Here, Reply, ValidatedHouse, town

# --- where it is found ------------------------------------------------------------------------------------------------


async def _silent(here: Here) -> Reply:
    return Reply()


def scope_of_a_request() -> Any:
    house = ASGIHouse(_silent, Memory())
    house.ask("GET", "/")
    house.close()
    return house.sent


def environ_of_a_request() -> Any:
    house = ValidatedHouse(_silent, Memory())
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
def test_the_async_handle_is_found_in(request_of: Callable[[Any], Any]) -> None:
    scope = scope_of_a_request()
    sessions = sessionward.of(request_of(scope))
    assert isinstance(sessions, sessionward.AsyncSessions)
    assert sessions is scope["sessionward"]


@pytest.mark.parametrize("request_of", FROM_ENVIRON)
def test_the_sync_handle_is_found_in(request_of: Callable[[Any], Any]) -> None:
    environ = environ_of_a_request()
    sessions = sessionward.of(request_of(environ))
    assert isinstance(sessions, sessionward.Sessions)
    assert sessions is environ["sessionward.sessions"]


def test_the_sync_handle_is_found_in_the_request_proxy_of_flask() -> None:
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


# --- in which requests ------------------------------------------------------------------------------------------------

MODES: Final[list[Any]] = [
    pytest.param(lambda: (Memory(), {}), id="own"),
    pytest.param(lambda: (Foreign(Memory()), {}), id="own, without login"),
    pytest.param(lambda: (Memory(), {"assertion_secrets": [SECRET[::-1]]}), id="own, behind a sidecar"),
    pytest.param(lambda: (Rows(), {}), id="application"),
    pytest.param(lambda: (RecordedRows(), {}), id="application, recorded"),
    pytest.param(lambda: (Memory(), {"identify": Function(_reads, cookies=["login"], blocking=False)}), id="companion"),
]
ASYNC_MODES: Final[list[Any]] = [
    pytest.param(lambda: (AsyncSQLBackend("sqlite:///never-opened.db"), {}), id="own, async"),
    pytest.param(lambda: (AsyncRows(), {}), id="application, async"),
    pytest.param(lambda: (WaitingRows(), {}), id="application, waiting"),
]
Kept = tuple[Any, dict[str, Any]]


def _reads(name: str, value: str) -> str | None:
    raise AssertionError(f"{name} was read")


def _gained(before: dict[str, Any], passed: Any, sent: dict[str, Any], kind: type) -> str:
    """The name of the one key that a request has gained; it holds the same handle whenever it is asked for."""
    assert passed is sent
    (key,) = set(passed) - set(before)
    assert all(passed[name] is value for name, value in before.items())
    sessions = sessionward.of(passed)
    assert isinstance(sessions, kind)
    assert sessions is sessionward.of(passed) is passed[key]
    assert set(passed) == {*before, key}
    assert sessions.current is None
    return key


@pytest.mark.parametrize("cookies", [[], ["theme=dark"]], ids=["no cookie", "a cookie of the application"])
@pytest.mark.parametrize("kept", [*MODES, *ASYNC_MODES])
def test_an_anonymous_asgi_request_gains_exactly_the_one_key_in_every_mode(kept: Callable[[], Kept], cookies: list[str]) -> None:
    backend, settings = kept()
    passed: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(_gained(before, scope, sent, sessionward.AsyncSessions))

    house = ASGIHouse(_silent, Memory())
    sent = house.scope("GET", "/", [("Cookie", cookie) for cookie in cookies], "", "")
    house.close()
    before = dict(sent)
    door = sessionward.ASGIMiddleware(app, backend, **{"secrets": [SECRET], **settings})
    asyncio.run(door(sent, _never, _never))
    assert passed == ["sessionward"]
    assert getattr(backend, "asked", []) == []


@pytest.mark.parametrize("cookies", [[], ["theme=dark"]], ids=["no cookie", "a cookie of the application"])
@pytest.mark.parametrize("kept", MODES)
def test_an_anonymous_wsgi_request_gains_exactly_the_one_key_in_every_mode(kept: Callable[[], Kept], cookies: list[str]) -> None:
    backend, settings = kept()
    passed: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        passed.append(_gained(before, environ, sent, sessionward.Sessions))
        start_response("200 OK", [])
        return []

    house = ValidatedHouse(_silent, Memory())
    sent = house.environ("GET", "/", [("Cookie", cookie) for cookie in cookies], "", b"", "", shows_raw=True)
    house.close()
    before = dict(sent)
    door = sessionward.WSGIMiddleware(app, backend, **{"secrets": [SECRET], **settings})
    for _ in door(sent, lambda *_: lambda _: None):
        raise AssertionError
    assert passed == ["sessionward.sessions"]
    assert getattr(backend, "asked", []) == []


# --- what it offers ---------------------------------------------------------------------------------------------------

OFFERED: Final = {"current", "login", "begin_login", "logout", "list", "revoke", "revoke_others", "revoke_all"}


def _public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_a_handle_offers_exactly_these() -> None:
    assert _public(sessionward.Sessions) == OFFERED
    assert _public(sessionward.AsyncSessions) == {*OFFERED, "blocking"}


def test_the_handle_of_a_request_offers_nothing_more(build: Builder) -> None:
    offered: list[set[str]] = []

    async def looks(here: Here) -> Reply:
        sessions = sessionward.of(here.mapping)
        offered.append(_public(sessions) - {"blocking"})
        if build.is_asgi:
            offered.append(_public(sessions.blocking))
        return await town(here)

    browser = Browser(build(looks))
    browser.sign_in()
    browser.me()
    assert offered == [OFFERED] * (4 if build.is_asgi else 2)


# --- over the application's own sessions ------------------------------------------------------------------------------

ANN: Final = ("Cookie", "theme=dark; sid=key-of-ann")


def test_over_the_applications_own_sessions_current_asks_when_it_is_read_first_and_once(build: Builder) -> None:
    rows = Rows(**{"key-of-ann": "ann"})
    asked: list[list[str]] = []

    async def looks(here: Here) -> Reply:
        asked.append([*rows.asked])
        if here.path == "/nobody-asks":
            return Reply()
        found = [here.sessions.current for _ in range(3)]
        asked.append([*rows.asked])
        assert found[0] is found[1] is found[2]
        return Reply(b"nobody" if found[0] is None else found[0].user_id.encode())

    house = build(looks, rows)
    house.ask("GET", "/nobody-asks", ANN)
    assert (asked, rows.asked) == ([[]], [])
    assert house.ask("GET", "/", ANN).body == b"ann"
    assert (asked, rows.asked) == ([[], [], ["find"]], ["find"])
    assert house.ask("GET", "/", ("Cookie", "sid=unknown")).body == b"nobody"
    assert rows.asked == ["find"] * 2
    assert house.ask("GET", "/").body == b"nobody"
    assert rows.asked == ["find"] * 2


def test_current_and_revoke_others_ask_who_is_calling_once_between_them(build: Builder) -> None:
    rows = Rows(**{"key-of-ann": "ann", "another-of-ann": "ann"})

    async def both(here: Here) -> Reply:
        if here.path == "/current-first":
            assert here.sessions.current.user_id == "ann"
        count = await here.sessions.revoke_others()
        assert here.sessions.current.user_id == "ann"
        return Reply(str(count).encode())

    house = build(both, rows)
    assert house.ask("GET", "/", ANN).body == b"1"
    assert rows.asked == ["find", "revoke_others"]
    assert house.ask("GET", "/current-first", ANN).body == b"0"
    assert rows.asked == ["find", "revoke_others"] * 2


def test_current_that_cannot_be_answered_is_unavailable_and_never_nobody(build: Builder) -> None:
    rows = Rows(**{"key-of-ann": "ann"})

    def gone() -> None:
        raise OSError

    async def tries(here: Here) -> Reply:
        rows.on_find = gone
        for _ in range(2):
            with pytest.raises(sessionward.BackendUnavailable):
                _ = here.sessions.current
        rows.on_find = lambda: None
        return Reply(here.sessions.current.user_id.encode())

    assert build(tries, rows).ask("GET", "/", ANN).body == b"ann"


@pytest.mark.parametrize(
    ("path", "cookies", "left", "user"),
    [
        pytest.param("/", "sid=key", "sid=key", b"ann", id="its cookie"),
        pytest.param("/", "sid=other", None, b"nobody", id="a revoked one"),
        pytest.param("/", "sid=key; sid=other", "sid=key", b"ann", id="a revoked one beside a live one"),
        pytest.param("/", 'sid="k\\145y"', None, b"nobody", id="a spelling that some frameworks read"),
        pytest.param("/static/x", "sid=key", None, b"nobody", id="an exempt path"),
    ],
)
def test_over_a_store_that_writes_late_current_is_of_the_cookie_that_the_application_sees(
    build: Builder, path: str, cookies: str, left: str | None, user: bytes
) -> None:
    rows = RecordedRows(key="ann")

    async def looks(here: Here) -> Reply:
        session = here.sessions.current
        return Reply(b"nobody" if session is None else session.user_id.encode())

    house = build(looks, rows, exempt_paths=["/static/"])
    assert (house.ask("GET", path, ("Cookie", cookies)).body, house.seen[-1].header("cookie")) == (user, left)
    assert rows.asked == ["find"] * (user == b"ann")


@pytest.mark.parametrize("kind", [AsyncRows, WaitingRows])
def test_current_that_has_to_wait_is_a_usage_error_on_the_event_loop(kind: Any) -> None:
    rows = kind(**{"key-of-ann": "ann"})

    async def tries(here: Here) -> Reply:
        sessions = here.sessions
        for _ in range(2):
            with pytest.raises(sessionward.UsageError, match=r"await sessions\.revoke_others\(\).*sessions\.blocking\.current"):
                _ = sessions.current
            with pytest.raises(sessionward.UsageError, match="event loop"):
                _ = sessions.blocking.current
        assert rows.asked == []
        if here.path == "/await":
            assert await sessions.revoke_others() == 0
        else:
            found = await asyncio.to_thread(lambda: sessions.blocking.current)
            assert found is await asyncio.to_thread(lambda: sessions.blocking.current)
            assert sessions.blocking.current is found
        return Reply(sessions.current.user_id.encode())

    house = ASGIHouse(tries, rows)
    try:
        assert house.ask("GET", "/thread", ANN).body == b"ann"
        assert rows.asked == ["find"]
        rows.asked.clear()
        assert house.ask("GET", "/await", ANN).body == b"ann"
        assert rows.asked == ["find", "revoke_others"]
    finally:
        house.close()


@pytest.mark.parametrize("kind", [AsyncRows, WaitingRows, Rows])
def test_current_works_in_a_thread_in_which_the_handle_is_asked_for_first(kind: Any) -> None:
    rows = kind(**{"key-of-ann": "ann"})

    async def looks(here: Here) -> Reply:
        found = await asyncio.to_thread(lambda: sessionward.of(here.mapping).blocking.current)
        assert found is not None
        assert sessionward.of(here.mapping).current is found
        return Reply(found.user_id.encode())

    house = ASGIHouse(looks, rows)
    try:
        assert house.ask("GET", "/", ANN).body == b"ann"
    finally:
        house.close()
    assert rows.asked == ["find"]


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


def test_a_ticket_that_is_no_text_is_a_usage_error(build: Builder) -> None:
    async def tries(here: Here) -> Reply:
        with pytest.raises(sessionward.UsageError, match="ticket"):
            await here.sessions.login("ann", ticket=3)
        return Reply(b"refused")

    assert build(tries).ask("GET", "/").body == b"refused"


def test_a_ticket_that_is_garbage_is_stale(build: Builder) -> None:
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
            "revoke": sessions.logout,
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

    memory.on_revoke_others = gone
    assert build(tries, memory).ask("GET", "/", ("X-Session-Token", token)).body == b"told"


def test_a_handle_shows_who_and_no_secret(build: Builder) -> None:
    shown: list[str] = []

    async def shows(here: Here) -> Reply:
        if here.path == "/show":
            sessions = sessionward.of(here.mapping)
            shown.extend([repr(sessions), str(sessions), f"{sessions}", repr(context_of(sessions).credential), repr(sessions.current)])
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
