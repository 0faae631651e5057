"""The views of the Django sites for who sends a session's key in a header, and allauth headless beside them."""

# Django and allauth ship no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from importlib import import_module

from allauth.headless.contrib.rest_framework.authentication import XSessionTokenAuthentication
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from tests.matrix.sites import django_views as views

View = Callable[[HttpRequest], HttpResponse]


def by_token(view: View) -> View:
    """The session of the header in place of the cookie's, as allauth's own views have it."""

    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        before = request.session
        found = XSessionTokenAuthentication().authenticate(request)
        request.user, session = (AnonymousUser(), import_module(settings.SESSION_ENGINE).SessionStore()) if found is None else found
        request.session = session
        try:
            answer = view(request)
            if session.modified and not session.is_empty():
                with suppress(UpdateError):  # revoked meanwhile: the answer goes out, with whatever key it names
                    session.save()
        finally:
            request.session = before
        return answer

    return wrapped


urlpatterns = [
    *(path(pattern.pattern._route, by_token(pattern.callback)) for pattern in views.urlpatterns),
    path("_allauth/", include("allauth.headless.urls")),
]
