"""FastAPI with Starlette's ``SessionMiddleware``, as it is: a few lines at the end bring "sign out my other devices".

The session is a signed cookie, which cannot be called back by anybody. So each browser that signs in gets a companion
cookie beside it, and from then on the session counts only together with that. No endpoint knows of sessionward.
Left out: a limit on how often a password may be tried.

Install and run. The first secret is the application's own and signs its sessions, the second signs our cookie: keep both. ::

    pip install sessionward fastapi python-multipart uvicorn
    export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    uvicorn fastapi_sessions:app --port 8000

Browsers return the cookies over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and companions are in example.db. Then open http://127.0.0.1:8000 in two browsers.
"""

import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from html import escape
from typing import Annotated

from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

import sessionward
from sessionward.backends.sql import AsyncSQLBackend
from sessionward.identify.starlette import StarletteSession

SECRET_KEY = os.environ.get("SECRET_KEY", "")
SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRET_KEY or not SECRETS:
    raise RuntimeError("SECRET_KEY or SESSIONWARD_SECRET is not set; the first lines of this file show how to make them")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only

FORM = """<!doctype html><title>Example</title><form method="post" action="/login">
<input name="name" placeholder="Name"> <input name="password" type="password" placeholder="Password, at least 8 characters">
<button>Sign in</button> <button formaction="/signup">Sign up</button></form>"""
PAGE = """<!doctype html><title>Example</title><p>You are {name}. In your cart: {cart}.
<form method="post" action="/cart"><input name="item" maxlength="64"> <button>Add</button></form>
<button onclick="fetch('/auth/sessions', {{method: 'DELETE'}}).then(r => r.text()).then(alert)">Sign out my other devices</button>
<form method="post" action="/logout"><button>Sign out</button></form>"""


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("example.db")) as connection, connection:
        yield connection


def hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


def matches(password: str, stored: bytes) -> bool:
    return hmac.compare_digest(hashed(password, stored[:16]), stored)


NOBODY = 0, hashed(secrets.token_hex(), secrets.token_bytes(16))  # an unknown name takes as long as a wrong password
Name = Annotated[str, Form(pattern=r"^[a-z0-9.@-]{1,64}$")]
Password = Annotated[str, Form(min_length=8, max_length=256)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    with database() as db:
        db.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password BLOB)")
    await backend.create_tables()  # new
    yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=SECRET_KEY, https_only=not INSECURE)


@app.get("/", response_class=HTMLResponse)
def home(request: Request) -> str:
    if "user" not in request.session:
        return FORM
    with database() as db:
        (name,) = db.execute("SELECT name FROM users WHERE id = ?", (request.session["user"],)).fetchone()
    return PAGE.format(name=escape(name), cart=escape(", ".join(request.session.get("cart", []))) or "nothing")


@app.post("/signup")
def signup(name: Name, password: Password) -> RedirectResponse:
    with database() as db:
        row = (name, hashed(password, secrets.token_bytes(16)))
        if not db.execute("INSERT OR IGNORE INTO users (name, password) VALUES (?, ?)", row).rowcount:
            raise HTTPException(409, "This name is taken.")
    return RedirectResponse("/", 303)


@app.post("/login")
def login(request: Request, name: Name, password: Password) -> RedirectResponse:
    with database() as db:
        user_id, stored = db.execute("SELECT id, password FROM users WHERE name = ?", (name,)).fetchone() or NOBODY
    if not matches(password, stored):
        raise HTTPException(401, "Wrong name or password.")
    request.session["user"] = user_id
    return RedirectResponse("/", 303)


@app.post("/cart")
def cart(request: Request, item: Annotated[str, Form(max_length=64)]) -> RedirectResponse:
    if "user" not in request.session:
        raise HTTPException(401, "Please sign in.")
    request.session["cart"] = [*request.session.get("cart", []), item]
    return RedirectResponse("/", 303)


@app.post("/logout")
def logout(request: Request) -> RedirectResponse:
    request.session.clear()
    return RedirectResponse("/", 303)


# --- new, beside the button, three imports and `create_tables` --------------------------------------------------------

backend = AsyncSQLBackend("sqlite:///example.db")
identify = StarletteSession(SECRET_KEY, user="user")  # the secret of SessionMiddleware, and where a session has the user's id
app.add_middleware(sessionward.ASGIMiddleware, backend=backend, identify=identify, secrets=SECRETS, insecure=INSECURE)
