"""Both doors around Django: nothing is needed beyond its own settings, and ordinary requests are let through as they come."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from types import ModuleType
from typing import Any, ClassVar
from unittest.mock import patch

from django.contrib.sessions.backends.base import SessionBase
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.test import override_settings

import sessionward
from sessionward import AsyncSessions, ConfigurationError, Sessions
from tests.backends.django.faults import gone
from tests.backends.django.world import (
    backend,
    environ,
    found,
    person,
    queries,
    refused,
    sign_in,
    store,
    visit,
    whom,
)
from tests.contract.doors import asgi_scope, ask_asgi, ask_wsgi


def case_under_asgi_a_real_application_is_as_under_wsgi() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)

    async def ask(method: str, path: str, key: str) -> Any:
        door = sessionward.ASGIMiddleware(get_asgi_application(), backend())
        scope = {**asgi_scope(method, path, {"Cookie": f"sessionid={key}"}), "query_string": b"", "http_version": "1.1"}
        return await ask_asgi(door, scope)

    answer = asyncio.run(ask("DELETE", "/auth/sessions", own))
    assert (answer.status, json.loads(answer.body)) == (200, {"count": 1})
    assert not [field for field, _ in answer.headers if field.lower() == "set-cookie"]
    assert asyncio.run(ask("DELETE", "/auth/sessions", other)).status == 401
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]
    with gone():
        assert asyncio.run(ask("DELETE", "/auth/sessions", own)).status == 503


def case_wsgi_ordinary_requests_pass_as_they_came_with_a_handle() -> None:
    own, seen = sign_in(person("ann")), []

    def application(environ: Any, start_response: Any) -> Any:
        seen.extend([environ, dict(environ)])
        start_response("200 OK", head)
        return body

    def start_response(*given: Any) -> Any:
        seen.append(given)

    head = [("Content-Type", "text/plain"), ("Set-Cookie", f"sessionid={own}; Path=/")]

    body = [b"as it is"]
    door = sessionward.WSGIMiddleware(application, backend())
    came = environ("GET", "/me", own)
    before = dict(came)
    assert door(came, start_response) is body
    assert seen[0] is came
    assert seen[1] == {**before, "sessionward.sessions": seen[1]["sessionward.sessions"]}
    assert seen[2] == ("200 OK", head)
    assert queries(lambda: sessionward.of(came)) == []
    assert isinstance(sessionward.of(came), Sessions)
    assert queries(lambda: door(environ("GET", "/me", own), start_response)) == []


def case_asgi_ordinary_requests_pass_as_they_came_with_a_handle() -> None:
    own, seen = sign_in(person("ann")), []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope, dict(scope), receive])
        await send(head)

    async def receive() -> Any: ...

    async def send(message: Any) -> None:
        seen.append(message)

    head = {"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", f"sessionid={own}".encode())]}
    scope = asgi_scope("GET", "/me", {"Cookie": f"sessionid={own}"})
    before = dict(scope)
    asyncio.run(sessionward.ASGIMiddleware(application, backend())(scope, receive, send))
    assert seen[0] is scope
    assert seen[1] == {**before, "sessionward": seen[1]["sessionward"]}
    assert isinstance(sessionward.of(scope), AsyncSessions)
    assert seen[2] is receive
    assert seen[3] == head


def case_what_django_would_not_read_is_no_session() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    for wrong in (own.upper(), f"{own}x", "revoked:" + own, "%20" + own):
        assert visit("/auth/sessions", wrong, "DELETE").status == 401
    assert visit("/auth/sessions", None, "DELETE").status == 401
    assert visit("/auth/sessions", f"{own}; sessionid={other}", "DELETE").status == 400
    assert whom(other) == ann


def case_an_engine_that_keeps_nothing_on_the_server_is_refused() -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        assert "SignedCookies" in refused(backend, ConfigurationError)
    with override_settings(SESSION_ENGINE="no.such.engine"):
        assert "SESSION_ENGINE" in refused(backend, ConfigurationError)


def case_tables_that_depend_on_the_request_are_refused() -> None:
    with patch.dict(connections["default"].settings_dict, {"ENGINE": "django_tenants.postgresql_backend"}):
        for engine in ("db", "cached_db", "cache", "file"):  # our own tables are there too
            with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
                assert "tenant" in refused(backend, ConfigurationError)
    tenants = type("DatabaseWrapper", (), {"__module__": "django_tenants.postgresql_backend.base"})
    derived = {
        alias: type("DatabaseWrapper", (tenants,), {"__module__": "project.database", "settings_dict": {"ENGINE": "project"}})()
        for alias in connections
    }
    with patch.object(type(connections), "__getitem__", at(derived)):
        assert "tenant" in refused(backend, ConfigurationError)


def at(wrappers: dict[str, Any]) -> Any:
    return lambda _self, alias: wrappers[alias]


class Swallowing(SessionBase):
    """As django-redis-sessions: what fails while loading is a session that is missing."""

    kept: ClassVar[dict[str, Any]] = {}
    down: ClassVar[bool] = False

    def load(self) -> Any:
        if self.down or self.session_key not in self.kept:
            self._session_key = None
            return {}
        return self.kept[self.session_key]

    def exists(self, session_key: str) -> bool:
        if self.down:
            raise ConnectionError
        return session_key in self.kept


def case_an_engine_that_takes_an_outage_for_an_empty_store_is_seen_through() -> None:
    engine, ann = ModuleType("swallowing"), person("ann")
    engine.SessionStore = Swallowing  # type: ignore[attr-defined]
    key = sign_in(ann)
    with (
        patch.dict(sys.modules, {engine.__name__: engine}),
        patch.dict(Swallowing.kept, {key: dict(store()(key).items())}),
        override_settings(SESSION_ENGINE=engine.__name__),
    ):
        assert [found(known) is not None for known in (key, "x" * 32)] == [True, False]
        with patch.object(Swallowing, "down", new=True):
            refused(lambda: found(key))
            assert visit("/auth/sessions", key, "DELETE").status == 503


def case_before_django_is_set_up_it_is_refused() -> None:
    program = """
import os
os.environ.pop("DJANGO_SETTINGS_MODULE", None)
from sessionward import AsyncSessions, ConfigurationError, Sessions
try:
    from sessionward.backends.django import DjangoBackend
    DjangoBackend()
except ConfigurationError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert "get_wsgi_application" in ran.stdout, ran.stderr


def case_the_cookie_of_the_project_is_the_one_that_counts() -> None:
    own = sign_in(person("ann"))
    with override_settings(SESSION_COOKIE_NAME="sid"):
        assert visit("/auth/sessions", own, "DELETE").status == 200
        door = sessionward.WSGIMiddleware(get_wsgi_application(), backend())
        came = environ("DELETE", "/auth/sessions")
        assert ask_wsgi(door, {**came, "HTTP_COOKIE": f"sessionid={own}"}).status == 401
