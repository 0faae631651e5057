"""Flask under gunicorn with plain SQL: sign in on three devices, press "sign out my other devices" on one.

``DELETE /auth/sessions`` has no view here: sessionward answers it in front of the application. The views only say who
has proved to be whom (``login``) and who leaves (``logout``). Left out: a limit on how often a password may be tried.

Install and run. The secret signs the cookies: keep it, or everybody has to sign in again. ::

    pip install sessionward flask gunicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    gunicorn flask_app:app --workers 2 --threads 8 --bind 127.0.0.1:8000

Browsers return the cookie over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
DATABASE_URL names another database than the file example.db. Then open http://127.0.0.1:8000 in two browsers.
"""

import hashlib
import hmac
import os
import re
import secrets

from flask import Flask, abort, redirect, render_template_string, request
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, create_engine, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable
from werkzeug import Response

import sessionward
from sessionward.backends.sql import SQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the first lines of this file show how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only
DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///example.db")
engine = create_engine(DATABASE_URL, hide_parameters=True)
backend = SQLBackend(DATABASE_URL)
users = Table(
    "users", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(64), unique=True), Column("password", LargeBinary)
)

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 10_000
guarded = sessionward.WSGIMiddleware(app.wsgi_app, backend=backend, secrets=SECRETS, insecure=INSECURE)
app.wsgi_app = guarded  # type: ignore[method-assign]  # Flask's own way to put something around all of it
app.register_error_handler(sessionward.BackendUnavailable, lambda _: ("Please try again.", 503, {"Retry-After": "2"}))

backend.create_tables()
with engine.begin() as db:
    db.execute(CreateTable(users, if_not_exists=True))
engine.dispose()  # gunicorn --preload forks from here, and a connection must not be shared

PAGE = """<!doctype html><title>Example</title>
{% if name %}<p>You are {{ name }}.
<button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.json()).then(b => alert(JSON.stringify(b)))">
  Sign out my other devices</button>
<form method="post" action="/logout"><button>Sign out</button></form>
{% else %}<form method="post" action="/login">
<input name="name" placeholder="Name" required maxlength="64">
<input name="password" type="password" placeholder="Password" required minlength="8" maxlength="256">
<button>Sign in</button> <button formaction="/signup">Sign up</button></form>{% endif %}"""


def hashed(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5)


def matches(password: str, stored: bytes) -> bool:
    return hmac.compare_digest(hashed(password, stored[:16]), stored)


NOBODY = hashed(secrets.token_hex(), secrets.token_bytes(16))  # an unknown name takes as long as a wrong password


@app.get("/")
def home() -> str:
    session = sessionward.of(request).current
    if session is None:
        return render_template_string(PAGE)
    with engine.connect() as db:
        return render_template_string(PAGE, name=db.scalar(select(users.c.name).where(users.c.id == int(session.user_id))))


@app.post("/signup")
def signup() -> Response:
    name, password = request.form["name"], request.form["password"]
    if not re.fullmatch(r"[a-z0-9.@-]{1,64}", name) or len(password) < 8:
        abort(400, "A name of small letters and a password of at least 8 characters are needed.")
    try:
        with engine.begin() as db:
            db.execute(insert(users).values(name=name, password=hashed(password, secrets.token_bytes(16))))
    except IntegrityError:
        abort(409, "This name is taken.")
    return redirect("/", 303)


@app.post("/login")
def login() -> Response:
    with engine.connect() as db:
        user = db.execute(select(users).where(users.c.name == request.form["name"])).one_or_none()
    right = matches(request.form["password"], user.password if user else NOBODY)
    if user is None or not right:
        abort(401, "Wrong name or password.")
    try:
        sessionward.of(request).login(user.id)
    except sessionward.StaleLogin:
        abort(401, "You were signed out everywhere meanwhile. Please sign in again.")
    return redirect("/", 303)


@app.post("/logout")
def logout() -> Response:
    sessionward.of(request).logout()
    return redirect("/", 303)
