"""A Starlette application with a JWT in a cookie, renewed by whatever answer goes out (as Flask-JWT-Extended advises)."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Final
from uuid import uuid4

import jwt
from jwt.types import Options
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.matrix.browser import NOBODY, in_json, password_of
from tests.matrix.site import ASGISite

KEY: Final = "jwt-secret-of-the-application-with-32-bytes"
LIFETIME: Final = 3600
OPTIONS: Final[Options] = {"verify_sub": False}
"""Ids may be numbers, against RFC 7519: many are."""


def token_of(user: str, later: float = 0.0) -> str:
    now = time.time() + later  # RFC 7519 allows fractions of a second
    return jwt.encode({"sub": in_json(user), "iat": now, "exp": now + LIFETIME, "jti": uuid4().hex}, KEY, "HS256")


async def visit(request: Request) -> Response:
    request.session["cart"] = "tea"
    return PlainTextResponse("hello")


class JWTCookie(ASGISite):
    tells_its_id: ClassVar[bool] = False
    session_cookie: ClassVar[str] = "access_token_cookie"
    own_loggers: ClassVar[frozenset[str]] = frozenset()

    def user_of(self, request: Request) -> str:
        try:
            claims = jwt.decode(request.cookies.get("access_token_cookie", ""), KEY, ["HS256"], options=OPTIONS)
        except jwt.InvalidTokenError:
            return NOBODY
        return self.user_named(claims["sub"])

    def renewed(self, response: Response, user: str) -> Response:
        if user != NOBODY:
            response.set_cookie("access_token_cookie", token_of(user), secure=True, httponly=True)
        return response

    def handed_out(self, request: Request, user: str) -> Response:
        """A new token of this user, after a sign-in or on demand."""
        return self.renewed(PlainTextResponse("welcome"), user)

    def make_app(self) -> Any:
        def found(request: Request) -> dict[str, str]:
            return {"user": self.user_of(request), "cart": request.session.get("cart", "")}

        async def login(request: Request) -> Response:
            form = await request.form()
            name = str(form["username"])
            if form["password"] != password_of(name):
                raise HTTPException(403)
            return self.handed_out(request, name)

        async def logout(request: Request) -> Response:
            request.session.clear()
            response = PlainTextResponse("bye")
            response.delete_cookie("access_token_cookie")
            return response

        async def me(request: Request) -> Response:
            return JSONResponse(found(request))

        async def cart(request: Request) -> Response:
            request.session["cart"] = str((await request.form())["item"])
            return PlainTextResponse("thanks")

        async def slow_read(request: Request) -> Response:
            before = found(request)
            await self.hold()
            return self.renewed(JSONResponse(before), before["user"])

        async def slow_write(request: Request) -> Response:
            form = await request.form()
            before = found(request)
            await self.hold()
            request.session["cart"] = str(form["item"])
            return self.renewed(JSONResponse(before), before["user"])

        async def slow_renew(request: Request) -> Response:
            user = self.user_of(request)
            await self.hold()
            return self.handed_out(request, user)

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
        # The cart lies in a cookie of its own, which signs nobody in.
        return Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key=KEY, session_cookie="cart")])

    def identifier(self) -> Any:
        from sessionward.identify.jwt import JWT

        return JWT(key=KEY, algorithms=["HS256"], cookies=["access_token_cookie"])
