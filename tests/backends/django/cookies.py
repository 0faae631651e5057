"""A session middleware of the project's own that names its cookie otherwise, as some do on https."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import json
import logging
from http.cookies import SimpleCookie
from typing import Any

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.wsgi import get_wsgi_application
from django.test import override_settings

import sessionward
from sessionward import ConfigurationError
from tests.backends.django.views import meanwhile
from tests.backends.django.world import DEADLINE, backend, delete, environ, person, refused, sign_in
from tests.contract.doors import Answer, ask_wsgi

HOST = "__Host-sessionid"


class HostSessionMiddleware(SessionMiddleware):
    def process_request(self, request: Any) -> None:
        request.session = self.SessionStore(request.COOKIES.get(HOST))

    def process_response(self, request: Any, response: Any) -> Any:
        response = super().process_response(request, response)
        if settings.SESSION_COOKIE_NAME in response.cookies:
            response.set_cookie(HOST, response.cookies.pop(settings.SESSION_COOKIE_NAME).value, path="/", secure=True)
        return response


Alias = SessionMiddleware
"""Django's own class by another name."""


def middleware(name: str) -> Any:
    return override_settings(MIDDLEWARE=[f"{__name__}.{name}", *settings.MIDDLEWARE[1:]])


def ask(method: str, path: str, key: str | None = None) -> Answer:
    door = sessionward.WSGIMiddleware(get_wsgi_application(), backend(cookies=[HOST, "sessionid"]), backend_timeout=DEADLINE)
    came = environ(method, path)
    return ask_wsgi(door, came if key is None else {**came, "HTTP_COOKIE": f"{HOST}={key}"})


def key_of(answer: Answer) -> str | None:
    found = SimpleCookie(next((value for name, value in answer.headers if name.lower() == "set-cookie"), "")).get(HOST)
    return None if found is None else found.value


def case_its_names_can_be_given() -> None:
    ann = person("ann")
    with middleware("HostSessionMiddleware"):
        own, other, third = (str(key_of(ask("GET", f"/login/{ann}"))) for _ in range(3))
        meanwhile.append(lambda: ask("DELETE", "/auth/sessions", own))
        assert key_of(ask("GET", "/slow-rotate", other)) is None
        assert [ask("GET", "/me", key).body.decode().strip() for key in (own, other, third)] == [ann, "nobody", "nobody"]
        last = str(key_of(ask("GET", f"/login/{ann}")))
        answer = ask("DELETE", "/auth/sessions", last)
        assert (answer.status, json.loads(answer.body)) == (200, {"count": 1})


def case_djangos_own_name_is_one_like_any_other() -> None:
    key = sign_in(person("ann"))
    answer = ask("DELETE", "/auth/sessions", key)
    assert (answer.status, delete(key)) == (200, (200, 0))


def case_a_middleware_that_is_not_djangos_is_told_of_at_start() -> None:
    assert warned_of("HostSessionMiddleware")[0].count("tests.backends.django.cookies.HostSessionMiddleware") == 1
    assert "cookies=[" in warned_of("HostSessionMiddleware")[0]
    assert warned_of("HostSessionMiddleware", cookies=[HOST]) == []
    assert warned_of("Alias") == []
    assert "MIDDLEWARE" in warned_of("Nowhere")[0]


def warned_of(name: str, **given: Any) -> list[str]:
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("sessionward")
    logger.addHandler(handler)
    try:
        with middleware(name):
            backend(**given)
    finally:
        logger.removeHandler(handler)
    return told


def case_what_is_no_name_of_a_cookie_is_refused() -> None:
    wrong: list[Any] = ["sessionid", b"sid", [], [""], ["a b"], ["é"], ["a=b"], ["a;b"], [None], 7, {"x": 1}.values(), ["\x00"]]
    for cookies in wrong:
        assert "cookies" in refused(lambda cookies=cookies: backend(cookies=cookies), ConfigurationError)
