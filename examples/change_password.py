"""Change password: the new one ends the user's other sessions in the same call. Flask under gunicorn.

The order matters: **commit the new hash first, then** ``revoke_others()``. Somebody may be signing in with the old
password at this very moment. Whoever has read the old hash began before the commit, hence before the others are ended:
sessionward refuses that sign-in (``StaleLogin``), even if it comes to mint its session later. Whoever begins after the
commit meets the new hash. In the other order, a sign-in that begins between the two survives with the old password.
Left out: a limit on how often a password may be tried.

Install and run. The secret signs the cookies: keep it, or everybody has to sign in again. ::

    pip install sessionward flask gunicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    gunicorn change_password:app --threads 4 --bind 127.0.0.1:8000

Browsers return the cookie over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and sessions are in example.db. Then open http://127.0.0.1:8000 in two browsers.
"""

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from flask import Flask, abort, redirect, request
from werkzeug import Response

import sessionward
from sessionward.backends.sql import SQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the first lines of this file show how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("example.db")) as connection, connection:
        yield connection


backend = SQLBackend("sqlite:///example.db")
backend.create_tables()
with database() as db:
    db.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password BLOB)")

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 10_000
guarded = sessionward.WSGIMiddleware(app.wsgi_app, backend=backend, secrets=SECRETS, insecure=INSECURE)
app.wsgi_app = guarded  # type: ignore[method-assign]  # Flask's own way to put something around all of it
app.register_error_handler(sessionward.BackendUnavailable, lambda _: ("Please try again.", 503, {"Retry-After": "2"}))

SIGN_IN = """<!doctype html><form method="post" action="/login"><input name="name"> <input name="password" type="password">
<button>Sign in</button> <button formaction="/signup">Sign up</button></form>"""
CHANGE = """<!doctype html>You are signed in.<form method="post" action="/password"><input name="old" type="password">
<input name="new" type="password"> <button>Change my password from the first to the second, and sign out my other devices</button>
<button formaction="/logout">Sign out</button></form>"""


def hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


def matches(password: str, stored: bytes) -> bool:
    return hmac.compare_digest(hashed(password, stored[:16]), stored)


NOBODY = 0, hashed(secrets.token_hex(), secrets.token_bytes(16))  # an unknown name takes as long as a wrong password


@app.get("/")
def home() -> str:
    return SIGN_IN if sessionward.of(request).current is None else CHANGE


@app.post("/signup")
def signup() -> Response:
    name, password = request.form["name"], request.form["password"]
    if not re.fullmatch(r"[a-z0-9.@-]{1,64}", name) or len(password) < 8:
        abort(400, "A name of small letters and a password of at least 8 characters are needed.")
    row = (name, hashed(password, secrets.token_bytes(16)))
    with database() as db:
        if not db.execute("INSERT OR IGNORE INTO users (name, password) VALUES (?, ?)", row).rowcount:
            abort(409, "This name is taken.")
    return redirect("/", 303)


@app.post("/login")
def login() -> Response:
    with database() as db:
        user_id, stored = db.execute("SELECT id, password FROM users WHERE name = ?", (request.form["name"],)).fetchone() or NOBODY
    if not matches(request.form["password"], stored):
        abort(401, "Wrong name or password.")
    try:
        sessionward.of(request).login(user_id)
    except sessionward.StaleLogin:
        abort(401, "Your password was changed meanwhile. Please sign in with the new one.")
    return redirect("/", 303)


@app.post("/logout")
def logout() -> Response:
    sessionward.of(request).logout()
    return redirect("/", 303)


@app.post("/password")
def change_password() -> dict[str, int]:
    sessions = sessionward.of(request)
    if sessions.current is None:
        abort(401, "Please sign in.")
    user_id, new = int(sessions.current.user_id), request.form["new"]
    with database() as db:
        (stored,) = db.execute("SELECT password FROM users WHERE id = ?", (user_id,)).fetchone()
    if not matches(request.form["old"], stored) or len(new) < 8:
        abort(403, "The old password, and a new one of at least 8 characters are needed.")
    row = (hashed(new, secrets.token_bytes(16)), user_id, stored)
    with database() as db:  # commits where the block ends, before anybody is signed out
        if not db.execute("UPDATE users SET password = ? WHERE id = ? AND password = ?", row).rowcount:
            abort(409, "The password was changed meanwhile by somebody else.")
    try:
        return {"count": sessions.revoke_others()}
    except sessionward.SessionRevoked:  # another session was faster and ended this one: then none may stay
        return {"count": sessions.revoke_all(user_id)}
    except sessionward.BackendUnavailable:
        abort(503, "Your password is changed, but your other devices may still be signed in. Please change it once more.")
