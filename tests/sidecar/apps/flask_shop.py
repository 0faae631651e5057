"""A Flask application with Flask-Login."""

from __future__ import annotations

from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user  # type: ignore[import-untyped]

app = Flask(__name__)
app.secret_key = "the application's own secret: 0123456789"
manager = LoginManager(app)


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, id: str) -> None:
        self.id = id


@manager.user_loader  # type: ignore[untyped-decorator]
def load(id: str) -> User:
    return User(id)


@app.get("/in/<user>")
def sign_in(user: str) -> str:
    login_user(User(user))
    return "welcome"


@app.get("/out")
def sign_out() -> str:
    logout_user()
    return "bye"


@app.get("/")
def me() -> str:
    return str(current_user.id) if current_user.is_authenticated else "nobody"
