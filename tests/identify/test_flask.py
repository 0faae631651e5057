"""FlaskLogin against Flask, Flask-Login and Quart: the same cookie, the same user."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface
from flask_login import (  # type: ignore[import-untyped]
    LoginManager,
    UserMixin,
    current_user,
    encode_cookie,
    login_user,
    logout_user,
)
from hypothesis import given
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from quart import Quart
from quart import session as quart_session

from sessionward.errors import ConfigurationError
from sessionward.identify.flask import FlaskLogin
from sessionward.session.identifier import IdentifierSpec
from tests.identify.claims import FOREIGN_SECRET, GARBAGE, OLD_SECRET, SECRET, UNREADABLE, identity, mutated, other_spellings, said, shows

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Login's, from Python 3.12 on

DAY = 86_400


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, id: str) -> None:
        self.id = id


def site(**config: Any) -> Flask:
    """An application with Flask-Login's own login, logout and remember-me."""
    app = Flask("site")
    app.config.update(SECRET_KEY=SECRET, **config)
    manager = LoginManager(app)
    manager.session_protection = None
    manager.user_loader(User)

    @app.get("/login/<user>")
    def login(user: str) -> str:
        session["cart"] = ("book", 2)
        login_user(User(user), remember=True)
        return user

    @app.get("/logout")
    def logout() -> str:
        logout_user()
        return ""

    @app.get("/cart")
    def cart() -> str:
        session["cart"] = ("book", 1)
        return ""

    @app.get("/me")
    def me() -> str:
        return current_user.get_id() or ""

    return app


def cookies_of(app: Flask, *paths: str) -> Mapping[str, str]:
    """What a browser has after visiting these pages."""
    client = app.test_client()
    with warnings.catch_warnings():  # also while pytest collects
        warnings.filterwarnings("ignore", "datetime.datetime.utcnow", DeprecationWarning)
        for path in paths:
            client.get(path)
    found = {name: client.get_cookie(name) for name in ("session", "remember_token")}
    return {name: cookie.value for name, cookie in found.items() if cookie is not None}


def app_says(app: Flask, name: str, value: str) -> str | None:
    """Whom the application takes a request with just this cookie for."""
    answer = app.test_client(use_cookies=False).get("/me", headers={"Cookie": f"{name}={value}".encode("latin-1").decode("latin-1")})
    assert answer.status_code == 200
    return answer.text or None


APP = site()
ADA = cookies_of(APP, "/login/ada")
IDENTIFIER = FlaskLogin(SECRET)


