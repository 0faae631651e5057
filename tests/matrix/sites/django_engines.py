"""Django's five session engines under WSGI, and one of them under ASGI."""

# Django ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from django.conf import settings

from tests.matrix.browser import Browser
from tests.matrix.site import ASGISite, WSGISite
from tests.matrix.sites.django_site import DjangoSite, HeldCache


class DjangoDb(DjangoSite, WSGISite):
    engine: ClassVar[str] = "db"

    def make_app(self) -> Any:
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()

    def backend(self) -> Any:
        from sessionward.backends.django import DjangoBackend

        return DjangoBackend()


class DjangoDbSaving(DjangoDb):
    """Each answer saves the session and sets its cookie, so whatever is under way at the call does."""

    more_settings: ClassVar[Mapping[str, Any]] = {"SESSION_SAVE_EVERY_REQUEST": True}


class DjangoDbASGI(DjangoSite, ASGISite):
    engine: ClassVar[str] = "db"
    revoke_all = WSGISite.revoke_all  # the backend is not async

    def make_app(self) -> Any:
        from django.core.asgi import get_asgi_application

        return get_asgi_application()

    async def backend(self) -> Any:
        from sessionward.backends.django import DjangoBackend

        return DjangoBackend()


class DjangoCachedDb(DjangoDb):
    engine: ClassVar[str] = "cached_db"
    halfway: ClassVar[tuple[str, str] | None] = ("GET", "/me")

    @contextmanager
    def held_halfway(self, victim: Browser) -> Iterator[None]:
        from django.core.cache import cache

        cache.clear()  # as an eviction does; the next request fills it from the row
        HeldCache.hold = (victim.jar()[self.session_cookie], lambda: self.gate.hold())
        yield


class DjangoCache(DjangoDb):
    engine: ClassVar[str] = "cache"
    sees_all: ClassVar[bool] = False
    halfway: ClassVar[tuple[str, str] | None] = ("POST", "/cart")

    @contextmanager
    def held_halfway(self, victim: Browser) -> Iterator[None]:
        HeldCache.hold = (victim.jar()[self.session_cookie], lambda: self.gate.hold())
        yield

    def keys(self) -> list[str]:
        from django.core.cache import cache

        prefix = ":1:django.contrib.sessions.cache"
        return [key.removeprefix(prefix) for key in list(cache._cache) if key.startswith(prefix)]

    def fill_like(self, own: Any, keys: list[str]) -> None:
        """They have come by, so they are in our index: nobody can list this cache."""
        from django.db import connection
        from django.db.transaction import atomic

        from sessionward.backends.django.index import write

        data = own.load()
        for key in keys:
            own._cache.set(own.cache_key_prefix + key, data)
        with atomic():
            write("default", [(key, data["_auth_user_id"]) for key in keys])
        connection.close()


class DjangoFile(DjangoDb):
    engine: ClassVar[str] = "file"
    halfway: ClassVar[tuple[str, str] | None] = ("POST", "/cart")

    @contextmanager
    def held_halfway(self, victim: Browser) -> Iterator[None]:
        from django.contrib.sessions.backends import file

        move = file.shutil.move

        def held(source: str, target: str) -> None:
            if target.endswith(victim.jar()[self.session_cookie]):
                self.gate.hold()
            move(source, target)

        with patch.object(file.shutil, "move", held):
            yield

    def files(self) -> set[Path]:
        return set(Path(settings.SESSION_FILE_PATH).iterdir())

    def keys(self) -> list[str]:
        return [file.name.removeprefix(self.session_cookie) for file in self.files()]

    def fill_like(self, own: Any, keys: list[str]) -> None:
        data = own.encode(own.load())
        for key in keys:
            Path(own._key_to_file(key)).write_text(data)

    def expired(self, user: str) -> Browser:
        before = self.files()
        browser = super().expired(user)
        for file in self.files() - before:
            os.utime(file, (1, 1))  # the engine counts from a file's time
        return browser


class DjangoSignedCookies(DjangoDb):
    mode: ClassVar[str] = "companion"
    on_server: ClassVar[bool] = False
    sees_all: ClassVar[bool] = False
    engine: ClassVar[str] = "signed_cookies"
    backend = WSGISite.backend
    kept = WSGISite.kept
    fill = WSGISite.fill
    silent = WSGISite.silent

    def identifier(self) -> Any:
        from sessionward.identify.django import SignedCookies

        return SignedCookies()

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        return 0
