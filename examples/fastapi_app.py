"""FastAPI without a login of its own, mode own: ``sessionward`` keeps the sessions in a database.

Sign in as ``ann`` ("correct horse battery") or ``bob`` ("staple of another kind"). Install and run::

    pip install 'sessionward[page]' fastapi python-multipart uvicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_INSECURE=1  # for development over plain http; leave it out over https
    uvicorn fastapi_app:app --port 8000

Then open http://127.0.0.1:8000 in two browsers. A restart with the same secret keeps everybody signed in: see example.db.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from typing import Annotated

from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

import sessionward
from sessionward.api.page import Page
from sessionward.backends.sql import AsyncSQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; old ones only verify
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the docstring of this file shows how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"
backend = AsyncSQLBackend("sqlite:///example.db")  # or "postgresql://..."


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await backend.create_tables()  # safe to repeat
    yield


app = FastAPI(lifespan=lifespan)
page = Page(name="Example")  # /auth/sessions in a browser: Your devices
app.add_middleware(sessionward.ASGIMiddleware, backend=backend, secrets=SECRETS, insecure=INSECURE, api=True, page=page, sign_in="/")
app.add_exception_handler(sessionward.StaleLogin, lambda *_: PlainTextResponse("Please sign in again.", 401))
app.add_exception_handler(sessionward.BackendUnavailable, lambda *_: PlainTextResponse("Please try again.", 503, {"Retry-After": "2"}))


@app.get("/", response_class=HTMLResponse)
async def home(request: Request) -> str:
    session = sessionward.of(request).current
    return PAGE.format(user=escape(session.user_id)) if session else FORM


@app.post("/login")
def login(request: Request, name: Annotated[str, Form()], password: Annotated[str, Form()]) -> RedirectResponse:
    stored = USERS.get(name, UNKNOWN)
    if not hmac.compare_digest(hashed(password, salt=stored[:16]), stored):
        raise HTTPException(401, "Wrong name or password.")
    sessionward.of(request).blocking.login(name)  # FastAPI runs a sync function in a thread, so the verb blocks
    return RedirectResponse("/", 303)


@app.post("/logout")
async def logout(request: Request) -> RedirectResponse:
    await sessionward.of(request).logout()
    return RedirectResponse("/", 303)


def hashed(password: str, *, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


USERS = {  # your application has a table of users
    "ann": hashed("correct horse battery", salt=secrets.token_bytes(16)),
    "bob": hashed("staple of another kind", salt=secrets.token_bytes(16)),
}
UNKNOWN = hashed(secrets.token_hex(), salt=secrets.token_bytes(16))  # an unknown name takes as long as a wrong password
FORM = """<!doctype html><title>Example</title><form method="post" action="/login">
<input name="name" placeholder="Name"> <input name="password" type="password" placeholder="Password"> <button>Sign in</button></form>"""
PAGE = """<!doctype html><title>Example</title><p>You are {user}.</p>
<button onclick="fetch('/auth/sessions', {{method: 'DELETE'}}).then(r => r.text()).then(alert)">Sign out my other devices</button>
<a href="/auth/sessions">Your devices</a>
<form method="post" action="/logout"><button>Sign out</button></form>"""
