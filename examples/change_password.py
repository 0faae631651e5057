"""A changed password revokes the user's other sessions. The order matters: **commit the new hash, then** ``revoke_others()``.

A client may be signing in with the old password at this moment. If it read the old hash, it began before the revocation,
and ``login()`` raises ``StaleLogin``. If it began later, it meets the new hash. In the other order, a sign-in that begins
between the two steps keeps its session.
Sign in as ``ann`` ("correct horse battery") or ``bob`` ("staple of another kind"). Install and run::

    pip install sessionward flask gunicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_INSECURE=1  # for development over plain http; leave it out over https
    gunicorn change_password:app --threads 4 --bind 127.0.0.1:8000

Then open http://127.0.0.1:8000 in two browsers. A restart with the same secret keeps everybody signed in: see example.db.
"""

import os
import secrets

from flask import Flask, abort, redirect, render_template_string, request
from sqlalchemy import create_engine, text
from werkzeug import Response
from werkzeug.security import check_password_hash, generate_password_hash

import sessionward
from sessionward.backends.sql import SQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; old ones only verify
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the docstring of this file shows how to make one")
INSECURE = os.environ.get("SESSIONWARD_INSECURE") == "1"

app, engine = Flask(__name__), create_engine("sqlite:///example.db")
backend = SQLBackend("sqlite:///example.db")
backend.create_tables()  # safe to repeat
app.wsgi_app = sessionward.WSGIMiddleware(app.wsgi_app, backend=backend, secrets=SECRETS, insecure=INSECURE)  # type: ignore[method-assign]
app.register_error_handler(sessionward.StaleLogin, lambda _: ("Your password was changed. Please sign in with the new one.", 401))
app.register_error_handler(sessionward.BackendUnavailable, lambda _: ("Please try again.", 503, {"Retry-After": "2"}))


@app.post("/password")
def change_password() -> dict[str, int]:
    sessions = sessionward.of(request)
    if sessions.current is None:
        abort(401, "Please sign in.")
    user, old, new = sessions.current.user_id, hash_of(sessions.current.user_id), request.form["new"]
    if not check_password_hash(old, request.form["old"]) or len(new) < 8:
        abort(403, "The form needs the old password, and a new one of at least 8 characters.")
    update = text("UPDATE users SET password = :new WHERE name = :user AND password = :old")
    with engine.begin() as db:  # commits at its end, before the revocation
        if not db.execute(update, {"new": generate_password_hash(new), "user": user, "old": old}).rowcount:
            abort(409, "Another request has changed the password meanwhile.")
    try:
        return {"count": sessions.revoke_others()}
    except sessionward.SessionRevoked:  # another device was faster and revoked this session: now none may stay
        return {"count": sessions.revoke_all(user)}
    except sessionward.BackendUnavailable:
        abort(503, "Your password is changed, but your other devices may still be signed in. Please change it once more.")


@app.get("/")
def home() -> str:
    return render_template_string(PAGE, session=sessionward.of(request).current)


@app.post("/login")
def login() -> Response:
    if not check_password_hash(hash_of(request.form["name"]), request.form["password"]):
        abort(401, "Wrong name or password.")
    sessionward.of(request).login(request.form["name"])
    return redirect("/", 303)


def hash_of(name: str) -> str:
    with engine.begin() as db:
        return db.scalar(text("SELECT password FROM users WHERE name = :name"), {"name": name}) or UNKNOWN


UNKNOWN = generate_password_hash(secrets.token_hex())  # an unknown name takes as long as a wrong password
USERS = {"ann": "correct horse battery", "bob": "staple of another kind"}
with engine.begin() as db:
    db.execute(text("CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT)"))
    rows = [{"name": name, "password": generate_password_hash(USERS[name])} for name in USERS]
    db.execute(text("INSERT OR IGNORE INTO users VALUES (:name, :password)"), rows)
PAGE = """<!doctype html><title>Example</title>
{% if session %}<p>You are {{ session.user_id }}.
<form method="post" action="/password"><input name="old" type="password" placeholder="Old password">
<input name="new" type="password" placeholder="New password"> <button>Change it and sign out my other devices</button></form>
{% else %}<form method="post" action="/login"><input name="name" placeholder="Name">
<input name="password" type="password" placeholder="Password"> <button>Sign in</button></form>{% endif %}"""
