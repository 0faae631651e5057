"""Bottle with Beaker's sessions, as it is: a few lines at the end bring "sign out my other devices". Under waitress.

Beaker keeps its sessions in files; a request that is under way writes its own back when it ends, deleted or not. So the
files are only read, no route knows of sessionward, and whether a session may still be used is decided by the companion
cookie of the same browser. Left out: a limit on how often a password may be tried.

Install and run. The first secret is the application's own and signs its session ids, the second signs our cookie: keep both. ::

    pip install sessionward bottle beaker waitress
    export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    waitress-serve --listen=127.0.0.1:8000 beaker_bottle:application

Browsers return the cookies over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and companions are in example.db, sessions below example_sessions. Then open http://127.0.0.1:8000 in two browsers.
"""

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from beaker.middleware import SessionMiddleware  # type: ignore[import-untyped]
from bottle import Bottle, HTTPError, redirect, request, template  # type: ignore[import-untyped]

import sessionward
from sessionward.backends.sql import SQLBackend
from sessionward.identify.beaker import Beaker

SECRET_KEY = os.environ.get("SECRET_KEY", "")
SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRET_KEY or not SECRETS:
    raise RuntimeError("SECRET_KEY or SESSIONWARD_SECRET is not set; the first lines of this file show how to make them")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only

FORM = """<!doctype html><title>Example</title><form method="post" action="/login">
<input name="name" placeholder="Name"> <input name="password" type="password" placeholder="Password, at least 8 characters">
<button>Sign in</button> <button formaction="/signup">Sign up</button></form>"""
PAGE = """<!doctype html><title>Example</title><p>You are {{name}}. In your cart: {{cart}}.
<form method="post" action="/cart"><input name="item" maxlength="64"> <button>Add</button></form>
<button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.text()).then(alert)">Sign out my other devices</button>
<form method="post" action="/logout"><button>Sign out</button></form>"""


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("example.db")) as connection, connection:
        yield connection


with database() as db:
    db.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password BLOB)")


def hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


def matches(password: str, stored: bytes) -> bool:
    return hmac.compare_digest(hashed(password, stored[:16]), stored)


NOBODY = 0, hashed(secrets.token_hex(), secrets.token_bytes(16))  # an unknown name takes as long as a wrong password


def session() -> Any:
    return request.environ["beaker.session"]


app = Bottle()


@app.get("/")  # type: ignore[untyped-decorator]
def home() -> str:
    if "user" not in session():
        return FORM
    with database() as db:
        (name,) = db.execute("SELECT name FROM users WHERE id = ?", (session()["user"],)).fetchone()
    return str(template(PAGE, name=name, cart=", ".join(session().get("cart", [])) or "nothing"))


@app.post("/signup")  # type: ignore[untyped-decorator]
def signup() -> None:
    name, password = request.forms.getunicode("name", ""), request.forms.getunicode("password", "")
    if not re.fullmatch(r"[a-z0-9.@-]{1,64}", name) or len(password) < 8:
        raise HTTPError(400, "A name of small letters and a password of at least 8 characters are needed.")
    with database() as db:
        row = (name, hashed(password, secrets.token_bytes(16)))
        if not db.execute("INSERT OR IGNORE INTO users (name, password) VALUES (?, ?)", row).rowcount:
            raise HTTPError(409, "This name is taken.")
    redirect("/", 303)


@app.post("/login")  # type: ignore[untyped-decorator]
def login() -> None:
    name, password = request.forms.getunicode("name", ""), request.forms.getunicode("password", "")
    with database() as db:
        user_id, stored = db.execute("SELECT id, password FROM users WHERE name = ?", (name,)).fetchone() or NOBODY
    if not matches(password, stored):
        raise HTTPError(401, "Wrong name or password.")
    session().regenerate_id()  # which nobody can have planted
    session()["user"] = user_id
    session().save()
    redirect("/", 303)


@app.post("/cart")  # type: ignore[untyped-decorator]
def cart() -> None:
    if "user" not in session():
        raise HTTPError(401, "Please sign in.")
    session()["cart"] = [*session().get("cart", []), request.forms.getunicode("item", "")]
    session().save()
    redirect("/", 303)


@app.post("/logout")  # type: ignore[untyped-decorator]
def logout() -> None:
    session().delete()
    redirect("/", 303)


beaker = SessionMiddleware(
    app,
    {
        "session.type": "file",
        "session.data_dir": "example_sessions",
        "session.data_serializer": "json",
        "session.secret": SECRET_KEY,
        "session.secure": not INSECURE,
        "session.httponly": True,
        "session.samesite": "Lax",
    },
)

# --- new, beside the button and three imports ---------------------------------------------------------------------------

backend = SQLBackend("sqlite:///example.db")
backend.create_tables()
identify = Beaker(beaker.options, user="user")  # the options of its own middleware, and where a session has the user's id
application = sessionward.WSGIMiddleware(beaker, backend=backend, identify=identify, secrets=SECRETS, insecure=INSECURE)
