"""allauth headless: its client ``app`` signs in with JSON, and sends its session's key in ``X-Session-Token``."""

# Django and allauth ship no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import httpx2

from tests.matrix.sites.django_engines import DjangoCachedDb, DjangoDb
from tests.matrix.sites.in_header import InHeader

APP = "/_allauth/app/v1/auth"


class HeadlessDb(InHeader, DjangoDb):
    header: ClassVar[str] = "X-Session-Token"
    keeps_anonymous: ClassVar[bool] = False
    chosen_id: ClassVar[str] = "f" * 32
    more_settings: ClassVar[Mapping[str, Any]] = {
        "ROOT_URLCONF": "tests.matrix.sites.django_headless_views",
        "INSTALLED_APPS": [
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "django.contrib.messages",
            "allauth",
            "allauth.account",
            "allauth.headless",
        ],
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"context_processors": []}}],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_RATE_LIMITS": False,
    }

    def asked(self, request: httpx2.Request) -> httpx2.Request:
        headers = {name: value for name, value in request.headers.multi_items() if name in ("cookie", "origin", "x-session-token")}
        if request.url.path == "/login":
            form = dict(parse_qsl(request.content.decode()))
            body = {"username": form["username"], "password": form["password"]}
            headers.pop("x-session-token", None)  # a client that is signed in gets 409
            return httpx2.Request("POST", request.url.copy_with(path=f"{APP}/login"), headers=headers, json=body)
        if request.url.path == "/logout":
            return httpx2.Request("DELETE", request.url.copy_with(path=f"{APP}/session"), headers=headers)
        return request

    def token_in(self, request: httpx2.Request, answer: httpx2.Response) -> str | None:
        if request.url.path == "/login" and answer.status_code == 200:
            return str(json.loads(answer.text)["meta"]["session_token"])
        if request.url.path == "/logout":
            assert answer.status_code == 401, answer.text  # how it says that nobody is signed in now
            answer.status_code = 200
        return super().token_in(request, answer)


class HeadlessCachedDb(HeadlessDb, DjangoCachedDb):
    pass
