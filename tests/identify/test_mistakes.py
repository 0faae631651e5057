"""What one types first, and what one is told then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.errors import ConfigurationError
from sessionward.identify import Function
from sessionward.identify.beaker import Beaker
from sessionward.identify.flask import FlaskLogin
from sessionward.identify.flask_session import FlaskSession
from sessionward.identify.starlette import StarletteSession
from tests.identify.claims import SECRET

app: Any = Flask(__name__)
only_the_value: Any = len
door: Any = sessionward.WSGIMiddleware(app.wsgi_app, MemoryBackend(), secrets=[SECRET])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(lambda: FlaskLogin(app), r"FlaskLogin\.of\(app\)", id="the application in place of its secret"),
        pytest.param(lambda: FlaskLogin.of(door), "the Flask application itself", id="what stands around the application"),
        pytest.param(lambda: FlaskSession.of(door), "the Flask application itself", id="what stands around it, Flask-Session"),
        pytest.param(lambda: FlaskSession(app, secret_key=SECRET), r"FlaskSession\.of\(app\)", id="the application in place of its store"),
        pytest.param(lambda: FlaskLogin.of(FlaskLogin), "the Flask application itself", id="a class"),
        pytest.param(lambda: FlaskLogin.of(Flask("x")), "SECRET_KEY is not set yet", id="before the secret is set"),
        pytest.param(lambda: Beaker({"session.type": "file"}, user="user"), r"\.options", id="the middleware's arguments"),
        pytest.param(lambda: Beaker(app, user="user"), r"\.options", id="an application in place of the options"),
        pytest.param(lambda: Function(only_the_value, cookies=["sid"]), "two arguments", id="a function of the value alone"),
    ],
)
def test_the_way_out_is_named(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_a_class_or_a_bare_function_is_no_identifier() -> None:
    with pytest.raises(ConfigurationError, match=r"StarletteSession\(\.\.\.\)"):
        sessionward.WSGIMiddleware(app, MemoryBackend(), identify=StarletteSession, secrets=[SECRET])
    with pytest.raises(ConfigurationError, match=r"Function\(function, cookies="):
        sessionward.WSGIMiddleware(app, MemoryBackend(), identify=lambda name, value: None, secrets=[SECRET])
