"""A Django project: sessions in its database, or in signed cookies. ``python -m tests.sidecar.apps.django_shop`` makes its tables."""

from __future__ import annotations

import os
from typing import Any

import django  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.core.management import call_command  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.sidecar.apps.django_settings")


def sign_in(request: HttpRequest, user: str) -> HttpResponse:
    from django.contrib.auth import get_user_model, login  # type: ignore[import-untyped]

    model: Any = get_user_model()
    found, _ = model.objects.get_or_create(username=user)
    login(request, found, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse("welcome")


def sign_out(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import logout

    logout(request)
    return HttpResponse("bye")


def me(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    return HttpResponse(user.username if user.is_authenticated else "nobody")


urlpatterns = [path("in/<str:user>", sign_in), path("out", sign_out), path("", me)]

if __name__ == "__main__":
    django.setup()
    call_command("migrate", verbosity=0)
elif os.environ.get("DJANGO_SHOP_SERVES"):
    application = get_wsgi_application()
    assert settings.configured
