"""Starlette with its SessionMiddleware, and a base for everything whose request has a ``session``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.matrix.browser import in_json, password_of
from tests.matrix.site import KEEPS_ITS_ID, ASGISite

KEY: Final = "starlette-secret-of-the-application"


class StarletteSession(ASGISite):
    kind: ClassVar[type[Starlette]] = Starlette
    excuses: ClassVar[Mapping[str, str]] = KEEPS_ITS_ID

    def __init__(self, place: Path, *, cookie: str = "session", path: str = "/", key: str = KEY) -> None:
        self._cookie = cookie
        self._path = path
        self._key = key
        super().__init__(place)

    def middleware(self) -> list[Middleware]:
        return [Middleware(SessionMiddleware, secret_key=self._key, session_cookie=self._cookie, path=self._path)]

    def make_app(self) -> Any:
        def found(request: Request) -> dict[str, str]:
            return {"user": self.user_named(request.session.get("user_id")), "cart": request.session.get("cart", "")}

        async def login(request: Request) -> Response:
            form = await request.form()
            name = str(form["username"])
            if form["password"] != password_of(name):
                raise HTTPException(403)
            request.session["user_id"] = in_json(name)
            return PlainTextResponse("welcome")

        async def logout(request: Request) -> Response:
            request.session.clear()
            return PlainTextResponse("bye")

        async def me(request: Request) -> Response:
            return JSONResponse(found(request))

        async def cart(request: Request) -> Response:
            form = await request.form()
            request.session["cart"] = str(form["item"])
            return PlainTextResponse("thanks")

        async def visit(request: Request) -> Response:
            request.session["cart"] = "tea"
            return PlainTextResponse("hello")

        async def slow_read(request: Request) -> Response:
            before = found(request)
            await self.hold()
            return JSONResponse({**before, "still": request.session.get("cart", "")})

        async def slow_write(request: Request) -> Response:
            form = await request.form()
            before = found(request)
            await self.hold()
            request.session["cart"] = str(form["item"])
            return JSONResponse(before)

        async def slow_renew(request: Request) -> Response:
            found(request)
            await self.hold()
            return PlainTextResponse(self.renewed(request))

        routes = [
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/me", me),
            Route("/cart", cart, methods=["POST"]),
            Route("/anonymous-visit", visit),
            Route("/slow-read", slow_read),
            Route("/slow-write", slow_write, methods=["POST"]),
            Route("/slow-renew", slow_renew, methods=["POST"]),
        ]
        return self.kind(routes=routes, middleware=self.middleware())

    def renewed(self, request: Request) -> str:
        """Give the session another id, and return it."""
        raise NotImplementedError

    def identifier(self) -> Any:
        from sessionward.identify.starlette import StarletteSession as Identifier

        return Identifier(self._key, user="user_id", cookie=self._cookie)


class FastAPISession(StarletteSession):
    kind: ClassVar[type[Starlette]] = FastAPI
