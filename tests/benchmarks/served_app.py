"""The application that is served for the benchmark: one route, bare and behind a door."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import sessionward
from sessionward.backends.memory import MemoryBackend
from tests.benchmarks.requests import SECRET


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def sign_in(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await sessionward.of(request).login("ada"))


bare = Starlette(routes=[Route("/", hello)])
guarded = sessionward.ASGIMiddleware(
    Starlette(routes=[Route("/", hello), Route("/sign-in", sign_in, methods=["POST"])]), backend=MemoryBackend(), secrets=[SECRET]
)
