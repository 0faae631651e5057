"""A Bottle application with Beaker's sessions in files."""

# Beaker and Bottle ship no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from beaker.middleware import SessionMiddleware
from beaker.session import Session
from bottle import Bottle, abort, request

from tests.matrix.browser import in_json, password_of
from tests.matrix.site import WSGISite

KEY: Final = "beaker-secret-of-the-application"


class BeakerBottle(WSGISite):
    on_server: ClassVar[bool] = True
    session_cookie: ClassVar[str] = "beaker.session.id"

    @property
    def options(self) -> dict[str, Any]:
        return {"type": "file", "data_dir": str(self.place / "beaker"), "data_serializer": "json", "timeout": 14 * 86_400}

    def make_app(self) -> Any:
        app = Bottle()

        def session() -> Any:
            return request.environ["beaker.session"]

        def found() -> dict[str, str]:
            return {"user": self.user_named(session().get("user_id")), "cart": session().get("cart", "")}

        @app.post("/login")  # type: ignore[untyped-decorator]
        def login() -> str:
            name = request.forms["username"]
            if request.forms["password"] != password_of(name):
                abort(403)
            session()["user_id"] = in_json(name)
            session().save()
            return "welcome"

        @app.post("/logout")  # type: ignore[untyped-decorator]
        def logout() -> str:
            session().delete()
            return "bye"

        @app.get("/me")  # type: ignore[untyped-decorator]
        def me() -> dict[str, str]:
            return found()

        @app.post("/cart")  # type: ignore[untyped-decorator]
        def cart() -> str:
            session()["cart"] = request.forms["item"]
            session().save()
            return "thanks"

        @app.get("/anonymous-visit")  # type: ignore[untyped-decorator]
        def visit() -> str:
            session()["cart"] = "tea"
            session().save()
            return "hello"

        @app.get("/slow-read")  # type: ignore[untyped-decorator]
        def slow_read() -> dict[str, str]:
            before = found()
            self.gate.hold()
            return {**before, "still": session().get("cart", "")}

        @app.post("/slow-write")  # type: ignore[untyped-decorator]
        def slow_write() -> dict[str, str]:
            before = found()
            self.gate.hold()
            session()["cart"] = request.forms["item"]
            session().save()
            return before

        @app.post("/slow-renew")  # type: ignore[untyped-decorator]
        def slow_renew() -> str:
            found()
            self.gate.hold()
            session().regenerate_id()
            session().save()
            return str(session().request["cookie_out"].partition("=")[2].partition(";")[0])

        return SessionMiddleware(app, {f"session.{name}": value for name, value in {**self.options, "secret": KEY}.items()})

    def stored(self, session_id: str) -> Any:
        """Beaker's own session object over what is stored."""
        return Session({}, id=session_id, use_cookies=False, **self.options)

    def identifier(self) -> Any:
        from sessionward.identify.beaker import Beaker

        return Beaker(self.app.options, user="user_id")

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        own = cookies.get(self.session_cookie, "")[40:]
        user = self.stored(own).get("user_id") if own else None
        if user is None:
            return None
        self.between()
        ids = [path.name.removesuffix(".cache") for path in (self.place / "beaker").rglob("*.cache")]
        others = [session for session_id in ids if session_id != own and (session := self.stored(session_id)).get("user_id") == user]
        for session in others:
            session.namespace.remove()
        return len(others)
