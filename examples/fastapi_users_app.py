"""FastAPI with fastapi-users, its own routes and its own table of tokens, as they are: sessionward works in that table.

Nothing is signed, nothing is kept and no cookie is set by sessionward: it is told which columns have the token and the
user, and deletes the rows of the user's other devices. Requests other than ``DELETE /auth/sessions`` are not touched.
Left out: a limit on how often a password may be tried.

Install and run. ::

    pip install sessionward 'fastapi-users[sqlalchemy]' aiosqlite uvicorn
    uvicorn fastapi_users_app:app --port 8000

Browsers return the cookie over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and tokens are in example.db. Then open http://127.0.0.1:8000 in two browsers.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse
from fastapi_users import BaseUserManager, FastAPIUsers, InvalidPasswordException, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, CookieTransport
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyAccessTokenDatabase, SQLAlchemyBaseAccessTokenTableUUID
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

import sessionward
from sessionward.backends.table import AsyncTableBackend, Expires

INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only
LIFETIME = 14 * 86_400
COOKIE = "fastapiusersauth"

PAGE = """<!doctype html><title>Example</title><script>
const field = name => document.querySelector(`[name=${name}]`).value
const show = async call => { const answer = await call; alert(`${answer.status} ${await answer.text()}`); location.reload() }
const call = (method, path, type, body) => show(fetch(path, {method, body, headers: {"Content-Type": type}}))
const signUp = () => call("POST", "/auth/register", "application/json",
  JSON.stringify({email: field("email"), password: field("password")}))
const signIn = () => call("POST", "/auth/login", "application/x-www-form-urlencoded",
  new URLSearchParams({username: field("email"), password: field("password")}))
</script>"""
FORM = """<input name="email" placeholder="E-mail">
<input name="password" type="password" placeholder="Password, at least 8 characters">
<button onclick="signIn()">Sign in</button> <button onclick="signUp()">Sign up</button>"""
BUTTONS = """<p>You are signed in. <button onclick="show(fetch('/auth/sessions', {method: 'DELETE'}))">Sign out my other devices</button>
<button onclick="show(fetch('/auth/logout', {method: 'POST'}))">Sign out</button>"""


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    pass


class UserManager(UUIDIDMixin, BaseUserManager[User, UUID]):
    async def validate_password(self, password: str, user: Any) -> None:  # noqa: ARG002
        if len(password) < 8:
            raise InvalidPasswordException("At least 8 characters are needed.")


engine = create_async_engine("sqlite+aiosqlite:///example.db", hide_parameters=True)
open_session = async_sessionmaker(engine, expire_on_commit=False)


async def session_of() -> AsyncIterator[AsyncSession]:
    async with open_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(session_of)]


async def manager_of(session: Session) -> UserManager:
    return UserManager(SQLAlchemyUserDatabase(session, User))


def strategy_of(session: Session) -> DatabaseStrategy[User, UUID, AccessToken]:
    return DatabaseStrategy(SQLAlchemyAccessTokenDatabase(session, AccessToken), lifetime_seconds=LIFETIME)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as db:
        await db.run_sync(Base.metadata.create_all)
    await backend.check()  # new: columns that are not there are told now, not at the first call
    yield
    await engine.dispose()


cookie = CookieTransport(cookie_name=COOKIE, cookie_max_age=LIFETIME, cookie_secure=not INSECURE)
in_database = AuthenticationBackend("database", cookie, strategy_of)
users = FastAPIUsers[User, UUID](manager_of, [in_database])

app = FastAPI(lifespan=lifespan)
app.include_router(users.get_auth_router(in_database), prefix="/auth")
app.include_router(users.get_register_router(schemas.BaseUser[UUID], schemas.BaseUserCreate), prefix="/auth")
app.include_router(users.get_users_router(schemas.BaseUser[UUID], schemas.BaseUserUpdate), prefix="/users")


@app.get("/", response_class=HTMLResponse)
async def home(user: Annotated[User | None, Depends(users.current_user(optional=True))]) -> str:
    return PAGE + (FORM if user is None else BUTTONS)


# --- new, beside the button, two imports and `check` ------------------------------------------------------------------

lives = Expires.created("created_at", lifetime=LIFETIME)
backend = AsyncTableBackend("sqlite:///example.db", "accesstoken", key="token", user="user_id", cookie=COOKIE, expires=lives)
app.add_middleware(sessionward.ASGIMiddleware, backend=backend)