def signed(content: object, *, secret: str = SECRET, salt: str = "cookie-session", age: int = 0) -> str:
    """A session cookie as the application signs it, so many seconds ago."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return super().get_timestamp() - age

    app = Flask("signs")
    app.secret_key = secret
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return str(
        URLSafeTimedSerializer(
            secret, salt=salt, serializer=serializer.serializer, signer=Then, signer_kwargs=serializer.signer_kwargs
        ).dumps(content)
    )


# --- the same as the application --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["session", "remember_token"])
@pytest.mark.parametrize("identifier", [FlaskLogin(SECRET), FlaskLogin.of(APP)], ids=["by its secret", "of the application"])
def test_a_login_is_read_as_the_application_reads_it(name: str, identifier: FlaskLogin) -> None:
    assert said(identifier, name, ADA[name]) == app_says(APP, name, ADA[name]) == "ada"


CASES: Mapping[str, tuple[str, str]] = {
    "fresh": ("session", signed({"_user_id": "ada"})),
    "compressed": ("session", signed({"_user_id": "ada", "cart": "book " * 100})),
    "nearly expired": ("session", signed({"_user_id": "ada"}, age=30 * DAY)),
    "expired": ("session", signed({"_user_id": "ada"}, age=32 * DAY)),
    "of the future": ("session", signed({"_user_id": "ada"}, age=-DAY)),
    "forged": ("session", signed({"_user_id": "ada"}, secret=FOREIGN_SECRET)),
    "of a secret that is no fallback": ("session", signed({"_user_id": "ada"}, secret=OLD_SECRET)),
    "another salt": ("session", signed({"_user_id": "ada"}, salt="reset-password")),
    "anonymous cart": ("session", signed({"cart": ["book"]})),
    "empty session": ("session", signed({})),
    "clearing the remember-me cookie": ("session", signed({"_remember": "clear"})),
    "a user, and clearing the remember-me cookie": ("session", signed({"_user_id": "ada", "_remember": "clear"})),
    "truncated": ("session", ADA["session"][:-1]),
    "signature cut off": ("session", ADA["session"].rpartition(".")[0]),
    "longer": ("session", ADA["session"] + "A"),
    "a remember-me cookie in the session's place": ("session", ADA["remember_token"]),
    "words": ("session", "hello"),
    "dots": ("session", "..."),
    "remembered": ("remember_token", ADA["remember_token"]),
    "remembered with another user": ("remember_token", "bob" + ADA["remember_token"][3:]),
    "remembered in capitals": ("remember_token", ADA["remember_token"].upper()),
    "remembered and truncated": ("remember_token", ADA["remember_token"][:-1]),
    "remembered without a signature": ("remember_token", "ada"),
    "a bar in the user's name": ("remember_token", cookies_of(APP, "/login/ada|lovelace")["remember_token"]),
    "an address as the user's name": ("remember_token", cookies_of(APP, "/login/ada@example.com")["remember_token"]),
    "a session in the remember-me cookie's place": ("remember_token", ADA["session"]),
}


@pytest.mark.parametrize(("name", "value"), CASES.values(), ids=CASES)
def test_it_equals_what_flask_login_decides(name: str, value: str) -> None:
    ours = said(IDENTIFIER, name, value)
    assert (None if ours == UNREADABLE else ours) == app_says(APP, name, value)


@pytest.mark.parametrize("case", ["expired", "forged", "another salt", "truncated", "longer", "words", "remembered and truncated"])
def test_what_is_no_credential_of_the_application_is_unreadable(case: str) -> None:
    assert said(IDENTIFIER, *CASES[case]) == UNREADABLE


@pytest.mark.parametrize("case", ["anonymous cart", "empty session", "clearing the remember-me cookie"])
def test_a_session_without_a_user_names_nobody(case: str) -> None:
    assert said(IDENTIFIER, *CASES[case]) is None


def test_after_a_logout_the_session_names_nobody() -> None:
    assert said(IDENTIFIER, "session", cookies_of(APP, "/login/ada", "/logout")["session"]) is None
    assert said(IDENTIFIER, "session", cookies_of(APP, "/cart")["session"]) is None


@pytest.mark.parametrize("content", [["_user_id"], "ada", 7], ids=repr)
def test_what_the_application_signed_but_no_session_is_unreadable(content: object) -> None:
    assert said(IDENTIFIER, "session", signed(content)) == UNREADABLE


def test_a_user_without_a_name_is_not_remembered() -> None:
    with APP.app_context():
        assert said(IDENTIFIER, "remember_token", encode_cookie("")) == UNREADABLE


# --- spellings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["session", "remember_token"])
def test_another_spelling_is_unreadable_even_where_werkzeug_reads_it(name: str) -> None:
    read = [app_says(APP, name, value) for value in other_spellings(ADA[name]) if value.isascii()]
    assert "ada" in read
    assert {said(IDENTIFIER, name, value) for value in other_spellings(ADA[name])} == {UNREADABLE}


def test_a_user_whom_werkzeug_must_quote_is_not_remembered() -> None:
    client = APP.test_client()
    answer = client.get("/login/ada,lovelace")
    token = next(value for value in answer.headers.getlist("Set-Cookie") if value.startswith("remember_token="))
    value = re.split("[=;]", token)[1]
    assert value.startswith('"')
    assert said(IDENTIFIER, "remember_token", value) == UNREADABLE
    assert said(IDENTIFIER, "session", cookies_of(APP, "/login/ada,lovelace")["session"]) == "ada,lovelace"


@given(GARBAGE)
def test_garbage_is_unreadable_and_nothing_worse(garbage: str) -> None:
    assert said(IDENTIFIER, "session", garbage) == said(IDENTIFIER, "remember_token", garbage) == UNREADABLE


@given(mutated(ADA["session"]))
def test_a_changed_session_cookie_is_unreadable_or_the_same_to_the_application(value: str) -> None:
    found = said(IDENTIFIER, "session", value)
    assert found in {UNREADABLE, "ada"}
    assert found == UNREADABLE or app_says(APP, "session", value) == "ada"


@given(mutated(ADA["remember_token"]))
def test_a_changed_remember_me_cookie_is_unreadable(value: str) -> None:
    assert said(IDENTIFIER, "remember_token", value) == UNREADABLE or value == ADA["remember_token"]


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda app: FlaskLogin(SECRET, fallbacks=[OLD_SECRET]), FlaskLogin.of], ids=["by its secret", "of the app"]
)
def test_a_fallback_counts_for_the_session_and_not_for_remember_me_as_in_the_application(make: Callable[[Flask], FlaskLogin]) -> None:
    app = site(SECRET_KEY_FALLBACKS=[OLD_SECRET])
    before = site()
    before.config["SECRET_KEY"] = OLD_SECRET
    old = cookies_of(before, "/login/ada")
    identifier = make(app)
    assert said(identifier, "session", old["session"]) == app_says(app, "session", old["session"]) == "ada"
    assert said(identifier, "remember_token", old["remember_token"]) == UNREADABLE
    assert app_says(app, "remember_token", old["remember_token"]) is None
    assert said(identifier, "session", ADA["session"]) == "ada"


def test_it_shows_no_secret() -> None:
    identifier = FlaskLogin(SECRET, fallbacks=[OLD_SECRET])
    assert SECRET not in shows(identifier)
    assert OLD_SECRET not in shows(identifier)
    assert SECRET not in shows(identifier._remember)


# --- configuration ----------------------------------------------------------------------------------------------------


def test_the_application_s_own_configuration_is_taken() -> None:
    app = site(
        SESSION_COOKIE_NAME="sid",
        REMEMBER_COOKIE_NAME="stay",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=1),
        REMEMBER_COOKIE_DURATION=timedelta(days=7),
    )
    identifier = FlaskLogin.of(app)
    spec = IdentifierSpec.of(identifier)
    assert (spec.cookies, spec.lifetime) == ((b"sid", b"stay"), 3600.0)
    assert (spec.server_side, spec.blocks, spec.is_async) == (False, False, False)
    remembered = identity(identifier, "stay", ADA["remember_token"])
    assert remembered is not None
    assert (remembered.lifetime, remembered.app_session, remembered.issued_at) == (7 * 86_400.0, None, None)
    assert said(identifier, "sid", signed({"_user_id": "ada"}, age=3660)) == UNREADABLE
    assert said(identifier, "sid", signed({"_user_id": "ada"}, age=3540)) == "ada"


def test_a_salt_of_the_application_s_own_is_taken() -> None:
    app = site()
    app.session_interface = SecureCookieSessionInterface()  # else it is that of all applications
    app.session_interface.salt = "mine"
    assert said(FlaskLogin.of(app), "session", signed({"_user_id": "ada"}, salt="mine")) == "ada"
    assert said(FlaskLogin(SECRET, salt="mine"), "session", signed({"_user_id": "ada"}, salt="mine")) == "ada"
    assert said(FlaskLogin.of(app), "session", ADA["session"]) == UNREADABLE


def test_the_remember_me_cookie_counts_before_a_login_manager_is_set_up() -> None:
    app = Flask("later")
    app.secret_key = SECRET
    assert said(FlaskLogin.of(app), "remember_token", ADA["remember_token"]) == "ada"


def test_a_session_lives_as_long_as_the_identifier_says() -> None:
    found = identity(IDENTIFIER, "session", ADA["session"])
    assert found is not None
    assert (found.lifetime, found.app_session) == (None, None)
    assert IdentifierSpec.of(IDENTIFIER).lifetime == 31 * 86_400.0


def test_an_application_without_flask_login_has_its_own_key() -> None:
    identifier = FlaskLogin(SECRET, user_key="user_id", remember_cookie=None)
    assert identifier.cookies == ("session",)
    assert said(identifier, "session", signed({"user_id": 7})) == "7"
    assert said(identifier, "session", signed({"user_id": UUID(int=7)})) == str(UUID(int=7))
    assert said(identifier, "session", ADA["session"]) is None


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as told:
        FlaskLogin("", fallbacks=SECRET, session_cookie="", lifetime="long")  # type: ignore[arg-type]
    assert {mistake.partition(":")[0] for mistake in told.value.mistakes} == {"secret_key", "fallbacks", "session_cookie", "lifetime"}
    assert SECRET not in str(told.value)


def test_an_application_without_a_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        FlaskLogin.of(Flask("no secret"))


def test_a_secret_that_flask_login_cannot_use_is_refused_unless_it_is_not_used() -> None:
    with pytest.raises(ConfigurationError, match="latin-1"):
        FlaskLogin("ключ от приложения")
    assert FlaskLogin("ключ от приложения", remember_cookie=None).cookies == ("session",)


def test_an_application_that_keeps_its_sessions_elsewhere_is_refused() -> None:
    app = site()
    app.session_interface = object()  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="flask_session"):
        FlaskLogin.of(app)


# --- Quart ------------------------------------------------------------------------------------------------------------


async def quart_cookie(app: Quart) -> str:
    client = app.test_client()
    answer = await client.get("/login")
    return re.split("[=;]", answer.headers["Set-Cookie"])[1]


def test_quart_writes_the_same_bytes() -> None:
    app = Quart("site")
    app.secret_key = SECRET

    @app.get("/login")
    async def login() -> str:
        quart_session["_user_id"] = "ada"
        return ""

    with asyncio.Runner() as runner:
        cookie = runner.run(quart_cookie(app))
    for identifier in (FlaskLogin.of(app), FlaskLogin(SECRET)):
        assert said(identifier, "session", cookie) == "ada"
        assert said(identifier, "session", cookie[:-2]) == UNREADABLE
