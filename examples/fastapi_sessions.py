"""FastAPI with ``SessionMiddleware``, mode companion: the application keeps its login, and each browser gets a companion cookie.

Once a user has revoked a session, the application's cookie signs in only together with a live companion. A copy has none.
Sign in as ``ann`` ("correct horse battery") or ``bob`` ("staple of another kind"). Install and run::

    pip install sessionward fastapi python-multipart uvicorn
    export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_INSECURE=1  # for development over plain http; leave it out over https
    uvicorn fastapi_sessions:app --port 8000

Then open http://127.0.0.1:8000 in two browsers. A restart with the same secrets keeps everybody signed in: see example.db.
"""

import hashlib
import hmac
import os
import secrets
from html import escape
from typing import Annotated

from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

import sessionward
from sessionward.backends.sql import SQLBackend
from sessionward.identify.starlette import StarletteSession

SECRET_KEY = os.environ.get("SECRET_KEY", "")  # the application's own: it signs the login
SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; old ones only verify
if not SECRET_KEY or not SECRETS:
    raise RuntimeError("SECRET_KEY or SESSIONWARD_SECRET is not set; the docstring of this file shows how to make them")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=SECRET_KEY, https_only=not INSECURE)

# These lines are new, below the one that adds `SessionMiddleware`, and so is the button.
backend = SQLBackend("sqlite:///example.db")  # or AsyncSQLBackend, for PostgreSQL and MariaDB without threads
backend.create_tables()  # safe to repeat
identify = StarletteSession(SECRET_KEY, user="user_id")  # the key of `request.session` that holds the user's id
app.add_middleware(sessionward.ASGIMiddleware, backend=backend, identify=identify, secrets=SECRETS, insecure=INSECURE)


@app.get("/", response_class=HTMLResponse)
def home(request: Request) -> str:
    user = request.session.get("user_id")
    return PAGE.format(user=escape(user)) if user else FORM


@app.post("/login")
def login(request: Request, name: Annotated[str, Form()], password: Annotated[str, Form()]) -> RedirectResponse:
    stored = USERS.get(name, UNKNOWN)
    if not hmac.compare_digest(hashed(password, salt=stored[:16]), stored):
        raise HTTPException(401, "Wrong name or password.")
    request.session["user_id"] = name
    return RedirectResponse("/", 303)


@app.post("/logout")
def logout(request: Request) -> RedirectResponse:
    request.session.clear()
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
<form method="post" action="/logout"><button>Sign out</button></form>"""
