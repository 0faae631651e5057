"""Django's ``signed_cookies`` engine: the whole session is in the cookie, so a copy of the cookie still signs in after a logout.

The engines that keep sessions on the server need no identifier: ``sessionward.backends.django`` works on them directly.
"""

# Django ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, Final, cast

from django.conf import settings  # type: ignore[import-untyped]
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend  # type: ignore[import-untyped]
from django.contrib.sessions.backends import signed_cookies  # type: ignore[import-untyped]
from django.core import signing  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured, ValidationError  # type: ignore[import-untyped]
from django.db import Error, close_old_connections, connections  # type: ignore[import-untyped]
from django.utils.crypto import constant_time_compare  # type: ignore[import-untyped]

from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.identify.arguments import lifetime_of
from sessionward.session.identifier import Identity

_SALT: Final = "django.contrib.sessions.backends.signed_cookies"


class SignedCookies:
    """Says which user the session cookie of a Django site signs in, under ``django.contrib.sessions.backends.signed_cookies``.

    It takes everything from Django's settings, so make it after ``get_wsgi_application()`` or ``get_asgi_application()``.

    Each request fetches the user and compares the session's hash, as Django does. A cookie from before a change of the
    password must not get a companion, and the signature does not show whether it is one. We never call ``get_user()``: it
    would rotate or empty the session, and a middleware cannot send Django's new cookie.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: ClassVar[bool] = True
    server_side: ClassVar[bool] = False

    def __init__(self) -> None:
        try:
            engine: str = settings.SESSION_ENGINE
            store: Any = import_module(engine).SessionStore
        except ImproperlyConfigured:
            raise ConfigurationError("identify: Django is not set up yet; make SignedCookies() after get_wsgi_application()") from None
        if not issubclass(store, signed_cookies.SessionStore):
            raise ConfigurationError(
                f"identify: SESSION_ENGINE is {engine}, which keeps sessions on the server; use sessionward.backends.django.DjangoBackend"
            )
        self._store = store()
        self.cookies = (cast("str", settings.SESSION_COOKIE_NAME),)
        self.samesite = str(settings.SESSION_COOKIE_SAMESITE or "").lower()
        self.lifetime = lifetime_of(self._store.get_session_cookie_age())

    def __repr__(self) -> str:
        return f"SignedCookies(cookies={list(self.cookies)})"

    def identify(self, name: str, value: str, /) -> Identity | None:  # noqa: ARG002 - there is one cookie
        """Returns the user that this cookie signs in.

        Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the database raises.
        """
        session = self._load(value)
        try:
            user_id, path = session[SESSION_KEY], session[BACKEND_SESSION_KEY]
        except KeyError:
            return None
        if path not in settings.AUTHENTICATION_BACKENDS or not _holds(session.get(HASH_SESSION_KEY), _user(path, user_id)):
            raise InvalidCredential("Django no longer accepts the user of the session")
        return Identity(user_id=user_id)

    def _load(self, value: str) -> dict[str, Any]:
        age = self._store.get_session_cookie_age()
        try:
            session: Any = signing.loads(value, serializer=self._store.serializer, max_age=age, salt=_SALT)
        except Exception:  # the engine, too, begins a new session at any exception
            raise InvalidCredential("the session cookie is forged or expired") from None
        if not isinstance(session, dict):
            raise InvalidCredential("the session cookie does not hold a session")
        return cast("dict[str, Any]", session)


def _user(path: str, user_id: str) -> Any:
    """Returns the user that the authentication backend of the login finds, or None if the user is deleted or inactive."""
    busy = any(connection.connection is not None for connection in connections.all(initialized_only=True))
    try:
        key = cast("Any", get_user_model())._meta.pk.to_python(user_id)
        return load_backend(path).get_user(key)
    except ValidationError:
        return None
    except Error:
        close_old_connections()  # otherwise a broken connection would fail every later request of this thread
        raise
    finally:
        # Django closes connections at the end of its own requests, and this may not be one. A connection that was open
        # before may be in use by a response.
        if not busy:
            close_old_connections()


def _holds(session_hash: str | None, user: Any) -> bool:
    """Returns whether the login was made with the user's current password, under the current secret or a fallback."""
    if user is None:
        return False
    if not hasattr(user, "get_session_auth_hash"):
        return True
    if not session_hash:
        return False
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(session_hash, each) for each in hashes)
