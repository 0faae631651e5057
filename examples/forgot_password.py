"""A forgotten password: a mailed link revokes all sessions of the user, then signs in the person who followed it.

One request stores the new hash, then calls ``revoke_all()``, then ``login()``: ``change_password.py`` says why the hash
comes first. Sign in as ``ann`` ("correct horse battery") or ``bob`` ("staple of another kind"). Install and run::

    pip install sessionward flask gunicorn
    export SESSIONWARD_SECRET="$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
    export SESSIONWARD_INSECURE=1  # for development over plain http; leave it out over https
    gunicorn forgot_password:app --threads 4 --bind 127.0.0.1:8000

Then open http://127.0.0.1:8000 in two browsers. The log shows the mail. PUBLIC_URL is where its link leads: never build a
link from the Host header, which the client chooses. A restart with the same secret keeps everybody signed in: see example.db.
"""

import logging
import os
import secrets
import time
from hashlib import sha256
from threading import Thread

from flask import Flask, abort, redirect, render_template_string, request
from werkzeug import Response
from werkzeug.security import check_password_hash, generate_password_hash

import sessionward
from sessionward.backends.sql import SQLBackend

SECRETS = os.environ.get("SESSIONWARD_SECRET", "").split()  # newest first; old ones only verify
if not SECRETS:
    raise RuntimeError("SESSIONWARD_SECRET is not set; the docstring of this file shows how to make one")
INSECURE, PUBLIC_URL = os.environ.get("SESSIONWARD_INSECURE") == "1", os.environ.get("PUBLIC_URL", "http://127.0.0.1:8000")

app = Flask(__name__)
backend = SQLBackend("sqlite:///example.db")
backend.create_tables()  # safe to repeat
app.wsgi_app = sessionward.WSGIMiddleware(app.wsgi_app, backend=backend, secrets=SECRETS, insecure=INSECURE)  # type: ignore[method-assign]
app.register_error_handler(sessionward.StaleLogin, lambda _: ("Your password was changed. Please sign in with the new one.", 401))
app.register_error_handler(sessionward.BackendUnavailable, lambda _: ("Please try again.", 503, {"Retry-After": "2"}))


@app.post("/reset")
def reset() -> str:
    token, new = request.form["token"], request.form["password"]
    user, expires_at = LINKS.pop(sha256(token.encode()).digest(), ("", 0.0))  # in SQL: DELETE ... RETURNING, so a link works once
    if expires_at < time.time():
        abort(400, "This link has been used, or it is too old. Please ask for another.")
    for other in [link for link, (owner, _) in list(LINKS.items()) if owner == user]:
        LINKS.pop(other, None)
    USERS[user] = generate_password_hash(new)  # in SQL: UPDATE, then COMMIT before the revocation
    sessions = sessionward.of(request)
    count = sessions.revoke_all(user)
    sessions.login(user)
    return f"Your password is changed, {count} devices are signed out, and you are signed in."


@app.post("/forgot")
def forgot() -> tuple[str, int]:
    Thread(target=mail, args=(request.form["name"],)).start()  # the answer is the same for an unknown name, and as fast
    return "If this name is known, a link is on its way.", 202


def mail(name: str) -> None:
    if name in USERS:
        token = secrets.token_urlsafe(32)
        LINKS[sha256(token.encode()).digest()] = name, time.time() + 1800
        logging.warning("Mail to %s: set a new password at %s/reset?token=%s", name, PUBLIC_URL, token)  # your mail service


@app.get("/")
@app.get("/reset")
def page() -> tuple[str, dict[str, str]]:
    html = render_template_string(PAGE, session=sessionward.of(request).current, token=request.args.get("token"))
    return html, {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}  # the address holds the token


@app.post("/login")
def login() -> Response:
    name, password = request.form["name"], request.form["password"]
    if not check_password_hash(USERS.get(name, UNKNOWN), password):
        abort(401, "Wrong name or password.")
    sessionward.of(request).login(name)
    return redirect("/", 303)


LINKS: dict[bytes, tuple[str, float]] = {}  # the digest of each token, its user, its end; your application has a table
USERS = {  # your application has a table of users
    "ann": generate_password_hash("correct horse battery"),
    "bob": generate_password_hash("staple of another kind"),
}
UNKNOWN = generate_password_hash(secrets.token_hex())  # an unknown name takes as long as a wrong password
PAGE = """<!doctype html><title>Example</title>
{% if token %}<form method="post" action="/reset"><input name="token" type="hidden" value="{{ token }}">
<input name="password" type="password" placeholder="New password"> <button>Change it and sign out all devices</button></form>
{% elif session %}<p>You are {{ session.user_id }}.
{% else %}<form method="post" action="/login"><input name="name" placeholder="Name">
<input name="password" type="password" placeholder="Password"> <button>Sign in</button>
<button formaction="/forgot">I forgot my password</button></form>{% endif %}"""
