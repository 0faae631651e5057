"""Flask-Login with remember-me, mode companion: the application keeps its login, and each browser gets a companion cookie.

Once a user has revoked a session, the application's cookies sign in only together with a live companion. A copy has none.
Sign in as ``ann`` ("correct horse battery") or ``bob`` ("staple of another kind"). Install and run::

    pip install sessionward flask flask-login gunicorn
    export SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_INSECURE=1  # for development over plain http; leave it out over https
    gunicorn flask_login_app:app --workers 2 --threads 8 --bind 127.0.0.1:8000

Then open http://127.0.0.1:8000 in two browsers. A restart with the same secrets keeps everybody signed in: see example.db.
"""

import os
import secrets

from flask import Flask, abort, redirect, render_template_string, request
from flask_login import LoginManager, UserMixin, login_user, logout_user  # type: ignore[import-untyped]
from werkzeug import Response
from werkzeug.security import check_password_hash, generate_password_hash

import sessionward
from sessionward.backends.sql import SQLBackend
from sessionward.identify.flask import FlaskLogin

SECRET_KEY = os.environ.get("SECRET_KEY", "")  # the application's own: it signs the login
SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; old ones only verify
if not SECRET_KEY or not SECRETS:
    raise RuntimeError("SECRET_KEY or SESSIONWARD_SECRET is not set; the docstring of this file shows how to make them")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"

app = Flask(__name__)
app.config.update(SECRET_KEY=SECRET_KEY, SESSION_COOKIE_SECURE=not INSECURE, SESSION_COOKIE_SAMESITE="Lax")
app.config.update(REMEMBER_COOKIE_SECURE=not INSECURE, REMEMBER_COOKIE_SAMESITE="Lax")
login_manager = LoginManager(app)

# These lines are new, below the last one that changes `app.config`, and so is the button.
backend = SQLBackend("sqlite:///example.db")
backend.create_tables()  # safe to repeat
app.wsgi_app = sessionward.WSGIMiddleware(  # type: ignore[method-assign]
    app.wsgi_app, backend=backend, identify=FlaskLogin.of(app), secrets=SECRETS, insecure=INSECURE
)


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load(user_id: str) -> User | None:
    return User(user_id) if user_id in USERS else None


@app.get("/")
def home() -> str:
    return render_template_string(PAGE)


@app.post("/login")
def login() -> Response:
    name, password = request.form["name"], request.form["password"]
    if not check_password_hash(USERS.get(name, UNKNOWN), password):
        abort(401, "Wrong name or password.")
    login_user(User(name), remember="remember" in request.form)
    return redirect("/", 303)


@app.post("/logout")
def logout() -> Response:
    logout_user()
    return redirect("/", 303)


USERS = {  # your application has a table of users
    "ann": generate_password_hash("correct horse battery"),
    "bob": generate_password_hash("staple of another kind"),
}
UNKNOWN = generate_password_hash(secrets.token_hex())  # an unknown name takes as long as a wrong password
PAGE = """<!doctype html><title>Example</title>
{% if current_user.is_authenticated %}<p>You are {{ current_user.id }}.
<button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.text()).then(alert)">Sign out my other devices</button>
<form method="post" action="/logout"><button>Sign out</button></form>
{% else %}<form method="post" action="/login"><input name="name" placeholder="Name">
<input name="password" type="password" placeholder="Password">
<label><input name="remember" type="checkbox"> Remember me</label> <button>Sign in</button></form>{% endif %}"""
