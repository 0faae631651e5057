"""Django, configured for a session engine: once in a process, by the site that is made first."""

# Django ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, Final

import django
from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache

from tests.matrix.browser import Browser, Gate, password_of
from tests.matrix.site import Site, held

KEY: Final = "django-secret-of-the-application-with-more-than-fifty-characters-01"
INDEX: Final = "sessionward_django_index"
NEW_KEY: Final = "django-secret-of-the-application-with-more-than-fifty-characters-02"


class HeldCache(LocMemCache):  # type: ignore[misc]  # Django ships no types
    """Django's cache in memory, in which one write can be held up."""

    hold: ClassVar[tuple[str, Callable[[], None]] | None] = None
    """The end of a key, and what its next write waits for."""

    def set(self, key: str, *args: Any, **kwargs: Any) -> None:
        held = HeldCache.hold
        if held is not None and key.endswith(held[0]):
            HeldCache.hold = None
            held[1]()
        super().set(key, *args, **kwargs)


def configure(engine: str, more: Mapping[str, Any]) -> None:
    home = Path(mkdtemp(prefix="sessionward-django-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "files").mkdir()
    stated: dict[str, Any] = {
        "SECRET_KEY": KEY,
        "ALLOWED_HOSTS": ["app.example"],
        "ROOT_URLCONF": "tests.matrix.sites.django_views",
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(home / "app.db"), "OPTIONS": {"timeout": 20}}},
        "CACHES": {"default": {"BACKEND": f"{__name__}.HeldCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}},
        "INSTALLED_APPS": ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
        "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"],
        "SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}",
        "SESSION_FILE_PATH": str(home / "files"),
        "SESSION_COOKIE_SECURE": True,
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],  # it signs in some hundred times
        "USE_TZ": True,
    }
    settings.configure(**{**stated, **more})
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


class DjangoSite(Site):
    """What the engines have in common. Mode application: the backend works on Django's own sessions."""

    mode: ClassVar[str] = "application"
    on_server: ClassVar[bool] = True
    sees_all: ClassVar[bool] = True
    users: ClassVar[tuple[str, ...]] = ("zero", "seven")
    engine: ClassVar[str]
    more_settings: ClassVar[Mapping[str, Any]] = {}
    """What this project sets beside or in place of what all of them set."""
    session_cookie: ClassVar[str] = "sessionid"

    def __init__(self, place: Path) -> None:
        if not settings.configured:
            configure(self.engine, self.more_settings)
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = KEY, []
        _empty()
        super().__init__(place)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "gate" and isinstance(value, Gate):
            from tests.matrix.sites.django_views import GATES

            GATES[:] = [value]
        super().__setattr__(name, value)

    def identifier(self) -> Any:
        return None

    def stored_id(self, user: str) -> Any:
        from django.contrib.auth.models import User
        from django.db import connection

        pk = User.objects.get(username=user).pk
        connection.close()
        return pk

    def disable(self, user: str) -> None:
        self._make_active(user, False)

    def enable(self, user: str) -> None:
        self._make_active(user, True)

    def _make_active(self, user: str, active: bool) -> None:
        from django.contrib.auth.models import User
        from django.db import connection

        User.objects.filter(username=user).update(is_active=active)
        connection.close()

    def fill(self, like: Browser, user: str, number: int) -> None:
        own = import_module(settings.SESSION_ENGINE).SessionStore(like.jar()[self.session_cookie])
        self.fill_like(own, [f"{at:08d}{os.urandom(12).hex()}" for at in range(number)])

    def fill_like(self, own: Any, keys: list[str]) -> None:
        """Sessions with the data of this one, by these keys."""
        from django.contrib.sessions.models import Session
        from django.db import connection
        from django.utils import timezone

        data, expires = own.encode(own.load()), timezone.now() + timedelta(days=1)
        rows = [Session(session_key=key, session_data=data, expire_date=expires) for key in keys]
        Session.objects.bulk_create(rows, batch_size=1000)
        connection.close()

    def silent(self) -> AbstractContextManager[None]:
        from django.db import connection

        return held(Path(connection.settings_dict["NAME"]))

    def kept(self) -> str:
        """Our tables without the index, in which a digest would not do: what is revoked through it is revoked by its key."""
        from django.db import connection

        with connection.cursor() as cursor:
            rows = [row for table in _tables_of_ours(cursor) - {INDEX} for row in cursor.execute(f"SELECT * FROM {table}").fetchall()]
        connection.close()
        return "\n".join(f"{value.hex()} {value!r}" if isinstance(value, bytes) else str(value) for row in rows for value in row)

    def rotate(self) -> None:
        super().rotate()
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_KEY, [KEY]

    def mislead_the_index(self, user: str) -> None:
        from django.contrib.auth.models import User
        from django.db import connection

        digest = hashlib.sha256(str(User.objects.get(username=user).pk).encode()).hexdigest()
        with connection.cursor() as cursor:
            if INDEX in _tables_of_ours(cursor):
                cursor.execute(f'UPDATE {INDEX} SET "user" = %s', [digest])
        connection.close()

    def keys(self) -> list[str]:
        """The keys of all sessions, wherever the engine has them."""
        from django.contrib.sessions.models import Session

        return list(Session.objects.values_list("session_key", flat=True))

    def revoke_others_naively(self, cookies: Mapping[str, str]) -> int | None:
        from django.contrib.auth import SESSION_KEY, get_user
        from django.db import connection
        from django.http import HttpRequest

        store = import_module(settings.SESSION_ENGINE).SessionStore
        own = cookies.get(self.session_cookie)
        request = HttpRequest()
        request.session = store(own)
        user = get_user(request)
        if not user.is_authenticated:
            return None
        self.between()
        others = [key for key in self.keys() if key != own and store(key).get(SESSION_KEY) == str(user.pk)]
        for key in others:
            store().delete(key)
        connection.close()
        return len(others)


def _empty() -> None:
    """As on the first day, with two users."""
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session
    from django.core.cache import cache
    from django.db import connection

    Session.objects.all().delete()
    User.objects.all().delete()
    with connection.cursor() as cursor:
        for table in _tables_of_ours(cursor):
            cursor.execute(f"DELETE FROM {table}")
    cache.clear()
    for file in Path(settings.SESSION_FILE_PATH).iterdir():
        file.unlink()
    for pk, name in ((1, "ann"), (2, "bob"), (0, "zero"), (7, "seven")):
        User.objects.create_user(name, password=password_of(name), pk=pk)
    connection.close()


def _tables_of_ours(cursor: Any) -> set[str]:
    from django.db import connection

    return {table for table in connection.introspection.table_names(cursor) if table.startswith("sessionward")}
