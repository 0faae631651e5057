"""The routes of the site with Knox: its own views for login and logout, and three that look at who is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import DatabaseError  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]
from django.utils.timezone import now  # type: ignore[import-untyped]
from knox.views import LoginView, LogoutView  # type: ignore[import-untyped]
from rest_framework.authentication import BasicAuthentication  # type: ignore[import-untyped]
from rest_framework.permissions import IsAuthenticated  # type: ignore[import-untyped]
from rest_framework.response import Response  # type: ignore[import-untyped]
from rest_framework.views import APIView  # type: ignore[import-untyped]

meanwhile: list[Callable[[], Any]] = []
"""What happens in the middle of the next ``GET /reads`` or ``GET /writes``."""


class Login(LoginView):  # type: ignore[misc]
    authentication_classes = (BasicAuthentication,)


class Me(APIView):  # type: ignore[misc]
    permission_classes = (IsAuthenticated,)

    def get(self, request: Any) -> Response:
        return Response(request.user.username)


class Reads(Me):
    """Somebody ends this session while the request is on its way."""

    def get(self, request: Any) -> Response:
        _meanwhile()
        return super().get(request)


class Writes(Me):
    """The same, and then the token is given a longer life, as Knox does with AUTO_REFRESH."""

    def get(self, request: Any) -> Response:
        _meanwhile()
        request.auth.expiry = now()
        try:
            request.auth.save(update_fields=("expiry",))
        except DatabaseError:
            return Response("stale")
        return Response("written")


def _meanwhile() -> None:
    meanwhile.pop()()


urlpatterns = [
    path("login", Login.as_view()),
    path("logout", LogoutView.as_view()),
    path("me", Me.as_view()),
    path("reads", Reads.as_view()),
    path("writes", Writes.as_view()),
]
