"""The views of the Django sites for who sends a token, beside Knox's own for login and logout."""

# Django, Django REST framework and Knox ship no types.
# mypy: disable-error-code="import-untyped, misc"

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.urls import path
from knox.auth import TokenAuthentication
from knox.views import LoginView, LogoutView
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import AuthenticationFailed

from tests.matrix.sites import django_views as views

View = Callable[[HttpRequest], HttpResponse]
CARTS: dict[str, dict[str, str]] = {}
"""By the digest of a token."""


class Login(LoginView):
    authentication_classes = (BasicAuthentication,)


class Logout(LogoutView):
    authentication_classes = (TokenAuthentication,)


def by_token(view: View) -> View:
    """Knox says who asks, and there is a cart for each token."""

    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        try:
            found = TokenAuthentication().authenticate(request)
        except AuthenticationFailed:
            found = None
        request.user = AnonymousUser() if found is None else found[0]
        request.session = {} if found is None else CARTS.setdefault(found[1].digest, {})
        return view(request)

    return wrapped


urlpatterns = [
    path("login", Login.as_view()),
    path("logout", Logout.as_view()),
    *(path(pattern.pattern._route, by_token(pattern.callback)) for pattern in views.urlpatterns),
]
