"""The same story through frameworks: sign in from three browsers, press the button in one, and the others are out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import fastapi
import flask
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response as WerkzeugResponse

import sessionward
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.wsgi import Environ, StartResponse
from tests.doors.django_site import get_asgi_application, get_wsgi_application
from tests.doors.keepers import Memory
from tests.doors.old import webob
from tests.doors.sides import SECRET, ASGIHouse, Browser, House, ValidatedHouse, WebTestHouse, town

# --- applications -----------------------------------------------------------------------------------------------------


def name_of(session: sessionward.Session | None) -> str:
    return "nobody" if session is None else session.user_id


def starlette_app() -> Any:
    async def login(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await sessionward.of(request).login(request.path_params["user"]))

    async def logout(request: Request) -> PlainTextResponse:
        await sessionward.of(request).logout()
        return PlainTextResponse("")

    async def me(request: Request) -> PlainTextResponse:
        return PlainTextResponse(name_of(sessionward.of(request).current))

    async def revoke_others(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(await sessionward.of(request).revoke_others()))

    def sync_login(request: Request) -> PlainTextResponse:
        return PlainTextResponse(sessionward.of(request).blocking.login(request.path_params["user"]))

    return Starlette(
        routes=[
            Route("/login/{user}", login, methods=["POST"]),
            Route("/sync/login/{user}", sync_login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/me", me),
            Route("/revoke_others", revoke_others, methods=["POST"]),
        ]
    )


def sessions_of(request: fastapi.Request) -> sessionward.AsyncSessions:
    return sessionward.of(request)


Sessions = Annotated[sessionward.AsyncSessions, fastapi.Depends(sessions_of)]


def fastapi_app() -> fastapi.FastAPI:
    app = fastapi.FastAPI(default_response_class=PlainTextResponse)

    @app.post("/login/{user}")
    async def login(user: str, request: fastapi.Request) -> str:
        return await sessionward.of(request).login(user)

    @app.post("/sync/login/{user}")
    def sync_login(user: str, sessions: Sessions) -> str:
        return sessions.blocking.login(user)

    @app.post("/logout")
    def logout(sessions: Sessions) -> str:
        sessions.blocking.logout()
        return ""

    @app.get("/me")
    async def me(sessions: Sessions) -> str:
        return name_of(sessions.current)

    @app.get("/sync/me")
    def sync_me(sessions: Sessions) -> str:
        return name_of(sessions.blocking.current)

    @app.post("/revoke_others")
    def revoke_others(sessions: Sessions) -> str:
        return str(sessions.blocking.revoke_others())

    return app


def flask_app() -> Any:
    app = flask.Flask("app")

    @app.post("/login/<user>")
    def login(user: str) -> str:
        return sessionward.of(flask.request).login(user)

    @app.post("/logout")
    def logout() -> str:
        sessionward.of(flask.request).logout()
        return ""

    @app.get("/me")
    def me() -> str:
        return name_of(sessionward.of(flask.request).current)

    @app.post("/revoke_others")
    def revoke_others() -> str:
        return str(sessionward.of(flask.request).revoke_others())

    return app


def answer_of(sessions: sessionward.Sessions, path: str) -> str:
    """For frameworks without routes."""
    match path.split("/")[1:]:
        case ["login", user]:
            return sessions.login(user)
        case ["logout"]:
            sessions.logout()
        case ["me"]:
            return name_of(sessions.current)
        case ["revoke_others"]:
            return str(sessions.revoke_others())
    return ""


def werkzeug_app() -> Any:
    @WerkzeugRequest.application
    def app(request: WerkzeugRequest) -> WerkzeugResponse:
        return WerkzeugResponse(answer_of(sessionward.of(request), request.path))

    return app


def webob_app() -> Any:
    def app(environ: Environ, start_response: StartResponse) -> Any:
        request = webob.Request(environ)
        return webob.Response(text=answer_of(sessionward.of(request), request.path))(environ, start_response)

    return app


# --- the story --------------------------------------------------------------------------------------------------------

ASGI: Final[list[Any]] = [
    pytest.param(starlette_app, "/login/ann", "/me", id="Starlette"),
    pytest.param(starlette_app, "/sync/login/ann", "/me", id="Starlette, sync functions"),
    pytest.param(fastapi_app, "/login/ann", "/me", id="FastAPI"),
    pytest.param(fastapi_app, "/sync/login/ann", "/sync/me", id="FastAPI, sync functions"),
    pytest.param(get_asgi_application, "/async/login/ann", "/async/me", id="Django, async views"),
    pytest.param(get_asgi_application, "/login/ann", "/me", id="Django, sync views"),
]
WSGI: Final[list[Any]] = [
    pytest.param(flask_app, id="Flask"),
    pytest.param(werkzeug_app, id="Werkzeug"),
    pytest.param(get_wsgi_application, id="Django"),
    pytest.param(webob_app, id="WebOb"),
]


@pytest.fixture(params=["memory", "sqlite", "sqlite, sync"])
def async_or_sync(request: pytest.FixtureRequest, sqlite_url: str) -> Any:
    """A backend for the ASGI door, which takes sync and async ones."""
    if request.param == "memory":
        return Memory()
    aside = SQLBackend(sqlite_url)
    aside.create_tables()
    aside.close()
    return AsyncSQLBackend(sqlite_url) if request.param == "sqlite" else SQLBackend(sqlite_url)


@pytest.fixture(params=["memory", "sqlite"])
def sync_backend(request: pytest.FixtureRequest, sqlite_url: str) -> Any:
    if request.param == "memory":
        return Memory()
    backend = SQLBackend(sqlite_url)
    backend.create_tables()
    return backend


@pytest.fixture
def inside() -> Iterator[Callable[..., House]]:
    """Puts an application of a framework inside a house."""
    built: list[House] = []

    def make(kind: type[House], app: Any, backend: Any, **settings: Any) -> House:
        built.append(kind(town, backend, around=app, **settings))
        return built[-1]

    yield make
    for house in built:
        house.close()


def tell(house: House, login: str = "/login/ann", me: str = "/me") -> None:
    """The story; each step says what it expects."""
    first, second, third = browsers = [Browser(house) for _ in range(3)]

    def who() -> list[str]:
        return [browser.ask("GET", me).body.decode() for browser in browsers]

    assert who() == ["nobody"] * 3
    tokens = [browser.ask("POST", login).body.decode() for browser in browsers]
    assert [browser.cookie is not None for browser in browsers] == [True] * 3
    assert who() == ["ann"] * 3
    assert first.press().json() == {"count": 2}
    assert who() == ["ann", "nobody", "nobody"]
    assert second.ask("POST", login).status == 200
    assert house.ask("GET", me, ("Authorization", f"Bearer {tokens[0]}")).body == b"ann"
    assert first.ask("POST", "/revoke_others").body == b"1"
    assert who() == ["ann", "nobody", "nobody"]
    assert (first.ask("POST", "/logout").status, first.cookie) == (200, None)
    assert who() == ["nobody"] * 3
    assert third.press().status == 401


@pytest.mark.usefixtures("never_stale")
@pytest.mark.parametrize(("app", "login", "me"), ASGI)
def test_the_story_under_asgi(app: Callable[[], Any], login: str, me: str, async_or_sync: Any, inside: Callable[..., House]) -> None:
    house = inside(ASGIHouse, app(), async_or_sync)
    tell(house, login, me)
    assert house.ask("DELETE", "/auth/sessions").status == 401


@pytest.mark.usefixtures("never_stale")
@pytest.mark.parametrize("checker", [WebTestHouse, ValidatedHouse], ids=["webtest", "wsgiref-validate"])
@pytest.mark.parametrize("app", WSGI)
def test_the_story_under_wsgi(app: Callable[[], Any], checker: type[House], sync_backend: Any, inside: Callable[..., House]) -> None:
    house = inside(checker, app(), sync_backend)
    tell(house)
    assert house.ask("DELETE", "/auth/sessions").status == 401


# --- how frameworks put it around themselves --------------------------------------------------------------------------


def test_fastapi_adds_the_door_as_its_middleware() -> None:
    app = fastapi_app()
    app.add_middleware(sessionward.ASGIMiddleware, backend=Memory(), secrets=[SECRET])
    with TestClient(app, "https://app.example") as first, TestClient(app, "https://app.example") as second:
        first.post("/login/ann")
        second.post("/sync/login/ann")
        assert (first.get("/me").text, second.get("/sync/me").text) == ("ann", "ann")
        assert first.delete("/auth/sessions").json() == {"count": 1}
        assert (first.get("/me").text, second.get("/me").text) == ("ann", "nobody")


def test_starlette_takes_the_door_in_its_list_and_below_a_mount() -> None:
    inner = Starlette(
        routes=starlette_app().routes, middleware=[Middleware(sessionward.ASGIMiddleware, backend=Memory(), secrets=[SECRET])]
    )
    client = TestClient(Starlette(routes=[Mount("/shop", inner)]), "https://app.example")
    client.post("/shop/login/ann")
    assert client.get("/shop/me").text == "ann"
    assert client.delete("/shop/auth/sessions").json() == {"count": 0}
    assert client.delete("/auth/sessions").status_code == 404


def test_flask_takes_the_door_around_its_wsgi_app() -> None:
    app = flask_app()
    app.wsgi_app = sessionward.WSGIMiddleware(app.wsgi_app, Memory(), secrets=[SECRET])
    client = app.test_client()
    client.post("/login/ann", base_url="https://app.example")
    assert client.get("/me", base_url="https://app.example").text == "ann"
    assert client.delete("/auth/sessions", base_url="https://app.example").json == {"count": 0}


def user_of(sessions: Sessions) -> str:
    if sessions.current is None:
        raise fastapi.HTTPException(401)
    return sessions.current.user_id


def test_a_dependency_may_refuse_whoever_is_not_signed_in() -> None:
    app = fastapi.FastAPI()

    @app.get("/private")
    async def private(who: Annotated[str, fastapi.Depends(user_of)]) -> str:
        return who

    @app.post("/login/{who}")
    async def login(who: str, sessions: Sessions) -> None:
        await sessions.login(who)

    app.add_middleware(sessionward.ASGIMiddleware, backend=Memory(), secrets=[SECRET])
    client = TestClient(app, "https://app.example")
    assert client.get("/private").status_code == 401
    client.post("/login/ann")
    assert client.get("/private").json() == "ann"
