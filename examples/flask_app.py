"""Flask without a login of its own, mode own: ``sessionward`` keeps the sessions in a database.

Sign in as ``ann`` ("correct horse battery") or ``bob`` ("staple of another kind"). Install and run::

    pip install sessionward flask gunicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_INSECURE=1  # for development over plain http; leave it out over https
    gunicorn flask_app:app --workers 2 --threads 8 --bind 127.0.0.1:8000

Then open http://127.0.0.1:8000 in two browsers. A restart with the same secret keeps everybody signed in: see example.db.
"""

import os
import secrets

from flask import Flask, abort, redirect, render_template_string, request
from werkzeug import Response
from werkzeug.security import check_password_hash, generate_password_hash

import sessionward
from sessionward.backends.sql import SQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; old ones only verify
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the docstring of this file shows how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"

app = Flask(__name__)
backend = SQLBackend("sqlite:///example.db")  # or "postgresql://..."
backend.create_tables()  # safe to repeat
app.wsgi_app = sessionward.WSGIMiddleware(app.wsgi_app, backend=backend, secrets=SECRETS, insecure=INSECURE)  # type: ignore[method-assign]
app.register_error_handler(sessionward.StaleLogin, lambda _: ("Please sign in again.", 401))
app.register_error_handler(sessionward.BackendUnavailable, lambda _: ("Please try again.", 503, {"Retry-After": "2"}))


@app.get("/")
def home() -> str:
    return render_template_string(PAGE, session=sessionward.of(request).current)


@app.post("/login")
def login() -> Response:
    name, password = request.form["name"], request.form["password"]
    if not check_password_hash(USERS.get(name, UNKNOWN), password):
        abort(401, "Wrong name or password.")
    sessionward.of(request).login(name)
    return redirect("/", 303)


@app.post("/logout")
def logout() -> Response:
    sessionward.of(request).logout()
    return redirect("/", 303)


USERS = {  # your application has a table of users
    "ann": generate_password_hash("correct horse battery"),
    "bob": generate_password_hash("staple of another kind"),
}
UNKNOWN = generate_password_hash(secrets.token_hex())  # an unknown name takes as long as a wrong password
PAGE = """<!doctype html><title>Example</title>
{% if session %}<p>You are {{ session.user_id }}.
<button onclick="fetch('/auth/sessions', {method: 'DELETE'}).then(r => r.text()).then(alert)">Sign out my other devices</button>
<form method="post" action="/logout"><button>Sign out</button></form>
{% else %}<form method="post" action="/login"><input name="name" placeholder="Name">
<input name="password" type="password" placeholder="Password"> <button>Sign in</button></form>{% endif %}"""
