"""FastAPI with async SQL: sign in on three devices, press "sign out my other devices" on one.

``DELETE /auth/sessions`` has no endpoint here: sessionward answers it in front of the application. An ``async def``
endpoint awaits the verbs of its sessions; a plain ``def`` endpoint, which FastAPI runs in a thread, has them under
``sessions.blocking``. Left out: a limit on how often a password may be tried.

Install and run. The secret signs the cookies: keep it, or everybody has to sign in again. ::

    pip install sessionward fastapi uvicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    uvicorn fastapi_app:app --port 8000

Browsers return the cookie over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
DATABASE_URL names another database than the file example.db. Sign up and in at http://127.0.0.1:8000/docs, in two
browsers, and in the console of one: await (await fetch("/auth/sessions", {method: "DELETE"})).json()
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable

import sessionward
from sessionward.backends.sql import AsyncSQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the first lines of this file show how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only
DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///example.db")
engine = create_async_engine(DATABASE_URL, hide_parameters=True)
backend = AsyncSQLBackend(DATABASE_URL)
users = Table(
    "users", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(64), unique=True), Column("password", LargeBinary)
)


def hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


def matches(password: str, stored: bytes) -> bool:
    return hmac.compare_digest(hashed(password, stored[:16]), stored)


NOBODY = hashed(secrets.token_hex(), secrets.token_bytes(16))  # an unknown name takes as long as a wrong password


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await backend.create_tables()
    async with engine.begin() as db:
        await db.execute(CreateTable(users, if_not_exists=True))
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.add_middleware(sessionward.ASGIMiddleware, backend=backend, secrets=SECRETS, insecure=INSECURE)
app.add_exception_handler(sessionward.BackendUnavailable, lambda *_: JSONResponse("Please try again.", 503, {"Retry-After": "2"}))


async def sessions_of(request: Request) -> sessionward.AsyncSessions:
    return sessionward.of(request)


Sessions = Annotated[sessionward.AsyncSessions, Depends(sessions_of)]


class Login(BaseModel):
    name: str = Field(pattern=r"^[a-z0-9.@-]{1,64}$")
    password: str = Field(min_length=8, max_length=256)


@app.post("/signup", status_code=201)
async def signup(new: Login) -> None:
    password = await run_in_threadpool(hashed, new.password, secrets.token_bytes(16))
    try:
        async with engine.begin() as db:
            await db.execute(insert(users).values(name=new.name, password=password))
    except IntegrityError:
        raise HTTPException(409, "This name is taken.") from None


@app.post("/login", status_code=204)
async def login(claimed: Login, sessions: Sessions) -> None:
    async with engine.connect() as db:
        user = (await db.execute(select(users).where(users.c.name == claimed.name))).one_or_none()
    right = await run_in_threadpool(matches, claimed.password, user.password if user else NOBODY)
    if user is None or not right:
        raise HTTPException(401, "Wrong name or password.")
    try:
        await sessions.login(user.id)
    except sessionward.StaleLogin:
        raise HTTPException(401, "You were signed out everywhere meanwhile. Please sign in again.") from None


@app.get("/me")
async def me(sessions: Sessions) -> dict[str, str]:
    if sessions.current is None:
        raise HTTPException(401, "Not signed in.")
    return {"user_id": sessions.current.user_id, "signed_in": str(sessions.current.authenticated_at)}


@app.post("/logout", status_code=204)
def logout(sessions: Sessions) -> None:
    sessions.blocking.logout()
