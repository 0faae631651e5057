"""Pyramid with its signed session cookie, as it is; and how a function of your own tells who is signed in, for any framework.

sessionward has no identifier for Pyramid, and needs none: ``who`` hands the cookie to the application's own session
factory. A function like this works for every framework whose sessions can be read outside a request. Its rules: the
user's id for a login, None for a session that names nobody, ``InvalidCredential`` for everything else (forged, expired, of no
known form), any other error where a store does not answer; and ``cookies`` lists *every* cookie that can sign someone in.
Left out: a limit on how often a password may be tried.

Install and run. The first secret is the application's own and signs its sessions, the second signs our cookie: keep both. ::

    pip install sessionward pyramid waitress
    export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    waitress-serve --listen=127.0.0.1:8000 pyramid_app:application

Browsers return the cookies over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and companions are in example.db. Then open http://127.0.0.1:8000 in two browsers.
"""

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from html import escape
from typing import Any

from pyramid.config import Configurator  # type: ignore[import-untyped]
from pyramid.httpexceptions import HTTPBadRequest, HTTPConflict, HTTPSeeOther, HTTPUnauthorized  # type: ignore[import-untyped]
from pyramid.request import Request  # type: ignore[import-untyped]
from pyramid.response import Response  # type: ignore[import-untyped]
from pyramid.session import SignedCookieSessionFactory  # type: ignore[import-untyped]

import sessionward
from sessionward.backends.sql import SQLBackend
from sessionward.identify import Function, InvalidCredential

SECRET_KEY = os.environ.get("SECRET_KEY", "")
SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRET_KEY or not SECRETS:
    raise RuntimeError("SECRET_KEY or SESSIONWARD_SECRET is not set; the first lines of this file show how to make them")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only

FORM = """<!doctype html><title>Example</title><form method="post" action="/login">
<input name="name" placeholder="Name"> <input name="password" type="password" placeholder="Password, at least 8 characters">
<button>Sign in</button> <button formaction="/signup">Sign up</button></form>"""
PAGE = """<!doctype html><title>Example</title><p>You are %s. In your cart: %s.
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


def home(request: Any) -> Any:
    if "user" not in request.session:
        return Response(FORM)
    with database() as db:
        (name,) = db.execute("SELECT name FROM users WHERE id = ?", (request.session["user"],)).fetchone()
    return Response(PAGE % (escape(name), escape(", ".join(request.session.get("cart", []))) or "nothing"))


def signup(request: Any) -> Any:
    name, password = request.POST["name"], request.POST["password"]
    if not re.fullmatch(r"[a-z0-9.@-]{1,64}", name) or len(password) < 8:
        return HTTPBadRequest("A name of small letters and a password of at least 8 characters are needed.")
    with database() as db:
        row = (name, hashed(password, secrets.token_bytes(16)))
        if not db.execute("INSERT OR IGNORE INTO users (name, password) VALUES (?, ?)", row).rowcount:
            return HTTPConflict("This name is taken.")
    return HTTPSeeOther("/")


def login(request: Any) -> Any:
    with database() as db:
        user = db.execute("SELECT id, password FROM users WHERE name = ?", (request.POST["name"],)).fetchone()
    user_id, stored = user or NOBODY
    if not matches(request.POST["password"], stored):
        return HTTPUnauthorized("Wrong name or password.")
    request.session["user"] = user_id
    return HTTPSeeOther("/")


def cart(request: Any) -> Any:
    if "user" not in request.session:
        return HTTPUnauthorized("Please sign in.")
    request.session["cart"] = [*request.session.get("cart", []), request.POST["item"]]
    return HTTPSeeOther("/")


def logout(request: Any) -> Any:
    request.session.invalidate()
    return HTTPSeeOther("/")


sessions = SignedCookieSessionFactory(SECRET_KEY, secure=not INSECURE, httponly=True, samesite="Lax", timeout=14 * 86_400)
with Configurator(session_factory=sessions) as config:
    for path, view, method in (
        ("/", home, "GET"),
        ("/signup", signup, "POST"),
        ("/login", login, "POST"),
        ("/cart", cart, "POST"),
        ("/logout", logout, "POST"),
    ):
        config.add_route(path, path)
        config.add_view(view, route_name=path, request_method=method)
    pyramid = config.make_wsgi_app()

# --- new, beside the button and three imports ---------------------------------------------------------------------------


def who(name: str, value: str) -> Any:
    """Whose session is this? Asks the factory of the application, with a request that has nothing but the cookie."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):  # parsers agree on these only, and Pyramid writes no others
        raise InvalidCredential("no value that Pyramid writes")
    session = sessions(Request.blank("/", environ={"HTTP_COOKIE": f"{name}={value}"}))
    if session.new:
        raise InvalidCredential("forged or expired")
    return session.get("user")


backend = SQLBackend("sqlite:///example.db")
backend.create_tables()
identify = Function(who, cookies=["session"], blocking=False)  # False: it never waits for a store
application = sessionward.WSGIMiddleware(pyramid, backend=backend, identify=identify, secrets=SECRETS, insecure=INSECURE)
