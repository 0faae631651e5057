"""A Django project that is measured; run as a program, since a process has one configuration of Django only.

``python -m tests.benchmarks.django_project <url of its database> [application ...]`` reads lines of JSON, the name of a
piece of work and a number, and answers each with a figure: seconds of the work alone, without what prepares it.
"""

# Django and allauth ship no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import django
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone
from sqlalchemy import make_url
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp
from werkzeug.middleware.proxy_fix import ProxyFix

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.django import DjangoBackend
from sessionward.credential.token import Credential
from sessionward.wsgi import WSGIApplication
from tests.benchmarks.measure import Timed
from tests.benchmarks.requests import (
    FIELDS,
    SECRET,
    Run,
    asgi_application,
    asgi_requests,
    event_loop,
    with_cookie,
    wsgi_application,
    wsgi_requests,
)

BY: Final = "django.contrib.auth.backends.ModelBackend"
ENGINES: Final = {"postgresql": "django.db.backends.postgresql", "sqlite": "django.db.backends.sqlite3"}
BATCH: Final = 5000
"""As ``sessionward index`` has it."""
CROWD: Final = (
    "INSERT INTO django_session (session_key, session_data, expire_date)"
    " SELECT md5(i::text), %s, now() + interval '14 days' FROM generate_series(1, %s) AS i"
)
INDEXED: Final = (
    'INSERT INTO sessionward_django_index (session_key, "user")'
    " SELECT md5(i::text), encode(sha256(('crowd ' || i / 10)::bytea), 'hex') FROM generate_series(1, %s) AS i"
)
RENAME: Final = "UPDATE django_session SET session_key = 'revoked:' || md5(session_key) WHERE session_key IN ({})"


def main() -> None:
    _, url, *others = sys.argv
    configure(url, others)
    with event_loop() as run:
        works: Mapping[str, Timed] = {"nothing": lambda _: 0.0, **ending(), **indexing(), **passing(run)}
        gc.collect()
        gc.freeze()  # looking through all of Django takes milliseconds, which would always fall to the same side
        for line in sys.stdin:
            name, number = json.loads(line)
            print(json.dumps(works[name](number)), flush=True)


def configure(url: str, others: list[str]) -> None:
    """The db engine; its connection stays open, as it does for a whole request at least."""
    parts = make_url(url)
    database = {"NAME": parts.database, "USER": parts.username, "PASSWORD": parts.password, "HOST": parts.host, "PORT": parts.port}
    settings.configure(
        SECRET_KEY=SECRET,
        DATABASES={
            "default": {
                "ENGINE": ENGINES[parts.get_backend_name()],
                "CONN_MAX_AGE": None,
                **{name: str(value) for name, value in database.items() if value is not None},
            }
        },
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", *others],
        MIDDLEWARE=["allauth.account.middleware.AccountMiddleware"] if others else [],  # allauth.account wants it
        SESSION_ENGINE="django.contrib.sessions.backends.db",
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0)


# --- ending sessions --------------------------------------------------------------------------------------------------


def ending() -> Mapping[str, Timed]:
    """``number`` sessions of a user, made anew with the user each time; the last one is the caller's."""
    from sessionward.backends.django.tables import add_lock

    backend = DjangoBackend()

    def end(number: int) -> float:
        user, keys = signed_in(number)
        add_lock("default", str(user.pk))  # as if sessions of this user had been ended before
        session = backend.find(Credential(keys[-1].encode()))
        assert session is not None
        with left_of(keys, 1):
            return timed(lambda: backend.revoke_others(session))

    def find_and_end_first(number: int) -> float:
        keys = signed_in(number)[1]

        def find_and_end() -> None:
            session = backend.find(Credential(keys[-1].encode()))
            assert session is not None
            backend.revoke_others(session)

        with left_of(keys, 1):
            return timed(find_and_end)

    def update(number: int) -> float:
        keys = signed_in(number)[1]
        statement = RENAME.format(", ".join(["%s"] * number))
        with left_of(keys, 0), connection.cursor() as cursor:
            return timed(lambda: cursor.execute(statement, keys))

    def allauth(number: int) -> float:
        from allauth.core.context import request_context
        from allauth.usersessions.internal.flows.sessions import end_other_sessions

        user, keys = signed_in(number)
        request = HttpRequest()
        request.session, request.user = SessionStore(keys[-1]), user
        with left_of(keys, 1), request_context(request):
            return timed(lambda: end_other_sessions(request, user))

    return {"crowd": crowd, "end": end, "find and end first": find_and_end_first, "update": update, "allauth": allauth}


