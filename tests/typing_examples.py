"""What users' type checkers infer: checked by mypy in strict mode, and run as a module too.

The comments that ignore an error are claims as well: without the error they are errors themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, assert_type
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi import Request as FastAPIRequest
from flask import Flask
from flask import request as flask_request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import sessionward
from sessionward import AsyncSessions, Session, Sessions
from sessionward.backends import (
    AsyncBackend,
    AsyncSupportsLogin,
    Backend,
    Carrier,
    Credential,
    NewSession,
    SessionList,
    SupportsLogin,
    public_id,
)
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend

SECRET = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"

# --- the sessions of a request, by its kind ---------------------------------------------------------------------------


async def starlette_verbs(request: Request) -> PlainTextResponse:
    sessions = sessionward.of(request)
    assert_type(sessions, AsyncSessions)
    assert_type(sessions.current, Session | None)
    token = await sessions.login("ada", methods=["password", "totp"], persistent=False)
    assert_type(token, str)
    ticket = await sessions.begin_login(UUID(int=7))
    assert_type(ticket, str)
    await sessions.login(7, ticket=await sessions.begin_login(7))
    assert_type(await sessions.revoke_others(), int)
    assert_type(await sessions.revoke_all("ada"), int)
    assert_type(await sessions.logout(), None)
    if sessions.current is not None:
        assert_type(sessions.current.id, UUID)
        assert_type(sessions.current.user_id, str)
        assert_type(sessions.current.issued_at, datetime | None)
    return PlainTextResponse(token)


async def verbs_of_a_page(request: Request) -> None:
    sessions = sessionward.of(request)
    listed = await sessions.list(limit=20)
    assert_type(listed, SessionList)
    assert_type(await sessions.list(after=listed[-1]), SessionList)
    assert_type(listed[0], Session)
    assert_type(await sessions.revoke(listed[0].id), bool)
    await sessions.login("ada", kind="impersonation", actor="root", lifetime=timedelta(minutes=10))


def blocking_verbs(request: FastAPIRequest) -> str:
    sessions = sessionward.of(request).blocking
    assert_type(sessions, Sessions)
    assert_type(sessions.login("ada"), str)
    assert_type(sessions.revoke_others(), int)
    assert_type(sessions.list(), SessionList)
    assert_type(sessions.revoke("d7ef54b1-ec15-46e6-bccb-524b82c035e6"), bool)
    return sessions.begin_login("ada")


def other_connections(connection: HTTPConnection, socket: WebSocket) -> None:
    assert_type(sessionward.of(connection), AsyncSessions)
    assert_type(sessionward.of(socket), AsyncSessions)


def flask_verbs() -> str:
    sessions = sessionward.of(flask_request)
    assert_type(sessions, Sessions)
    try:
        token = sessions.login("ada", ticket=sessions.begin_login("ada"))
    except sessionward.TooManySessions as full:
        assert_type(full.count, int)
        token = sessions.login("ada", ticket=full.ticket)
    assert_type(token, str)
    assert_type(sessions.revoke_others(), int)
    return token


def bare(scope: dict[str, Any], environ: dict[str, Any]) -> None:
    """Nothing tells a scope from an environ, so the user says which."""
    assert_type(sessionward.of(scope), Any)
    asynchronous: AsyncSessions = sessionward.of(scope)
    sync: Sessions = sessionward.of(environ)
    assert_type(asynchronous.current, Session | None)
    assert_type(sync.current, Session | None)


async def wrong_calls(request: Request) -> None:
    sessions = sessionward.of(request)
    await sessions.login(1.5)  # type: ignore[arg-type]
    await sessions.login(None)  # type: ignore[arg-type]
    await sessions.login("ada", "password")  # type: ignore[call-arg]
    await sessions.login("ada", ticket=4)  # type: ignore[arg-type]
    await sessions.login("ada", kind="robot", actor="root")  # type: ignore[arg-type]
    await sessions.revoke(7)  # type: ignore[arg-type]
    sessions.revoke_others() + 1  # type: ignore[operator]


# --- doors ------------------------------------------------------------------------------------------------------------

starlette = Starlette(routes=[Route("/", starlette_verbs, methods=["POST"])])
starlette.add_middleware(sessionward.ASGIMiddleware, backend=MemoryBackend(), secrets=[SECRET])

listed = Starlette(middleware=[Middleware(sessionward.ASGIMiddleware, backend=MemoryBackend(), secrets=[SECRET], on_invalid="reject")])

fastapi = FastAPI()
fastapi.add_middleware(
    sessionward.ASGIMiddleware,
    backend=AsyncSQLBackend("sqlite+aiosqlite:///sessions.db"),
    secrets=[SECRET, SECRET.encode()[::-1]],
    lifetime=timedelta(days=1),
    max_sessions=100,
    backend_timeout=1,
    exempt_paths=("/static/",),
)


async def current(request: FastAPIRequest) -> AsyncSessions:
    return sessionward.of(request)


@fastapi.post("/sign-in")
async def sign_in(sessions: Annotated[AsyncSessions, Depends(current)]) -> str:
    return await sessions.login("ada")


around = sessionward.ASGIMiddleware(FastAPI(), backend=SQLBackend("sqlite:///sessions.db"), secrets=[SECRET], cookie_samesite="strict")


async def revoke_tokens(user_id: str) -> int:
    return len(user_id)


sessionward.ASGIMiddleware(FastAPI(), backend=MemoryBackend(), secrets=[SECRET], revoke_impersonations=True, also=revoke_tokens)

flask = Flask(__name__)
flask.wsgi_app = sessionward.WSGIMiddleware(flask.wsgi_app, backend=SQLBackend("sqlite:///sessions.db"), secrets=[SECRET])  # type: ignore[method-assign]


def wrong_doors() -> None:
    sessionward.WSGIMiddleware(flask.wsgi_app, backend=OwnAsync(), secrets=[SECRET])  # type: ignore[arg-type]
    sessionward.ASGIMiddleware(starlette, backend=object(), secrets=[SECRET])  # type: ignore[arg-type]
    sessionward.ASGIMiddleware(starlette, backend=Own(), colour="blue")  # type: ignore[call-arg]
    sessionward.ASGIMiddleware(starlette, backend=Own(), on_invalid="alive")  # type: ignore[arg-type]
    sessionward.ASGIMiddleware(starlette, backend=Own(), secrets=[1])  # type: ignore[list-item]
    sessionward.ASGIMiddleware(starlette, backend=Own(), lifetime="14d")  # type: ignore[arg-type]
    sessionward.ASGIMiddleware(starlette, backend=Own(), also="revoke_tokens")  # type: ignore[arg-type]


# --- a user's own backends --------------------------------------------------------------------------------------------


class Own:
    """The two operations, over the application's own cookie."""

    carriers: ClassVar[Sequence[Carrier]] = (Carrier.cookie("sid"), Carrier.header("Authorization", scheme="Token"))

    def find(self, credential: Credential) -> Session | None:
        return Session(id=public_id(credential), user_id="ada", credential=credential)

    def revoke_others(self, session: Session) -> int:
        return 0


