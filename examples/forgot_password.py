"""Forgot password: a link revokes all sessions of the user, then signs in the person who followed it. FastAPI, sync functions.

One request does it: commit the new hash, ``revoke_all()``, ``login()``. The hash comes first, so that a sign-in with the
old password that is under way is refused (``change_password.py`` says why); the ``login()`` that follows is not, since
it comes from the very request that ended the sessions. The token is kept as a digest, works once, for half an hour.
Asking for it says the same and takes as long whether the name is known or not. The link is not built from the Host
header, which anybody can send. Left out: a limit on how often a password is tried or a link asked for, and the mail.

Install and run. The secret signs the cookies: keep it, or everybody has to sign in again. ::

    pip install sessionward fastapi python-multipart uvicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    uvicorn forgot_password:app --port 8000

Browsers return the cookie over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and sessions are in example.db. Sign up and ask for a link at http://127.0.0.1:8000/docs; it comes in the log,
and leads to PUBLIC_URL.
"""

import hashlib
import hmac
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from html import escape
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse

import sessionward
from sessionward.backends.sql import SQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the first lines of this file show how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only
PUBLIC_URL = os.environ.get("PUBLIC_URL", "http://127.0.0.1:8000")

Name = Annotated[str, Form(pattern=r"^[a-z0-9.@-]{1,64}$")]
Password = Annotated[str, Form(min_length=8, max_length=256)]


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("example.db")) as connection, connection:
        yield connection


backend = SQLBackend("sqlite:///example.db")
backend.create_tables()
with database() as db:
    db.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password BLOB)")
    db.execute("CREATE TABLE IF NOT EXISTS resets (digest BLOB PRIMARY KEY, user_id INTEGER, expires_at REAL)")

app = FastAPI()
app.add_middleware(sessionward.ASGIMiddleware, backend=backend, secrets=SECRETS, insecure=INSECURE)
app.add_exception_handler(sessionward.BackendUnavailable, lambda *_: JSONResponse("Please try again.", 503, {"Retry-After": "2"}))
app.add_exception_handler(sessionward.StaleLogin, lambda *_: JSONResponse("Please sign in, with the newest password.", 401))


def hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


NOBODY = 0, hashed(secrets.token_hex(), secrets.token_bytes(16))  # an unknown name takes as long as a wrong password


@app.post("/signup", status_code=201)
def signup(name: Name, password: Password) -> None:
    row = (name, hashed(password, secrets.token_bytes(16)))
    with database() as db:
        if not db.execute("INSERT OR IGNORE INTO users (name, password) VALUES (?, ?)", row).rowcount:
            raise HTTPException(409, "This name is taken.")


@app.post("/login", status_code=204)
def login(request: Request, name: Name, password: Password) -> None:
    with database() as db:
        user_id, stored = db.execute("SELECT id, password FROM users WHERE name = ?", (name,)).fetchone() or NOBODY
    if not hmac.compare_digest(hashed(password, stored[:16]), stored):
        raise HTTPException(401, "Wrong name or password.")
    sessionward.of(request).blocking.login(user_id)


@app.post("/logout", status_code=204)
def logout(request: Request) -> None:
    sessionward.of(request).blocking.logout()


@app.get("/me")
def me(request: Request) -> str:
    if (session := sessionward.of(request).current) is None:
        raise HTTPException(401, "Not signed in.")
    return session.user_id


@app.post("/forgot", status_code=202)
def forgot(name: Name, after: BackgroundTasks) -> str:
    token = secrets.token_urlsafe(32)
    digest, now = hashlib.sha256(token.encode()).digest(), time.time()
    with database() as db:  # an unknown name has a row as well, of nobody
        db.execute("DELETE FROM resets WHERE expires_at <= ?", (now,))
        db.execute("INSERT INTO resets VALUES (?, (SELECT id FROM users WHERE name = ?), ?)", (digest, name, now + 1800))
    after.add_task(mail, name, token)
    return "If this name is known, a link is on its way."


def mail(name: str, token: str) -> None:
    with database() as db:
        if db.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone():
            # your mail service here; no log of a real application may see this
            logging.warning("Mail to %s: set a new password at %s/reset?token=%s", name, PUBLIC_URL, token)


@app.get("/reset")
def form(token: str) -> HTMLResponse:
    page = """<!doctype html><form method="post"><input name="token" type="hidden" value="%s"><input name="password" type="password">
        <button>Change my password, and sign out all devices</button></form>"""
    return HTMLResponse(page % escape(token), headers={"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"})


@app.post("/reset")
def reset(request: Request, token: Annotated[str, Form(max_length=64)], password: Password) -> str:
    new, digest = hashed(password, secrets.token_bytes(16)), hashlib.sha256(token.encode()).digest()
    with database() as db:  # commits where the block ends, before anybody is signed out
        used = db.execute("DELETE FROM resets WHERE digest = ? AND expires_at > ? RETURNING user_id", (digest, time.time()))
        if not (row := used.fetchone()):
            raise HTTPException(400, "This link has been used, or it is too old. Please ask for another.")
        db.execute("DELETE FROM resets WHERE user_id = ?", row)
        db.execute("UPDATE users SET password = ? WHERE id = ?", (new, *row))
    sessions = sessionward.of(request).blocking
    ended = sessions.revoke_all(row[0])
    sessions.login(row[0])
    return f"Your password is changed, {ended} devices are signed out, and you are signed in."
