"""Flask-Login with remember-me, as it has always been: three lines at the end bring "sign out my other devices".

No view knows of sessionward. What Flask and Flask-Login put into cookies cannot be called back by anybody, so each browser
that signs in gets a companion cookie beside them, and from then on they count only together with it.
Left out: a limit on how often a password may be tried.

Install and run. The first secret is the application's own and signs its cookies, the second signs ours: keep both. ::

    pip install sessionward flask flask-login gunicorn
    export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    gunicorn flask_login_app:app --workers 2 --threads 8 --bind 127.0.0.1:8000

Browsers return the cookies over https only. For development over plain http, add SESSIONWARD_INSECURE=1.
Users and companions are in example.db. Then open http://127.0.0.1:8000 in two browsers.
"""

import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from flask import Flask, abort, redirect, render_template_string, request, session
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user  # type: ignore[import-untyped]
from werkzeug import Response
from werkzeug.security import check_password_hash, generate_password_hash

import sessionward
from sessionward.backends.sql import SQLBackend
from sessionward.identify.flask import FlaskLogin

SECRET_KEY = os.environ.get("SECRET_KEY", "")
SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; older ones stay valid
if not SECRET_KEY or not SECRETS:
    raise RuntimeError("SECRET_KEY or SESSIONWARD_SECRET is not set; the first lines of this file show how to make them")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"  # plain http, for development only

app = Flask(__name__)
app.config.update(SECRET_KEY=SECRET_KEY, MAX_CONTENT_LENGTH=10_000)
app.config.update(SESSION_COOKIE_SECURE=not INSECURE, SESSION_COOKIE_SAMESITE="Lax")
app.config.update(REMEMBER_COOKIE_SECURE=not INSECURE, REMEMBER_COOKIE_SAMESITE="Lax")
login_manager = LoginManager(app)

PAGE = """<!doctype html><title>Example</title>
{% if current_user.is_authenticated %}<p>You are {{ current_user.name }}. In your cart: {{ cart or "nothing" }}.
<form method="post" action="/cart"><input name="item" maxlength="64"> <button>Add</button></form>
<button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.text()).then(alert)">Sign out my other devices</button>
<form method="post" action="/logout"><button>Sign out</button></form>
{% else %}<form method="post" action="/login">
<input name="name" placeholder="Name" required maxlength="64">
<input name="password" type="password" placeholder="Password" required minlength="8" maxlength="256">
<label><input name="remember" type="checkbox" value="yes"> Remember me</label>
<button>Sign in</button> <button formaction="/signup">Sign up</button></form>{% endif %}"""

NOBODY = 0, "", generate_password_hash(secrets.token_hex())  # an unknown name takes as long as a wrong password


class User(UserMixin):  # type: ignore[misc]  # the library ships no types
    def __init__(self, id: int, name: str) -> None:
        self.id, self.name = id, name


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("example.db")) as connection, connection:
        yield connection


with database() as db:
    db.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password TEXT)")


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load(user_id: str) -> User | None:
    with database() as db:
        row = db.execute("SELECT id, name FROM users WHERE id = ?", (int(user_id),)).fetchone()
    return row and User(*row)


@app.get("/")
def home() -> str:
    return render_template_string(PAGE, cart=", ".join(session.get("cart", [])))


@app.post("/signup")
def signup() -> Response:
    name, password = request.form["name"], request.form["password"]
    if not re.fullmatch(r"[a-z0-9.@-]{1,64}", name) or len(password) < 8:
        abort(400, "A name of small letters and a password of at least 8 characters are needed.")
    row = (name, generate_password_hash(password))
    with database() as db:
        if not db.execute("INSERT OR IGNORE INTO users (name, password) VALUES (?, ?)", row).rowcount:
            abort(409, "This name is taken.")
    return redirect("/", 303)


@app.post("/login")
def login() -> Response:
    with database() as db:
        row = db.execute("SELECT id, name, password FROM users WHERE name = ?", (request.form["name"],)).fetchone()
    user_id, name, password = row or NOBODY
    if not check_password_hash(password, request.form["password"]):
        abort(401, "Wrong name or password.")
    login_user(User(user_id, name), remember="remember" in request.form)
    return redirect("/", 303)


@app.post("/cart")
@login_required  # type: ignore[untyped-decorator]
def cart() -> Response:
    session["cart"] = [*session.get("cart", []), request.form["item"]]
    return redirect("/", 303)


@app.post("/logout")
def logout() -> Response:
    logout_user()
    return redirect("/", 303)


# --- new, beside the button and three imports ---------------------------------------------------------------------------

backend = SQLBackend("sqlite:///example.db")
backend.create_tables()
guarded = sessionward.WSGIMiddleware(app.wsgi_app, backend=backend, identify=FlaskLogin.of(app), secrets=SECRETS, insecure=INSECURE)
app.wsgi_app = guarded  # type: ignore[method-assign]  # Flask's own way to put something around all of it
