"""A site of Django, with sync and async views; settings are given once for the process."""

from __future__ import annotations

from typing import Any

import django  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]
from django.core.handlers.asgi import ASGIRequest  # type: ignore[import-untyped]
from django.core.handlers.wsgi import WSGIRequest  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

import sessionward

__all__ = ["ASGIRequest", "WSGIRequest", "get_asgi_application", "get_wsgi_application", "urlpatterns"]

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={},
        MIDDLEWARE=[],
        ROOT_URLCONF=__name__,
        SECRET_KEY="of-tests-only",
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()


def _me(session: sessionward.Session | None) -> HttpResponse:
    return HttpResponse("nobody" if session is None else session.user_id)


def sessions_of(request: HttpRequest) -> Any:
    """The sync verbs, whichever server runs this."""
    sessions = sessionward.of(request)
    return sessions.blocking if isinstance(sessions, sessionward.AsyncSessions) else sessions


def login(request: HttpRequest, user: str) -> HttpResponse:
    return HttpResponse(sessions_of(request).login(user))


def logout(request: HttpRequest) -> HttpResponse:
    sessions_of(request).logout()
    return HttpResponse()


def me(request: HttpRequest) -> HttpResponse:
    return _me(sessions_of(request).current)


def revoke_others(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(sessions_of(request).revoke_others()))


async def async_login(request: HttpRequest, user: str) -> HttpResponse:
    return HttpResponse(await sessionward.of(request).login(user))


async def async_me(request: HttpRequest) -> HttpResponse:
    return _me(sessionward.of(request).current)


urlpatterns = [
    path("login/<user>", login),
    path("logout", logout),
    path("me", me),
    path("revoke_others", revoke_others),
    path("async/login/<user>", async_login),
    path("async/me", async_me),
]
