"""Starlette on PostgreSQL: sign in on three devices, press "sign out my other devices" on one.

``DELETE /auth/sessions`` has no route here: sessionward answers it in front of the application. Users and sessions
share a database, not the connections. Left out: a limit on how often a password may be tried.

Install and run. The secret signs the cookies: keep it, or everybody has to sign in again. ::

    pip install 'sessionward[postgresql]' starlette python-multipart uvicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    uvicorn starlette_postgresql:app --port 8000

Browsers return the cookie over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
DATABASE_URL names another database than postgresql://localhost/example. Then open http://127.0.0.1:8000 in two browsers.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

import sessionward
from sessionward.backends.sql import AsyncSQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the first lines of this file show how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only
DATABASE_URL = make_url(os.environ.get("DATABASE_URL", "postgresql://localhost/example")).set(drivername="postgresql+psycopg")
engine = create_async_engine(DATABASE_URL, hide_parameters=True)
backend = AsyncSQLBackend(DATABASE_URL)

FORM = """<!doctype html><form method="post" action="/login"><input name="name" placeholder="Name">
<input name="password" type="password" placeholder="Password, at least 8 characters">
<button>Sign in</button> <button formaction="/signup">Sign up</button></form>"""
PAGE = """<!doctype html><p>You are %s.</p>
<button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.text()).then(alert)">Sign out my other devices</button>
<form method="post" action="/logout"><button>Sign out</button></form>"""


def hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


NOBODY = 0, hashed(secrets.token_hex(), secrets.token_bytes(16))  # an unknown name takes as long as a wrong password


async def home(request: Request) -> Response:
    session = sessionward.of(request).current
    if session is None:
        return HTMLResponse(FORM)
    async with engine.connect() as db:
        name = await db.scalar(text("SELECT name FROM users WHERE id = :id"), {"id": int(session.user_id)})
    return HTMLResponse(PAGE % escape(str(name)))


async def posted(request: Request) -> tuple[str, str]:
    async with request.form(max_files=0, max_fields=10, max_part_size=1000) as form:
        return str(form.get("name", "")).replace("\0", ""), str(form.get("password", ""))


async def signup(request: Request) -> Response:
    name, password = await posted(request)
    if not re.fullmatch(r"[a-z0-9.@-]{1,64}", name) or len(password) < 8:
        return HTMLResponse("A name of small letters and a password of at least 8 characters are needed.", 400)
    row = {"name": name, "password": await run_in_threadpool(hashed, password, secrets.token_bytes(16))}
    async with engine.begin() as db:
        new = await db.execute(text("INSERT INTO users (name, password) VALUES (:name, :password) ON CONFLICT DO NOTHING"), row)
    if not new.rowcount:
        return HTMLResponse("This name is taken.", 409)
    return RedirectResponse("/", 303)


async def login(request: Request) -> Response:
    name, password = await posted(request)
    async with engine.connect() as db:
        user = await db.execute(text("SELECT id, password FROM users WHERE name = :name"), {"name": name})
    user_id, stored = user.one_or_none() or NOBODY
    if not hmac.compare_digest(await run_in_threadpool(hashed, password, stored[:16]), stored):
        return HTMLResponse("Wrong name or password.", 401)
    try:
        await sessionward.of(request).login(user_id)
    except sessionward.StaleLogin:
        return HTMLResponse("You were signed out everywhere meanwhile. Please sign in again.", 401)
    return RedirectResponse("/", 303)


async def logout(request: Request) -> Response:
    await sessionward.of(request).logout()
    return RedirectResponse("/", 303)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    await backend.create_tables()
    async with engine.begin() as db:
        await db.execute(text("CREATE TABLE IF NOT EXISTS users (id SERIAL PRIMARY KEY, name TEXT UNIQUE, password BYTEA)"))
    yield
    await engine.dispose()


app = Starlette(
    routes=[Route("/", home)] + [Route(f"/{verb.__name__}", verb, methods=["POST"]) for verb in (signup, login, logout)],
    middleware=[Middleware(sessionward.ASGIMiddleware, backend=backend, secrets=SECRETS, insecure=INSECURE)],
    exception_handlers={sessionward.BackendUnavailable: lambda *_: HTMLResponse("Please try again.", 503, {"Retry-After": "2"})},
    lifespan=lifespan,
)
