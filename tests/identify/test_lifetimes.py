"""How long a login lives: what cannot be a lifetime is refused at start, by name, and never reaches a cookie or a row."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final

import pytest
from flask import Flask

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.errors import ConfigurationError, InvalidCredential, UsageError
from sessionward.identify import Function, Identity
from sessionward.identify.beaker import Beaker
from sessionward.identify.flask import FlaskLogin
from sessionward.identify.flask_session import FlaskSession
from sessionward.identify.jwt import JWT
from sessionward.identify.starlette import StarletteSession, Starsessions
from sessionward.settings import MAX_LIFETIME
from tests.identify.claims import SECRET

STORE: Final[Any] = SimpleNamespace(get=lambda key: None, read=lambda **_: None)
NONE: Final = [
    math.inf,
    -math.inf,
    math.nan,
    -5,
    -0.5,
    0.5,
    True,
    False,
    "60",
    b"60",
    None,
    [60],
    timedelta(seconds=-5),
    timedelta.max,
    10**20,
]
"""No lifetimes. ``0`` is one for starsessions, where it means "until the browser closes"."""


class Own:
    """A class of a user's own."""

    cookies = ("sid",)

    def __init__(self, lifetime: object) -> None:
        self.lifetime = lifetime

    def identify(self, name: str, value: str, /) -> Identity | None:
        return Identity(user_id=value)


def door(lifetime: Any) -> object:
    return sessionward.WSGIMiddleware(Flask(__name__), MemoryBackend(), identify=Own(lifetime), secrets=[SECRET])


MAKERS: Final[dict[str, Callable[[Any], object]]] = {
    "a class of one's own": door,
    "Function": lambda lifetime: Function(lambda name, value: value, cookies=["sid"], lifetime=lifetime),
    "Beaker": lambda lifetime: Beaker({"type": "memory"}, user="user", lifetime=lifetime),
    "FlaskLogin": lambda lifetime: FlaskLogin(SECRET, lifetime=lifetime),
    "FlaskLogin, remember": lambda lifetime: FlaskLogin(SECRET, remember_lifetime=lifetime),
    "FlaskSession": lambda lifetime: FlaskSession(STORE, secret_key=SECRET, lifetime=lifetime),
    "FlaskSession, remember": lambda lifetime: FlaskSession(STORE, secret_key=SECRET, remember_lifetime=lifetime),
    "JWT": lambda lifetime: JWT(SECRET, algorithms=["HS256"], lifetime=lifetime),
}


@pytest.mark.parametrize("value", [*NONE, 0], ids=repr)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_is_no_lifetime_is_refused_at_start(make: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(ConfigurationError, match="lifetime: must be"):
        make(value)


@pytest.mark.parametrize("value", [1, 1.5, timedelta(days=31), MAX_LIFETIME], ids=repr)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_is_one_is_taken(make: Callable[[Any], object], value: Any) -> None:
    assert make(value) is not None


@pytest.mark.parametrize("value", NONE, ids=repr)
def test_starsessions_takes_nothing_but_a_lifetime_or_0(value: Any) -> None:
    if value is False or value == 0.5:  # 0.5 is cut to 0 by the store
        value = -1
    with pytest.raises(ConfigurationError, match="lifetime: must be"):
        Starsessions(STORE, user="user", lifetime=value)
    assert Starsessions(STORE, user="user", lifetime=0).lifetime == 31 * 86_400


@pytest.mark.parametrize("value", [math.inf, math.nan, 0, -5, True, "60", 1.5], ids=repr)
def test_the_max_age_of_starlette_is_whole_seconds(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_age: must be"):
        StarletteSession(SECRET, user="user", max_age=value)


@pytest.mark.parametrize("value", [math.inf, math.nan, 0, -5, True, "60"], ids=repr)
def test_the_lifetime_of_a_token_too(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="token_lifetime: must be"):
        JWT(SECRET, algorithms=["HS256"], token_lifetime=value)
    assert JWT(SECRET, algorithms=["HS256"], leeway=0) is not None


def test_an_application_whose_sessions_live_for_decades_is_served() -> None:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=SECRET, PERMANENT_SESSION_LIFETIME=timedelta(days=36_500), REMEMBER_COOKIE_DURATION=timedelta(days=36_500))
    identifier = FlaskLogin.of(app)
    assert (identifier.lifetime, identifier.remember_lifetime) == (MAX_LIFETIME, MAX_LIFETIME)
    assert StarletteSession(SECRET, user="user", max_age=10**10).lifetime == MAX_LIFETIME


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, True, "60", [60]], ids=repr)
def test_a_credential_of_no_lifetime_is_a_mistake_of_the_identifier(value: Any) -> None:
    with pytest.raises(UsageError, match="lifetime: must be"):
        Identity(user_id="ann", lifetime=value)


@pytest.mark.parametrize("value", [0, -5, -0.01], ids=repr)
def test_a_credential_whose_time_is_over_is_invalid(value: Any) -> None:
    with pytest.raises(InvalidCredential):
        Identity(user_id="ann", lifetime=value)


def test_a_credential_that_lives_longer_than_we_can_keep_lives_as_long_as_we_can() -> None:
    assert Identity(user_id="ann", lifetime=1e12).lifetime == MAX_LIFETIME
