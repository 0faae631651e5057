"""Knox behind Django REST framework: tokens in ``Authorization: Token``, and their digests in a table of the application's."""

# Django and Knox ship no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import httpx2
from django.conf import settings

from tests.matrix.browser import Browser
from tests.matrix.site import KEEPS_ITS_ID, UNSIGNED
from tests.matrix.sites.django_engines import DjangoDb
from tests.matrix.sites.in_header import InHeader


class Knox(InHeader, DjangoDb):
    scheme: ClassVar[str] = "Token "
    chosen_id: ClassVar[str] = "f" * 64
    keeps_anonymous: ClassVar[bool] = False
    excuses: ClassVar[Mapping[str, str]] = {**KEEPS_ITS_ID, **UNSIGNED}
    more_settings: ClassVar[Mapping[str, Any]] = {
        "ROOT_URLCONF": "tests.matrix.sites.django_knox_views",
        "INSTALLED_APPS": [
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "rest_framework",
            "knox",
        ],
        "MIDDLEWARE": [],
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    }

    def backend(self) -> Any:
        from sessionward.backends.table import Expires, TableBackend, sha512

        return TableBackend(
            f"sqlite:///{settings.DATABASES['default']['NAME']}",
            "knox_authtoken",
            key="digest",
            user="user_id",
            header="Authorization",
            scheme="Token",
            transform=sha512,
            expires=Expires.at("expiry"),
        )

    def asked(self, request: httpx2.Request) -> httpx2.Request:
        if request.url.path == "/login":
            form = dict(parse_qsl(request.content.decode()))
            request.headers["Authorization"] = "Basic " + b64encode(f"{form['username']}:{form['password']}".encode()).decode()
        return request

    def token_in(self, request: httpx2.Request, answer: httpx2.Response) -> str | None:
        if request.url.path == "/login" and answer.status_code == 200:
            return str(answer.json()["token"])
        return super().token_in(request, answer)

    def fill(self, like: Browser, user: str, number: int) -> None:
        from django.db import connection
        from django.utils import timezone
        from knox.models import AuthToken

        row = {"user_id": self.stored_id(user), "expiry": timezone.now() + timedelta(days=1)}
        AuthToken.objects.bulk_create([AuthToken(digest=os.urandom(64).hex(), **row) for _ in range(number)], batch_size=1000)
        connection.close()

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        from django.db import connection
        from knox.crypto import hash_token
        from knox.models import AuthToken

        own = AuthToken.objects.filter(digest=hash_token(cookies[self.session_cookie])).first()
        if own is None:
            return None
        self.between()
        count, _ = AuthToken.objects.filter(user=own.user).exclude(digest=own.digest).delete()
        connection.close()
        return int(count)
