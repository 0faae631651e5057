"""What the claims speak of: browsers of a Django site with the door around it, and what Django itself says of a cookie."""

# Django ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.cookies import SimpleCookie
from importlib import import_module
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

import sessionward
from sessionward import BackendUnavailable, Session, SessionRevoked
from sessionward.backends import Credential
from sessionward.backends.django import DjangoBackend
from sessionward.backends.django.store import TableStore, store_of
from tests.backends.django.settings import SITE
from tests.contract.doors import Answer, ask_wsgi, wsgi_environ

T = TypeVar("T")

DEADLINE: Final = 10.0
"""Seconds: nothing here may hang on how busy the machine is."""
OURS: Final = "sessionward_django_"


def environ(method: str, path: str, key: str | None = None) -> dict[str, Any]:
    cookies = {} if key is None else {"Cookie": f"{settings.SESSION_COOKIE_NAME}={key}"}
    server = {"SERVER_NAME": "app.example", "SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.input": BytesIO()}
    return {**wsgi_environ(method, path.encode().decode("latin-1"), cookies), **server}


def backend(**settings: Any) -> DjangoBackend:
    return DjangoBackend(**{"timeout": DEADLINE, **settings})


def bare(path: str, key: str | None = None) -> Answer:
    """Django's answer, without a door."""
    return ask_wsgi(get_wsgi_application(), environ("GET", path, key))


def visit(path: str, key: str | None = None, method: str = "GET") -> Answer:
    """The answer through the door."""
    door = sessionward.WSGIMiddleware(get_wsgi_application(), backend(), backend_timeout=DEADLINE)
    return ask_wsgi(door, environ(method, path, key))


def delete(key: str | None) -> tuple[int, Any]:
    """What ``DELETE /auth/sessions`` answers: the status, and the count if there is one."""
    answer = visit("/auth/sessions", key, "DELETE")
    return answer.status, json.loads(answer.body).get("count")


def cookie_of(answer: Answer) -> str | None:
    """The session cookie that an answer sets."""
    found = SimpleCookie(next((value for name, value in answer.headers if name.lower() == "set-cookie"), ""))
    morsel = found.get(settings.SESSION_COOKIE_NAME)
    return morsel.value if morsel is not None else None


def person(name: str) -> str:
    """Somebody new; their id as text."""
    return str(get_user_model().objects.create_user(name).pk)


def sign_in(user: str, *, through: Callable[..., Answer] = visit) -> str:
    """Another device of this user; its cookie."""
    answer = through(f"/login/{user}")
    key = cookie_of(answer)
    assert (answer.status, bool(key)) == (200, True), answer
    return str(key)


def whom(key: str) -> str:
    """Whom Django takes this cookie for, behind the door."""
    answer = visit("/me", key)
    assert answer.status == 200, answer
    return answer.body.decode()


def found(key: str, **settings: Any) -> Session | None:
    return backend(**settings).find(Credential(key.encode()))


def session(key: str, **settings: Any) -> Session:
    known = found(key, **settings)
    assert known is not None
    return known


def store() -> Any:
    """The class of the engine's sessions."""
    return import_module(settings.SESSION_ENGINE).SessionStore


def rows() -> Any:
    """The rows of the engine's table."""
    known = store_of()
    assert isinstance(known, TableStore)
    return known.model._base_manager.all()


def everything() -> dict[str, Any]:
    """All that is stored of sessions: rows, files, cache entries, and our tables."""
    known, state = store_of(), {}
    for table in sorted(tables()):
        if "session" in table:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT * FROM {table}")
                state[table] = sorted(cursor.fetchall(), key=repr)
    state["files"] = sorted((path.name, path.read_bytes()) for path in Path(settings.SESSION_FILE_PATH).iterdir())
    if not isinstance(known, TableStore) and settings.SESSION_ENGINE.endswith("cache") and hasattr(cache, "iter_keys"):
        state["cache"] = sorted(cache.iter_keys("*"))
    return state


def tables() -> set[str]:
    return set(connection.introspection.table_names())


def drop_ours() -> None:
    from sessionward.backends.django import tables as ours

    with connection.cursor() as cursor:
        for table in tables():
            if table.startswith(OURS):
                cursor.execute(f"DROP TABLE {table}")
    ours._there.clear()


def clean() -> None:
    """As on the first day."""
    from tests.backends.django.views import meanwhile

    meanwhile.clear()
    known = store_of()
    with connection.cursor() as cursor:
        for table in sorted(tables(), reverse=True):
            if table.startswith(OURS):
                cursor.execute(f"DELETE FROM {table}")
    if isinstance(known, TableStore):
        known.model._base_manager.all().delete()
    get_user_model().objects.all().delete()
    for file in Path(settings.SESSION_FILE_PATH).iterdir():
        file.unlink()
    empty_cache()


def empty_cache() -> None:
    """Only what is ours: clearing Django's own cache on Redis would clear the server."""
    from tests.backends.django.settings import CACHES, REDIS

    if SITE.cache == "locmem":
        cache.clear()
        return
    import redis

    with redis.Redis.from_url(REDIS) as client:
        for key in client.scan_iter(f"{CACHES['default']['KEY_PREFIX']}:*", count=1000):
            client.delete(key)


def queries(ask: Callable[[], object]) -> list[str]:
    """The SQL that a question costs."""
    with CaptureQueriesContext(connection) as caught:
        ask()
    return [query["sql"] for query in caught.captured_queries]


def refused(ask: Callable[[], object], kind: type[Exception] = BackendUnavailable) -> str:
    """What it said when it refused."""
    try:
        answer = ask()
    except kind as error:
        return str(error)
    raise AssertionError(f"it was not refused: {answer!r}")


def at_once(asks: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """What comes of questions in as many threads, each with a connection of its own."""
    ready = [Event() for _ in asks]

    def ask(number: int) -> T | Exception:
        ready[number].set()
        for event in ready:
            event.wait(DEADLINE)
        try:
            return asks[number]()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(ask, range(len(asks))))


def ends(key: str) -> Callable[[], int]:
    """A caller that is recognised, and about to revoke the others."""
    known, ours = session(key), backend()
    return lambda: ours.revoke_others(known)


def are_counts(outcomes: Sequence[object]) -> list[int]:
    """The counts among what callers got. The others were told that their own session has ended."""
    told = [outcome for outcome in outcomes if not isinstance(outcome, int)]
    assert all(type(outcome) is SessionRevoked for outcome in told), told
    return [outcome for outcome in outcomes if isinstance(outcome, int)]


@contextmanager
def meanwhile_in_another_thread(block: Callable[[], Any]) -> Iterator[None]:
    """Something that holds on, on a connection of its own: ``block`` gives a context that stays open inside."""
    holding, enough, failures = Event(), Event(), []

    def hold() -> None:
        try:
            with block():
                holding.set()
                enough.wait(60)
        except Exception as error:
            failures.append(error)
        finally:
            holding.set()
            connections.close_all()

    thread = Thread(target=hold)
    thread.start()
    assert holding.wait(DEADLINE)
    try:
        yield
    finally:
        enough.set()
        thread.join(DEADLINE)
    assert not failures, failures