def crowd(number: int) -> float:
    """So many sessions of others, in Django's table and in ours."""
    from sessionward.backends.django.completeness import mark_complete
    from sessionward.backends.django.store import store_of

    def fill() -> None:
        mark_complete(store_of())
        with connection.cursor() as cursor:
            cursor.execute(CROWD, [SessionStore().encode({"cart": [17, 42], "_language": "en"}), number])
            cursor.execute(INDEXED, [number])
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")

    return timed(fill)


def signed_in(number: int) -> tuple[Any, list[str]]:
    """A new user, and the keys of so many sessions of this user; allauth knows of them, where it is installed."""
    from django.contrib.auth.models import User

    user = User.objects.create_user(uuid4().hex)
    stores = [SessionStore() for _ in range(number)]
    for store in stores:
        store.update(login_of(user))
        store.create()
    keys = [str(store.session_key) for store in stores]
    if apps.is_installed("allauth.usersessions"):
        noted = apps.get_model("usersessions", "UserSession")
        noted.objects.bulk_create(noted(user=user, session_key=key, ip="192.0.2.1", user_agent="Firefox") for key in keys)
    return user, keys


def login_of(user: Any) -> Mapping[str, str]:
    """What ``django.contrib.auth.login`` puts into a session."""
    return {"_auth_user_id": str(user.pk), "_auth_user_backend": BY, "_auth_user_hash": user.get_session_auth_hash()}


@contextmanager
def left_of(keys: Sequence[str], number: int) -> Iterator[None]:
    """So many of these sessions are left afterwards, or nothing was measured."""
    yield
    left = sum(map(SessionStore().exists, keys))
    assert left == number, f"{left} sessions of {len(keys)} are left, not {number}"


# --- filling the index ------------------------------------------------------------------------------------------------


def indexing() -> Mapping[str, Timed]:
    """All sessions there are; ``number`` matters only when they are made."""
    from django.contrib.sessions.models import Session

    from sessionward.backends.django.filling import fill
    from sessionward.backends.django.store import store_of
    from sessionward.backends.django.tables import Entry, ensure

    ensure("default")

    def sessions(number: int) -> float:
        """All signed in, ten of each user: the hard case, since nothing is noted of others."""
        from django.contrib.auth.models import User

        ends = timezone.now() + timedelta(days=14)
        users = User.objects.bulk_create(User(username=uuid4().hex) for _ in range(number // 10))
        data = (SessionStore().encode(dict(login_of(user))) for user in users for _ in range(10))
        return timed(
            lambda: Session.objects.bulk_create(
                (Session(session_key=uuid4().hex, session_data=text, expire_date=ends) for text in data), batch_size=BATCH
            )
        )

    def read(_: int) -> float:
        def loop() -> None:
            for row in Session.objects.iterator():
                row.get_decoded()

        return timed(loop)

    def index(_: int) -> float:
        Entry.objects.all().delete()
        counted: list[int] = []
        took = timed(lambda: fill(store_of(), batch=BATCH, progress=counted.append))
        assert sum(counted) == Entry.objects.count() == Session.objects.count()
        return took

    def peak(number: int) -> float:
        """Not seconds: the bytes that Python has at most while the index is filled, beyond those from before."""
        Entry.objects.all().delete()
        tracemalloc.start()
        try:
            fill(store_of(), batch=BATCH, progress=lambda more: None)
            return float(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    return {"sessions": sessions, "read": read, "index": index, "peak": peak}


# --- ordinary requests ------------------------------------------------------------------------------------------------


def passing(run: Run) -> Mapping[str, Timed]:
    """Requests of browsers without a cookie, and of those with a session of Django's."""
    backend = DjangoBackend()
    asgi_door = ASGIMiddleware(asgi_application, backend, secrets=[SECRET])
    wsgi_door = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET])
    works: dict[str, Timed] = {}
    signed_in = with_cookie("sessionid", "g4iyo8vs3r0w7w1l8ubnzq2y6dk5mhta")
    trusted = TrustedHostMiddleware(asgi_application, ["app.example"])
    of_asgi: Mapping[str, ASGIApp] = {"bare": asgi_application, "guarded": asgi_door, "beside": trusted}
    of_wsgi: Mapping[str, WSGIApplication] = {"bare": wsgi_application, "guarded": wsgi_door, "beside": ProxyFix(wsgi_application)}
    for visitor, fields in {"no cookie": FIELDS, "signed in": signed_in}.items():
        for side, asgi in of_asgi.items():
            works[f"ASGI {side}, {visitor}"] = asgi_requests(asgi, fields, run)
        for side, wsgi in of_wsgi.items():
            works[f"WSGI {side}, {visitor}"] = wsgi_requests(wsgi, fields)
    return works


def timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


if __name__ == "__main__":
    main()
