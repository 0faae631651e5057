"""The views of all sites: Django's own login, a cart, and a request that something happens to while it runs."""

# Django ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from itertools import chain
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model, login, logout
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path

import sessionward

meanwhile: list[Callable[[], object]] = []
"""What happens while a slow request runs; each once."""


def it_happens() -> None:
    """In a thread of its own: the transaction of this request, if there is one, has nothing to do with it."""
    with ThreadPoolExecutor(1) as pool:
        while meanwhile:
            pool.submit(meanwhile.pop()).result()
        pool.submit(connections.close_all).result()


def sign_in(request: HttpRequest, user: str) -> HttpResponse:
    login(request, get_user_model().objects.get(pk=user))
    return HttpResponse()


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def me(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{'nobody' if request.user.pk is None else request.user.pk} {request.session.get('cart', '')}".strip())


def cart(request: HttpRequest, item: str) -> HttpResponse:
    request.session["cart"] = item
    return HttpResponse()


def rotate(request: HttpRequest) -> HttpResponse:
    request.session.cycle_key()
    return HttpResponse()


def slow_cart(request: HttpRequest, item: str) -> HttpResponse:
    request.session.get("cart")
    it_happens()
    request.session["cart"] = item
    return HttpResponse()


def slow_rotate(request: HttpRequest) -> HttpResponse:
    request.session.get("cart")
    while meanwhile:
        meanwhile.pop()()
    request.session.cycle_key()
    return HttpResponse()


def streamed(request: HttpRequest) -> StreamingHttpResponse:
    """Begun before the head of the answer is out."""
    request.session["cart"] = "book"
    people = get_user_model()._base_manager.order_by("pk").iterator(chunk_size=2)
    first = next(people)
    return StreamingHttpResponse(f"{person.pk}\n" for person in chain([first], people))


VERBS: dict[str, Callable[[Any], object]] = {
    "current": lambda sessions: sessions.current,
    "list": lambda sessions: sessions.list(),
    "revoke": lambda sessions: sessions.revoke("00000000-0000-4000-8000-000000000000"),
    "revoke_others": lambda sessions: sessions.revoke_others(),
    "revoke_all": lambda sessions: sessions.revoke_all("0"),
}


def between(request: HttpRequest, verb: str) -> HttpResponse:
    """Calls a verb while it reads rows; answers how many connections it has used, and how many rows there are."""
    people = get_user_model()._base_manager.order_by("pk").iterator(chunk_size=2)
    first = next(people)
    before = connection.connection
    VERBS[verb](sessionward.of(request))
    used = {id(before), id(connection.connection)}
    return HttpResponse(f"{len(used)} {len([first, *people])}")


def slow_me(request: HttpRequest) -> HttpResponse:
    known = request.user.pk
    it_happens()
    return HttpResponse(f"{known} {request.session.get('cart', '')}")


def slow_app(request: HttpRequest) -> HttpResponse:
    """What allauth headless does for its client ``app`` when the password is changed."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(request.headers["X-Session-Token"])
    session.get("cart")
    it_happens()
    session.cycle_key()
    with suppress(UpdateError):  # revoked already
        session.save()
    return HttpResponse(json.dumps({"key": session.session_key}))


def broken(request: HttpRequest, user: str) -> HttpResponse:
    login(request, get_user_model().objects.get(pk=user))
    request.session.save()
    raise RuntimeError("the view fails after it has saved the session")


urlpatterns = [
    path("login/<user>", sign_in),
    path("logout", sign_out),
    path("me", me),
    path("cart/<item>", cart),
    path("rotate", rotate),
    path("slow-cart/<item>", slow_cart),
    path("between/<verb>", between),
    path("slow-me", slow_me),
    path("slow-rotate", slow_rotate),
    path("streamed", streamed),
    path("broken/<user>", broken),
    path("slow-app", slow_app),
]
if apps.is_installed("allauth.headless"):
    urlpatterns += [path("_allauth/", include("allauth.headless.urls")), path("accounts/", include("allauth.urls"))]
