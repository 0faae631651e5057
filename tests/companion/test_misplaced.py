"""A door that stands inside of what reads the login, around the wrong kind of application, or beside a changed configuration."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from beaker.middleware import SessionMiddleware as BeakerMiddleware  # type: ignore[import-untyped]
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from webtest import TestApp  # type: ignore[import-untyped]

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.door import parts
from sessionward.errors import ConfigurationError
from sessionward.identify.beaker import Beaker
from sessionward.identify.flask import FlaskLogin
from sessionward.identify.starlette import StarletteSession
from tests.support.core import SECRET

KEY = "secret-of-the-application"
OURS: dict[str, Any] = {"backend": MemoryBackend(), "secrets": [SECRET]}


@pytest.fixture(autouse=True)
def say_it_again() -> None:
    """Warnings are given once in each process."""
    parts.warn.cache_clear()


async def login(request: Request) -> PlainTextResponse:
    request.session["user"] = "ann"
    return PlainTextResponse("welcome")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def test_a_door_inside_starlette_s_session_middleware_refuses_everything(caplog: pytest.LogCaptureFixture) -> None:
    app = Starlette(routes=[Route("/login", login, methods=["POST"]), WebSocketRoute("/ws", talk)])
    app.add_middleware(sessionward.ASGIMiddleware, identify=StarletteSession(KEY, user="user"), **OURS)
    app.add_middleware(SessionMiddleware, secret_key=KEY)
    client = TestClient(app, base_url="https://app.example")
    with caplog.at_level(logging.WARNING, "sessionward"):
        assert [client.post("/login").status_code, client.delete("/auth/sessions").status_code] == [503, 503]
        assert client.get("/x", headers={"cookie": "session=anything"}).status_code == 503
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws"):
            pass
    assert "put sessionward around that middleware" in caplog.text


def test_the_other_way_round_everything_is_well() -> None:
    app = Starlette(routes=[Route("/login", login, methods=["POST"])])
    app.add_middleware(SessionMiddleware, secret_key=KEY, https_only=True)
    app.add_middleware(sessionward.ASGIMiddleware, identify=StarletteSession(KEY, user="user"), **OURS)
    client = TestClient(app, base_url="https://app.example")
    assert [client.post("/login").status_code, client.delete("/auth/sessions").status_code] == [200, 200]


def test_a_door_inside_beaker_s_middleware_refuses_everything(caplog: pytest.LogCaptureFixture) -> None:
    def hello(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    options = {"type": "memory", "key": "sid"}
    door: Any = sessionward.WSGIMiddleware(hello, identify=Beaker(options, user="user"), **OURS)
    inside = TestApp(BeakerMiddleware(door, {f"session.{name}": value for name, value in options.items()}))
    with caplog.at_level(logging.WARNING, "sessionward"):
        inside.get("/", status=503)
        inside.get("/", headers={"Cookie": "sid=anything"}, status=503)
        inside.delete("/auth/sessions", status=503)
    assert "put sessionward around that middleware" in caplog.text


def test_a_door_of_the_wrong_kind_is_refused_at_once() -> None:
    asgi: Any = Starlette()
    with pytest.raises(ConfigurationError, match=r"put sessionward\.ASGIMiddleware around it"):
        sessionward.WSGIMiddleware(asgi, **OURS)
    flask: Any = Flask(__name__)
    with pytest.raises(ConfigurationError, match=r"put sessionward\.WSGIMiddleware around it"):
        sessionward.ASGIMiddleware(flask, **OURS)
    plain: Any = lambda environ, start_response: []  # noqa: E731
    with pytest.raises(ConfigurationError, match=r"put sessionward\.WSGIMiddleware around it"):
        sessionward.ASGIMiddleware(plain, **OURS)


@pytest.mark.parametrize(("name", "value"), [("SESSION_COOKIE_NAME", "mine"), ("REMEMBER_COOKIE_NAME", "mine"), ("SECRET_KEY", "another")])
def test_a_flask_configuration_that_changes_afterwards_is_refused(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    app: Any = Flask(__name__)
    app.secret_key = KEY
    door: Any = sessionward.WSGIMiddleware(app.wsgi_app, identify=FlaskLogin.of(app), **OURS)
    app.config[name] = value
    TestApp(door).get("/", headers={"Cookie": "session=anything; remember_token=anything"}, status=503)
    assert "configuration has changed" in caplog.text


def test_a_method_that_was_not_called_is_told_as_such() -> None:
    with pytest.raises(ConfigurationError, match=r"FlaskLogin\.of is a method that has not been called"):
        sessionward.WSGIMiddleware(Flask(__name__).wsgi_app, identify=FlaskLogin.of, **OURS)


async def shown(request: Request) -> PlainTextResponse:
    return PlainTextResponse(",".join(request.headers.getlist("cookie")))


def test_a_login_that_was_judged_over_several_cookie_fields_reaches_the_application_in_one() -> None:
    app = Starlette(routes=[Route("/login", login, methods=["POST"]), Route("/shown", shown)])
    app.add_middleware(SessionMiddleware, secret_key=KEY, https_only=True)
    app.add_middleware(sessionward.ASGIMiddleware, identify=StarletteSession(KEY, user="user"), **OURS)
    client = TestClient(app, base_url="https://app.example")
    client.post("/login")
    jar = dict(client.cookies.items())
    client.cookies.clear()
    pairs = [f"{name}={value}" for name, value in jar.items()]
    fields = [("cookie", "theme=dark"), *(("cookie", pair) for pair in pairs)]
    assert client.get("/shown", headers=fields).text == "; ".join(["theme=dark", *pairs])
