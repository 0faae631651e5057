"""Remember-me cookies that are not Flask-Login's own, and those that nobody can read: what counts, and what the operator is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
from flask import Flask, request, session
from flask_login import LoginManager, UserMixin, current_user, login_user  # type: ignore[import-untyped]
from itsdangerous import BadSignature, Signer

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.identify import Identity
from sessionward.identify.flask import FlaskLogin
from sessionward.identify.flask_session import FlaskSession
from sessionward.session.identifier import IdentifierSpec
from tests.identify.claims import SECRET

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Login's, from Python 3.12 on

SIGNER: Final = Signer(SECRET, salt="a fork's")


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, id: str) -> None:
        self.id = id


def fork() -> Flask:
    """A site whose remember-me cookie has a form of its own, as those of forks of Flask-Login have."""
    app = Flask("fork")
    app.secret_key = SECRET

    @app.get("/login/<user>")
    def login(user: str) -> Any:
        session["_user_id"] = user
        answer = app.make_response(user)
        answer.set_cookie("remember_token", SIGNER.sign(f"{user}.7f3a").decode(), max_age=86_400)
        return answer

    @app.get("/me")
    def me() -> str:
        if "_user_id" not in session and "remember_token" in request.cookies:
            session["_user_id"] = remembered(request.cookies["remember_token"])
        user: str = session.get("_user_id", "nobody")
        return user

    return app


def remembered(value: str) -> str:
    return SIGNER.unsign(value).decode().split(".")[0]


def upstream(user_id: str) -> Flask:
    """A site with Flask-Login's own remember-me."""
    app = Flask("upstream")
    app.secret_key = SECRET
    manager = LoginManager(app)
    manager.session_protection = None
    manager.user_loader(User)

    @app.get("/login")
    def login() -> str:
        login_user(User(user_id), remember=True)
        return ""

    @app.get("/me")
    def me() -> str:
        return current_user.get_id() or "nobody"

    return app


def behind(app: Flask, identifier: Any) -> Flask:
    app.wsgi_app = sessionward.WSGIMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, MemoryBackend(), identify=identifier, secrets=[SECRET], insecure=True
    )
    return app


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What the operator has been told; the middleware says each thing once in a process."""
    log = logging.getLogger("sessionward")
    monkeypatch.setattr("sessionward.door.handle.warn", log.warning)
    with caplog.at_level(logging.WARNING, "sessionward"):
        yield lambda: caplog.text


# --- a form of the application's own -----------------------------------------------------------------------------------


def test_a_remember_me_cookie_of_a_fork_counts_by_a_function(told: Callable[[], str]) -> None:
    app = behind(app := fork(), FlaskLogin.of(app, remember=remembered))
    own, other, thief = app.test_client(), app.test_client(), app.test_client()
    for client in (own, other):
        client.get("/login/ann")
    copied = other.get_cookie("remember_token")
    assert copied is not None
    other.delete_cookie("session")
    assert other.get("/me").text == "ann", "remembered, with its companion"
    assert own.delete("/auth/sessions").json == {"count": 1}
    thief.set_cookie("remember_token", copied.value)
    assert [client.get("/me").text for client in (own, other, thief)] == ["ann", "nobody", "nobody"]
    assert told() == ""


def test_without_the_function_the_log_says_what_is_true_and_the_way_out(told: Callable[[], str]) -> None:
    app = behind(app := fork(), FlaskLogin.of(app))
    client = app.test_client()
    client.get("/login/ann")
    assert client.get("/me").text == "ann"
    assert "cannot read the cookie 'remember_token'" in told()
    assert "the other login cookies of this response count" in told()
    assert "pass remember=" in told()
    assert "nobody can sign in" not in told()
    assert "7f3a" not in told()


@pytest.mark.parametrize("answer", [None, BadSignature("of a value"), InvalidCredential("of a value")], ids=repr)
@pytest.mark.parametrize("kind", ["FlaskLogin", "FlaskSession"])
def test_what_the_function_does_not_know_is_invalid(kind: str, answer: Any) -> None:
    def read(value: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(InvalidCredential) as caught:
        made(kind, read).identify("remember_token", "value")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", ["FlaskLogin", "FlaskSession"])
def test_what_the_function_knows_is_asked_each_time(kind: str) -> None:
    answers = iter(["ann", 0, Identity(user_id="cid", lifetime=60)])
    identifier = made(kind, lambda value: next(answers))
    seen = [identifier.identify("remember_token", "value") for _ in range(3)]
    assert [(identity.user_id, identity.lifetime) for identity in seen] == [("ann", 365 * 86_400), ("0", 365 * 86_400), ("cid", 60)]
    assert IdentifierSpec.of(identifier).blocks, "it may ask a database"


@pytest.mark.parametrize("kind", ["FlaskLogin", "FlaskSession"])
def test_a_failure_of_the_function_is_no_answer(kind: str) -> None:
    def read(value: str) -> Any:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        made(kind, read).identify("remember_token", "value")


def made(kind: str, read: Any, **more: Any) -> Any:
    if kind == "FlaskLogin":
        return FlaskLogin(SECRET, remember=read, **more)
    store: Any = SimpleNamespace(get=lambda key: None)
    return FlaskSession(store, remember=read, **more)


async def awaited(value: str) -> str:
    return value


@pytest.mark.parametrize(
    ("read", "more"),
    [("remembered", {}), (awaited, {}), (User, {}), (remembered, {"remember_cookie": None})],
    ids=["a name", "async", "a class", "no cookie"],
)
@pytest.mark.parametrize("kind", ["FlaskLogin", "FlaskSession"])
def test_what_is_no_such_function_is_refused_at_start(kind: str, read: Any, more: Any) -> None:
    with pytest.raises(ConfigurationError, match="remember: "):
        made(kind, read, **more)


# --- ids that cannot be remembered ------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["ann lee", "jürg", "a,b", 'say "ann"', "李"])
def test_an_id_that_cannot_be_remembered_is_told_when_it_signs_in(user: str, told: Callable[[], str]) -> None:
    app = behind(app := upstream(user), FlaskLogin.of(app))
    client = app.test_client()
    client.get("/login")
    assert client.get("/me").text == user, "the session itself counts"
    assert "cannot read the cookie 'remember_token'" in told()
    assert "blanks, commas, quotes or letters beyond ASCII" in told()
    assert user not in told()


@pytest.mark.parametrize("user", ["ann", "7", "ann@shop.example"])
def test_others_are_remembered_and_nothing_is_told(user: str, told: Callable[[], str]) -> None:
    app = behind(app := upstream(user), FlaskLogin.of(app))
    client = app.test_client()
    client.get("/login")
    client.delete_cookie("session")
    assert client.get("/me").text == user
    assert told() == ""
