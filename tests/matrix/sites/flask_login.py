"""Flask with its signed session cookie, Flask-Login and its remember-me cookie."""

# Flask-Login ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

from flask import Flask, abort, request, session
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from tests.matrix.browser import id_of, name_of, password_of
from tests.matrix.site import WSGISite

KEY: Final = "flask-secret-of-the-application-0001"
NEW_KEY: Final = "flask-secret-of-the-application-0002"


class User(UserMixin):  # type: ignore[misc]  # the library ships no types
    def __init__(self, name: str) -> None:
        self.id = id_of(name)


class FlaskLogin(WSGISite):
    tells_its_id: ClassVar[bool] = False
    remember_cookie: ClassVar[str | None] = "remember_token"

    def __init__(self, place: Path, *, cookie: str = "session", path: str | None = None, key: str = KEY) -> None:
        self._names = {"SESSION_COOKIE_NAME": cookie, "SESSION_COOKIE_PATH": path, "REMEMBER_COOKIE_PATH": path or "/"}
        self.keys = [key]
        super().__init__(place)

    def make_app(self) -> Flask:
        app = Flask(__name__)
        newest, *old = self.keys
        app.config.update(SECRET_KEY=newest, SECRET_KEY_FALLBACKS=old, **self._names)
        self.configure(app)
        manager = LoginManager(app)
        manager.user_loader(lambda stored: User(name_of(stored)))

        @app.post("/login")
        def login() -> str:
            name = request.form["username"]
            if request.form["password"] != password_of(name):
                abort(403)
            login_user(User(name), remember="remember" in request.form)
            return "welcome"

        @app.post("/logout")
        def logout() -> str:
            logout_user()
            return "bye"

        self.routes(app)
        return app

    def configure(self, app: Flask) -> None:
        """What differs between the ways of Flask to keep a session."""

    def who(self) -> str:
        return self.user_named(current_user.id if current_user.is_authenticated else None)

    def routes(self, app: Flask) -> None:
        @app.get("/me")
        def me() -> Any:
            return {"user": self.who(), "cart": session.get("cart", "")}

        @app.post("/cart")
        def cart() -> str:
            session["cart"] = request.form["item"]
            return "thanks"

        @app.get("/anonymous-visit")
        def visit() -> str:
            session["cart"] = "tea"
            return "hello"

        @app.get("/slow-read")
        def slow_read() -> Any:
            found = {"user": self.who(), "cart": session.get("cart", "")}
            self.gate.hold()
            return {**found, "still": session.get("cart", "")}

        @app.post("/slow-write")
        def slow_write() -> str:
            user = self.who()
            self.gate.hold()
            session["cart"] = request.form["item"]
            return user

        @app.post("/slow-renew")
        def slow_renew() -> str:
            self.who()
            self.gate.hold()
            return self.renewed()

    def renewed(self) -> str:
        """Flask-Login hands out its credentials anew, the remember-me cookie among them."""
        login_user(current_user, remember=True)
        return ""

    def identifier(self) -> Any:
        from sessionward.identify.flask import FlaskLogin as Identifier

        return Identifier.of(self.app)

    def rotate(self) -> None:
        super().rotate()
        self.keys = [NEW_KEY, *self.keys]
        self.app = self.make_app()