class OwnAsync:
    """The same, async, with names of its own for what it is given."""

    async def find(self, secret: Credential) -> Session | None:
        return None

    async def revoke_others(self, mine: Session) -> int:
        return 0


class OwnSigningIn:
    """Owns its sessions."""

    blocking: ClassVar[bool] = False

    def find(self, credential: Credential) -> Session | None:
        return None

    def revoke_others(self, session: Session) -> int:
        return 0

    def login(self, new: NewSession) -> Session:
        return Session(id=UUID(int=1), user_id=new.user_id)

    def begin_login(self, user_id: str) -> int:
        return 0

    def revoke(self, user_id: str, id: UUID) -> bool:
        return True

    def revoke_all(self, user_id: str) -> int:
        return 0


class Half:
    """Cannot revoke the others."""

    def find(self, credential: Credential) -> Session | None:
        return None


sync: Backend = Own()
asynchronous: AsyncBackend = OwnAsync()
signing_in: SupportsLogin = OwnSigningIn()
kept: Sequence[SupportsLogin] = [MemoryBackend(), SQLBackend("sqlite:///sessions.db")]
kept_async: AsyncSupportsLogin = AsyncSQLBackend("sqlite+aiosqlite:///sessions.db")
half: Backend = Half()  # type: ignore[assignment]
of_the_other_kind: Backend = OwnAsync()  # type: ignore[assignment]

own_door = sessionward.ASGIMiddleware(Starlette(), backend=Own())
own_async_door = sessionward.ASGIMiddleware(Starlette(), backend=OwnAsync(), secrets=[SECRET])
own_wsgi_door = sessionward.WSGIMiddleware(Flask(__name__), backend=OwnSigningIn(), secrets=[SECRET])


def main() -> None:
    with TestClient(starlette, base_url="https://app.example") as client:
        assert len(client.post("/").text) == 32
    credential = Credential(b"x")
    assert sync.find(credential) == Session(id=public_id(credential), user_id="ada")
    assert asyncio.run(asynchronous.find(credential)) is None
    print("all is as declared")


if __name__ == "__main__":
    main()
