"""A bare WSGI application as written in 2009, under waitress: "sign out my other devices" without touching its habits.

The application asks REMOTE_USER who is there, as it always did behind Apache; ``remote_user=True`` sets it. New are two
verbs, one at sign-in and one at sign-out, and the door around it all, which answers ``DELETE /auth/sessions``.
Left out: a limit on how often a password may be tried.

Install and run. The secret signs the cookies: keep it, or everybody has to sign in again. ::

    pip install sessionward waitress
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    waitress-serve --listen=127.0.0.1:8000 legacy_wsgi:application

Browsers return the cookie over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and sessions are in example.db. Then open http://127.0.0.1:8000 in two browsers.
"""

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from html import escape
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

import sessionward
from sessionward.backends.sql import SQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the first lines of this file show how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only

FORM = """<form method="post" action="/login"><input name="name" placeholder="Name">
<input name="password" type="password" placeholder="Password, at least 8 characters">
<button>Sign in</button> <button formaction="/signup">Sign up</button></form>"""
PAGE = """<p>You are %s.</p><button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.text()).then(alert)">
Sign out my other devices</button><form method="post" action="/logout"><button>Sign out</button></form>"""


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """One connection, one transaction."""
    with closing(sqlite3.connect("example.db")) as connection, connection:
        yield connection


def hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


def matches(password: str, stored: bytes) -> bool:
    return hmac.compare_digest(hashed(password, stored[:16]), stored)


NOBODY = hashed(secrets.token_hex(), secrets.token_bytes(16))  # an unknown name takes as long as a wrong password


def legacy(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    def answer(status: str, body: str = "", *headers: tuple[str, str]) -> list[bytes]:
        start_response(status, [("Content-Type", "text/html; charset=utf-8"), *headers])
        return [b"<!doctype html><title>Example</title>" + body.encode()]

    def posted() -> tuple[str, str]:
        size = min(int(environ.get("CONTENT_LENGTH") or 0), 10_000)
        form = parse_qs(environ["wsgi.input"].read(size).decode("utf-8", "replace"))
        return form.get("name", [""])[0], form.get("password", [""])[0]

    call = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if call == ("GET", "/"):
        if "REMOTE_USER" not in environ:
            return answer("200 OK", FORM)
        with database() as db:
            (name,) = db.execute("SELECT name FROM users WHERE id = ?", (int(environ["REMOTE_USER"]),)).fetchone()
        return answer("200 OK", PAGE % escape(name))
    if call == ("POST", "/signup"):
        name, password = posted()
        if not re.fullmatch(r"[a-z0-9.@-]{1,64}", name) or len(password) < 8:
            return answer("400 Bad Request", "A name of small letters and a password of at least 8 characters are needed.")
        try:
            with database() as db:
                db.execute("INSERT INTO users (name, password) VALUES (?, ?)", (name, hashed(password, secrets.token_bytes(16))))
        except sqlite3.IntegrityError:
            return answer("409 Conflict", "This name is taken.")
        return answer("303 See Other", "", ("Location", "/"))
    if call == ("POST", "/login"):
        name, password = posted()
        with database() as db:
            user = db.execute("SELECT id, password FROM users WHERE name = ?", (name,)).fetchone()
        if not matches(password, user[1] if user else NOBODY) or user is None:
            return answer("401 Unauthorized", "Wrong name or password.")
        try:
            sessionward.of(environ).login(user[0])  # new
        except sessionward.StaleLogin:
            return answer("401 Unauthorized", "You were signed out everywhere meanwhile. Please sign in again.")
        except sessionward.BackendUnavailable:
            return answer("503 Service Unavailable", "Please try again.", ("Retry-After", "2"))
        return answer("303 See Other", "", ("Location", "/"))
    if call == ("POST", "/logout"):
        sessionward.of(environ).logout()  # new
        return answer("303 See Other", "", ("Location", "/"))
    return answer("404 Not Found", "There is nothing here.")


backend = SQLBackend("sqlite:///example.db")
backend.create_tables()
with database() as db:
    db.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password BLOB)")

application = sessionward.WSGIMiddleware(legacy, backend=backend, secrets=SECRETS, insecure=INSECURE, remote_user=True)
