"""A site of Django with Knox's own models, views and authentication, a door around it, and what people see there.

A program of its own, since a process configures Django once: ``python -m tests.backends.knox_site URL`` prints as JSON what
was seen, step by step.
"""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from wsgiref.util import setup_testing_defaults

import django  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from sqlalchemy import make_url

import sessionward
from sessionward.backends.table import Expires, TableBackend, sha512
from tests.contract.doors import ask_wsgi, wsgi_environ

ENGINES = {"sqlite": "sqlite3", "postgresql": "postgresql", "mysql": "mysql"}


def configure(text: str) -> None:
    url = make_url(text)
    if url.get_backend_name() == "mysql":
        import pymysql  # type: ignore[import-untyped]

        pymysql.install_as_MySQLdb()
    database = {"NAME": url.database, "USER": url.username, "PASSWORD": url.password, "HOST": url.host, "PORT": url.port}
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {"ENGINE": f"django.db.backends.{ENGINES[url.get_backend_name()]}"} | {k: v for k, v in database.items() if v}
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "knox"],
        MIDDLEWARE=[],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # quick, for tests only
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication"]},
        ROOT_URLCONF="tests.backends.knox_urls",
        SECRET_KEY="of-tests-only",
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()


def environ(method: str, path: str, authorization: str) -> dict[str, Any]:
    made = wsgi_environ(method, path, {"Authorization": authorization})
    setup_testing_defaults(made)
    return made


@dataclass
class Client:
    """A program that keeps its token."""

    app: Any
    token: str

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        answer = ask_wsgi(self.app, environ(method, path, f"Token {self.token}"))
        return answer.status, json.loads(answer.body or b"null")

    @property
    def state(self) -> int:
        return self.ask("GET", "/me")[0]


def sign_in(app: Any, name: str = "ann") -> Client:
    basic = base64.b64encode(f"{name}:secret".encode()).decode()
    answer = ask_wsgi(app, environ("POST", "/login", f"Basic {basic}"))
    assert answer.status == 200, answer
    return Client(app, json.loads(answer.body)["token"])


def run(url: str) -> dict[str, Any]:
    configure(url)
    from django.contrib.auth.models import User  # type: ignore[import-untyped]
    from django.core.management import call_command  # type: ignore[import-untyped]
    from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
    from django.utils.timezone import now  # type: ignore[import-untyped]
    from knox.crypto import hash_token  # type: ignore[import-untyped]
    from knox.models import AuthToken  # type: ignore[import-untyped]

    from tests.backends.knox_urls import meanwhile

    call_command("migrate", verbosity=0)
    for name in ("ann", "bob"):
        User.objects.create_user(name, password="secret")
    backend = TableBackend(
        url,
        "knox_authtoken",
        key="digest",
        user="user_id",
        header="Authorization",
        scheme="Token",
        transform=sha512,
        expires=Expires.at("expiry"),
        timeout=10,
    )
    app = sessionward.WSGIMiddleware(get_wsgi_application(), backend, backend_timeout=10)
    seen: dict[str, Any] = {}

    laptop, phone, tablet, bob = sign_in(app), sign_in(app), sign_in(app), sign_in(app, "bob")
    seen["the transform is Knox's own"] = sha512(laptop.token) == hash_token(laptop.token)
    seen["all are signed in"] = [client.state for client in (laptop, phone, tablet, bob)]
    seen["the call"] = laptop.ask("DELETE", "/auth/sessions")
    seen["after it"] = [client.state for client in (laptop, phone, tablet, bob)]
    seen["the call again, by one who is out, with half a token"] = [
        laptop.ask("DELETE", "/auth/sessions"),
        phone.ask("DELETE", "/auth/sessions")[0],
        Client(app, laptop.token[:20]).ask("DELETE", "/auth/sessions")[0],
    ]
    for path in ("/reads", "/writes"):
        victim = sign_in(app)
        meanwhile.append(lambda: laptop.ask("DELETE", "/auth/sessions"))
        seen[f"in flight, {path}"] = [victim.ask("GET", path), laptop.state, victim.state]
    seen["tokens in the table"] = AuthToken.objects.count()

    old = sign_in(app)
    AuthToken.objects.filter(digest=hash_token(old.token)).update(expiry=now() - timedelta(seconds=60))
    forever = sign_in(app)
    AuthToken.objects.filter(digest=hash_token(forever.token)).update(expiry=None)
    seen["one that has expired, and the others with one that never does"] = [
        old.ask("DELETE", "/auth/sessions")[0],
        laptop.ask("DELETE", "/auth/sessions"),
        AuthToken.objects.count(),
        forever.state,
    ]
    again = sign_in(app)
    seen["signed in again, and out by Knox"] = [again.state, again.ask("POST", "/logout")[0], again.ask("DELETE", "/auth/sessions")[0]]
    seen["revoke_all"] = [backend.revoke_all(str(User.objects.get(username="bob").pk)), bob.state, laptop.state]
    backend.close()
    return seen


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1])))
