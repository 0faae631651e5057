"""A Starlette application with SessionMiddleware."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def sign_in(request: Request) -> PlainTextResponse:
    request.session["user_id"] = request.path_params["user"]
    return PlainTextResponse("welcome")


async def sign_out(request: Request) -> PlainTextResponse:
    request.session.clear()
    return PlainTextResponse("bye")


async def me(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.session.get("user_id", "nobody"))


app = Starlette(
    routes=[Route("/in/{user}", sign_in), Route("/out", sign_out), Route("/", me)],
    middleware=[Middleware(SessionMiddleware, secret_key="the application's own secret: 0123456789")],
)
