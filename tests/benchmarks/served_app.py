"""The application that is served for the benchmark: one route, bare, behind our middleware, and behind Starlette's."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from sessionward import ASGIMiddleware
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend
from tests.benchmarks.leases import LEASE
from tests.benchmarks.requests import SECRET
from tests.benchmarks.signing import Browsers


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def bare() -> Starlette:
    return Starlette(routes=[Route("/", hello)])


def starlette() -> SessionMiddleware:
    return SessionMiddleware(bare(), SECRET)


def guarded() -> ASGIMiddleware:
    """Its sessions are in its own memory, so that it signs the browsers in by itself."""
    backend = MemoryBackend()

    async def sign_in(request: Request) -> JSONResponse:
        return JSONResponse(Browsers.signed_in(backend).tokens)

    routes = [Route("/", hello), Route("/sign-in", sign_in, methods=["POST"])]
    return ASGIMiddleware(Starlette(routes=routes), backend, secrets=[SECRET])


def leased() -> ASGIMiddleware:
    """Its database is where BENCHMARK_DATABASE says."""
    return ASGIMiddleware(bare(), AsyncSQLBackend(os.environ["BENCHMARK_DATABASE"]), secrets=[SECRET], lease=LEASE)
