"""The applications that are served for the benchmark of Redis: one route, bare, behind our middleware, and as others guard it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

import redis.asyncio
from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware
from starsessions.stores.redis import RedisStore

from sessionward import ASGIMiddleware
from sessionward.backends.redis import AsyncRedisBackend
from tests.benchmarks.leases import LEASE
from tests.benchmarks.requests import SECRET
from tests.benchmarks.served_app import bare, hello

URL: Final = os.environ.get("BENCHMARK_REDIS", "redis://127.0.0.1:6379/0")


def guarded() -> ASGIMiddleware:
    return ASGIMiddleware(bare(), AsyncRedisBackend(URL), secrets=[SECRET])


def leased() -> ASGIMiddleware:
    return ASGIMiddleware(bare(), AsyncRedisBackend(URL, prefix="leased"), secrets=[SECRET], lease=LEASE)


def starsessions() -> Starlette:
    """As its README shows it: the session is loaded for each request. ``POST /sign-in`` starts one."""

    async def page(request: Request) -> PlainTextResponse:
        assert request.session["user_id"]
        return await hello(request)

    async def sign_in(request: Request) -> Response:
        request.session["user_id"] = request.query_params["user"]
        return Response()

    store = RedisStore(connection=redis.asyncio.Redis.from_url(URL))
    return Starlette(
        routes=[Route("/", page), Route("/sign-in", sign_in, methods=["POST"])],
        middleware=[Middleware(SessionMiddleware, store=store, lifetime=86_400), Middleware(SessionAutoloadMiddleware)],
    )


# --- crudauth ---------------------------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


def crudauth() -> FastAPI:
    """As its README shows it, with its users in a database in memory: it reads the user of each request as well."""
    auth, models = import_module("crudauth"), import_module("crudauth.models")

    class User(Base, models.AuthUserMixin):  # type: ignore[misc, name-defined]
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)

    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    opened = async_sessionmaker(engine, expire_on_commit=False)

    async def session() -> AsyncIterator[AsyncSession]:
        async with opened() as one:
            yield one

    guard = auth.CRUDAuth(
        session=session, user_model=User, SECRET_KEY=SECRET, redis_url=URL, transports=[auth.SessionTransport(max_sessions_per_user=1_000)]
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await guard.initialize()
        yield
        await guard.shutdown()
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def page(user: Any = Depends(guard.current_user())) -> PlainTextResponse:  # noqa: B008 - so FastAPI is told
        assert user.user_id
        return PlainTextResponse("hello")

    @app.post("/sign-in")
    async def sign_in(request: Request, user: str) -> Response:
        async with opened() as database:
            row = User(username=user, email=f"{user}@example.org", hashed_password="not used here")
            database.add(row)
            await database.commit()
        response = JSONResponse({})
        guard.sessions.set_session_cookies(response, *await guard.sessions.create_session(request, row.id))
        return response

    return app
