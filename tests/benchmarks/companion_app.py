"""A Flask application with Flask-Login, bare and with companions in SQLite: what gunicorn serves for the benchmark."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user  # type: ignore[import-untyped]

import sessionward
from sessionward.backends.sql import SQLBackend
from sessionward.identify.flask import FlaskLogin
from tests.benchmarks.leases import LEASE
from tests.benchmarks.requests import SECRET


class User(UserMixin):  # type: ignore[misc]
    """Whoever signs in."""

    def __init__(self, id: str) -> None:
        self.id = id


def application() -> Flask:
    app = Flask(__name__)
    app.secret_key = "the secret of the application itself"
    LoginManager(app).user_loader(User)

    @app.get("/")
    @login_required  # type: ignore[untyped-decorator]
    def page() -> str:
        return f"hello {current_user.id}"

    @app.post("/login")
    def login() -> str:
        login_user(User("ada"), remember=True)
        return "welcome"

    return app


def guarded(lease: float = 0.0) -> Any:
    """For gunicorn: ``tests.benchmarks.companion_app:guarded()``. Its database is where BENCHMARK_DATABASE says."""
    app = application()
    backend = SQLBackend(os.environ["BENCHMARK_DATABASE"])
    backend.create_tables()
    return sessionward.WSGIMiddleware(app, backend, identify=FlaskLogin.of(app), secrets=[SECRET], insecure=True, lease=lease)


def leased() -> Any:
    return guarded(LEASE)
