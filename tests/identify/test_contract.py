"""The contract that ``sessionward.testing`` gives to authors of identifiers, kept by ours over what real frameworks write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from beaker.middleware import SessionMiddleware as BeakerMiddleware  # type: ignore[import-untyped]
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware

from sessionward.identify.beaker import Beaker
from sessionward.identify.flask import FlaskLogin
from sessionward.identify.jwt import JWT
from sessionward.identify.starlette import StarletteSession
from sessionward.testing import IdentifierContract, Samples
from tests.identify import test_beaker, test_flask, test_functions, test_jwt, test_starlette
from tests.identify.claims import FOREIGN_SECRET, SECRET

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Login's, from Python 3.12 on

USERS = ("ann", "bob")
Tried: TypeAlias = tuple[Any, Samples]


def of_jwt(_place: Path) -> Tried:
    name = test_jwt.COOKIE
    invalid = [
        test_jwt.token(FOREIGN_SECRET, sub="ann"),
        test_jwt.token(sub="ann", exp=test_jwt.NOW - 1),
        test_jwt.unsigned({"alg": "none"}, {"sub": "ann"}),
    ]
    signed_in = [(name, test_jwt.token(sub=user), user) for user in USERS]
    return JWT(SECRET, algorithms=["HS256"]), Samples(signed_in, invalid=[(name, value) for value in invalid], secrets=[SECRET])


def of_flask(_place: Path) -> Tried:
    signed_in = [(name, value, user) for user in USERS for name, value in test_flask.cookies_of(test_flask.APP, f"/login/{user}").items()]
    anonymous = [*test_flask.cookies_of(test_flask.APP, "/cart").items()]
    invalid = [
        ("session", test_flask.signed({"_user_id": "ann"}, secret=FOREIGN_SECRET)),
        ("session", test_flask.signed({"_user_id": "ann"}, age=40 * test_flask.DAY)),
        ("remember_token", "ann|" + "0" * 128),
    ]
    return FlaskLogin(SECRET), Samples(signed_in, anonymous, invalid, [SECRET])


def of_starlette(_place: Path) -> Tried:
    app, foreign = (test_starlette.site(Middleware(SessionMiddleware, secret_key=secret)) for secret in (SECRET, FOREIGN_SECRET))
    signed_in = [("session", test_starlette.visit(app, f"/login/{user}")[-1], user) for user in USERS]
    anonymous = [("session", test_starlette.visit(app, "/cart")[-1])]
    invalid = [("session", test_starlette.visit(foreign, "/login/ann")[-1])]
    return StarletteSession(SECRET, user="user_id"), Samples(signed_in, anonymous, invalid, [SECRET])


def of_beaker(place: Path) -> Tried:
    """An id that the secret has signed, and the session in a file."""
    options = {"session.type": "file", "session.data_dir": str(place)}
    app, foreign = (BeakerMiddleware(test_beaker.pages, {**options, "session.secret": secret}) for secret in (SECRET, FOREIGN_SECRET))
    signed_in = [(test_beaker.NAME, test_beaker.visit(app, f"/login/{user}"), user) for user in USERS]
    anonymous = [(test_beaker.NAME, test_beaker.visit(app, "/cart"))]
    invalid = [(test_beaker.NAME, test_beaker.visit(foreign, "/login/ann"))]
    return Beaker(app.options, user="user"), Samples(signed_in, anonymous, invalid, [SECRET])


def of_pyramid(_place: Path) -> Tried:
    """A function of a few lines."""
    app = test_functions.PYRAMID
    signed_in = [("session", test_functions.pyramid_visit(app, f"/login/{user}"), user) for user in USERS]
    anonymous = [("session", test_functions.pyramid_visit(app, "/cart"))]
    return test_functions.OF_PYRAMID, Samples(signed_in, anonymous, [("session", "x" * 80)], [SECRET])


OURS: dict[str, Callable[[Path], Tried]] = {
    "JWT": of_jwt,
    "FlaskLogin": of_flask,
    "StarletteSession": of_starlette,
    "Beaker": of_beaker,
    "Function": of_pyramid,
}


class TestOurs(IdentifierContract):
    """Each in turn."""

    @pytest.fixture(params=OURS)
    def tried(self, request: pytest.FixtureRequest, tmp_path: Path) -> Tried:
        return OURS[request.param](tmp_path)

    @pytest.fixture
    def identifier(self, tried: Tried) -> Any:
        return tried[0]

    @pytest.fixture
    def samples(self, tried: Tried) -> Samples:
        return tried[1]
