"""A Quart application with its signed session cookie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from quart import Quart, abort, request, session

from tests.matrix.browser import id_of, password_of
from tests.matrix.site import KEEPS_ITS_ID, ASGISite

KEY: Final = "quart-secret-of-the-application-0001"
NEW_KEY: Final = "quart-secret-of-the-application-0002"


class QuartSession(ASGISite):
    excuses: ClassVar[Mapping[str, str]] = KEEPS_ITS_ID
    keys: tuple[str, ...] = (KEY,)

    def make_app(self) -> Any:
        app = Quart(__name__)
        newest, *old = self.keys

        def found() -> dict[str, str]:
            return {"user": self.user_named(session.get("user_id")), "cart": session.get("cart", "")}

        app.config.update(SECRET_KEY=newest, SECRET_KEY_FALLBACKS=old)

        @app.post("/login")
        async def login() -> str:
            form = await request.form
            if form["password"] != password_of(form["username"]):
                abort(403)
            session["user_id"] = id_of(form["username"])
            return "welcome"

        @app.post("/logout")
        async def logout() -> str:
            session.clear()
            return "bye"

        @app.get("/me")
        async def me() -> dict[str, str]:
            return found()

        @app.post("/cart")
        async def cart() -> str:
            session["cart"] = (await request.form)["item"]
            return "thanks"

        @app.get("/anonymous-visit")
        async def visit() -> str:
            session["cart"] = "tea"
            return "hello"

        @app.get("/slow-read")
        async def slow_read() -> dict[str, str]:
            before = found()
            await self.hold()
            return {**before, "still": session.get("cart", "")}

        @app.post("/slow-write")
        async def slow_write() -> dict[str, str]:
            form = await request.form
            before = found()
            await self.hold()
            session["cart"] = form["item"]
            return before

        return app

    def identifier(self) -> Any:
        from sessionward.identify.flask import FlaskLogin

        return FlaskLogin.of(self.app, user_key="user_id")

    def rotate(self) -> None:
        super().rotate()
        self.keys = (NEW_KEY, KEY)
        self.app = self.make_app()
