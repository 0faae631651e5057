"""What Flask-Login says of a login: the user has proved who they are, or was only remembered."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cachelib import FileSystemCache
from flask import Flask, request, session
from flask.testing import FlaskClient
from flask_login import (  # type: ignore[import-untyped]
    LoginManager,
    UserMixin,
    confirm_login,
    current_user,
    login_user,
    logout_user,
)
from flask_session import Session  # type: ignore[import-untyped]

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.identify import Identity
from sessionward.identify.flask import FlaskLogin
from sessionward.identify.flask_session import FlaskSession
from tests.identify.claims import SECRET, identity

pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),  # Flask-Login's, from Python 3.12 on
    pytest.mark.filterwarnings("ignore::DeprecationWarning:flask_session"),
]

DAY: Final = timedelta(days=1)


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, id: str) -> None:
        self.id = id


def site() -> Flask:
    app = Flask("site")
    app.secret_key = SECRET
    manager = LoginManager(app)
    manager.session_protection = None
    manager.user_loader(User)

    @app.get("/login")
    def login() -> str:
        login_user(User("ann"), remember=True)
        return ""

    @app.get("/confirm")
    def confirm() -> str:
        confirm_login()
        return ""

    @app.get("/logout")
    def logout() -> str:
        logout_user()
        return ""

    @app.get("/again")
    def again() -> str:
        sessionward.of(request).login("ann")
        return ""

    @app.get("/me")
    def me() -> str:
        return current_user.get_id() or "nobody"

    @app.get("/plain")
    def plain() -> str:
        session["_user_id"] = "ann"
        return ""

    return app


def signed(tmp_path: Path) -> tuple[Flask, Any]:
    app = site()
    return app, FlaskLogin.of(app)


def stored(tmp_path: Path) -> tuple[Flask, Any]:
    app = site()
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(tmp_path)))
    Session(app)
    return app, FlaskSession.of(app)


kinds = pytest.mark.parametrize("kind", [signed, stored])


def seen(client: FlaskClient, identifier: Any) -> dict[str, bool | None]:
    """What the identifier says of each cookie of the browser."""
    cookies = {name: client.get_cookie(name) for name in identifier.cookies}
    found = {name: identifier.identify(name, cookie.value) for name, cookie in cookies.items() if cookie is not None}
    return {name: identity.fresh for name, identity in found.items() if isinstance(identity, Identity)}


@kinds
def test_a_sign_in_is_fresh_and_a_remembered_session_is_not(kind: Any, tmp_path: Path) -> None:
    app, identifier = kind(tmp_path)
    client = app.test_client()
    client.get("/login")
    assert seen(client, identifier) == {"session": True, "remember_token": False}
    client.delete_cookie("session")
    assert client.get("/me").text == "ann"
    assert seen(client, identifier) == {"session": False, "remember_token": False}
    client.get("/confirm")
    assert seen(client, identifier) == {"session": True, "remember_token": False}


@kinds
def test_without_flask_login_the_session_says_nothing(kind: Any, tmp_path: Path) -> None:
    app, identifier = kind(tmp_path)
    client = app.test_client()
    client.get("/plain")
    assert seen(client, identifier) == {"session": None}


def test_a_function_for_the_remember_me_cookie_may_say_it_itself() -> None:
    def read(value: str) -> Identity | str:
        return "ann" if value == "by id" else Identity(user_id="ann", session_id="7", fresh={"yes": True, "no": False}.get(value))

    identifier = FlaskLogin(SECRET, remember=read)
    told = {value: identity(identifier, "remember_token", value) for value in ("by id", "nothing", "no", "yes")}
    assert {value: found and found.fresh for value, found in told.items()} == {"by id": False, "nothing": False, "no": False, "yes": True}
    kept = told["nothing"]
    assert kept is not None
    assert kept.app_session == Identity(user_id="ann", session_id="7").app_session


def guarded(app: Flask, identifier: Any, clock: Any) -> FlaskClient:
    backend = MemoryBackend(clock=clock)
    wrapped = sessionward.WSGIMiddleware(app.wsgi_app, backend, identify=identifier, secrets=[SECRET], insecure=True, api=True, recent=300)
    app.wsgi_app = wrapped  # type: ignore[method-assign]
    return app.test_client()


@pytest.mark.parametrize(
    ("kind", "ways", "status"),
    [
        (signed, ["/login"], 200),
        (signed, ["/confirm"], 200),
        (signed, ["/again"], 200),
        (stored, ["/login"], 403),  # the store says it to each request in flight
        (stored, ["/confirm"], 403),
        (stored, ["/again"], 200),
        (stored, ["/logout", "/login"], 200),
    ],
)
def test_a_remembered_user_signs_in_again_and_may_revoke(kind: Any, ways: list[str], status: int, tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    app, identifier = kind(tmp_path)
    client = guarded(app, identifier, lambda: now[0])
    client.get("/login")
    assert client.delete("/auth/sessions").status_code == 200
    now[0] += 301
    refused = client.delete("/auth/sessions")
    assert (refused.status_code, refused.json["error"]["id"]) == (403, "session_refresh_required")  # type: ignore[index]
    client.delete_cookie("session")  # the browser was closed; the remember-me cookie and ours stay
    assert client.get("/me").text == "ann"
    assert client.delete("/auth/sessions").status_code == 403
    for way in ways:
        client.get(way)
    assert client.get("/me").text == "ann"
    assert client.delete("/auth/sessions").status_code == status


@kinds
@pytest.mark.parametrize("ways", [["/logout", "/login"], ["/again"]])
def test_a_user_who_is_signed_in_signs_out_and_in_or_the_application_calls_login(kind: Any, ways: list[str], tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    app, identifier = kind(tmp_path)
    client = guarded(app, identifier, lambda: now[0])
    client.get("/login")
    now[0] += 301
    assert client.delete("/auth/sessions").status_code == 403
    for way in ways:
        client.get(way)
    assert client.get("/me").text == "ann"
    assert client.delete("/auth/sessions").status_code == 200
