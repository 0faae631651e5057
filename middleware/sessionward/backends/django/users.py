"""Says which user a Django session signs in, as ``django.contrib.auth.get_user`` does, but without its side effects.

``get_user()`` changes the session's key if a fallback secret signed it, and empties the session if the password has changed.
A middleware cannot send Django's new cookie, so a call of ``get_user()`` would sign the caller out.
"""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare


class Users:
    """Looks up each user once. Make a new one for each question."""

    __slots__ = ("_found", "_hold")

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Any] = {}
        self._hold: dict[tuple[str, str, object], bool] = {}

    def authenticated_user(self, data: Mapping[str, Any]) -> str | None:
        """Returns the id of the user whom a session with these data signs in, as a ``str``, or None if the session is anonymous."""
        named = claimed_user(data)
        if named is None:
            return None
        path = str(data.get(BACKEND_SESSION_KEY))
        if path not in settings.AUTHENTICATION_BACKENDS:
            return None
        if (path, named) not in self._found:
            self._found[path, named] = _user(path, named)
        user = self._found[path, named]
        if user is None:
            return None
        return named if self._holds(path, named, user, data.get(HASH_SESSION_KEY)) else None

    def is_live(self, data: Mapping[str, Any]) -> bool:
        """Returns whether a session counts: it signs its user in, or would do so if the account were enabled again."""
        named, path = claimed_user(data), str(data.get(BACKEND_SESSION_KEY))
        if named is None or path not in settings.AUTHENTICATION_BACKENDS:
            return False
        if self.authenticated_user(data) is not None:
            return True
        if (ANYBODY, named) not in self._found:
            self._found[ANYBODY, named] = _anybody(named)
        user = self._found[ANYBODY, named]
        return user is not None and self._holds(ANYBODY, named, user, data.get(HASH_SESSION_KEY))

    def _holds(self, path: str, named: str, user: Any, session_hash: object) -> bool:
        looked_at = path, named, session_hash
        if looked_at not in self._hold:
            self._hold[looked_at] = _hash_holds(user, session_hash)
        return self._hold[looked_at]


ANYBODY: Final = ""
"""Replaces the path of an authentication backend: any user's row, enabled or not."""


def primary_key(named: str) -> Any:
    """Returns a user's id in the type of the primary key, or None if it does not fit."""
    try:
        return get_user_model()._meta.pk.to_python(named)
    except ValidationError:
        return None


def _anybody(named: str) -> Any:
    key = primary_key(named)
    return None if key is None else get_user_model()._base_manager.filter(pk=key).first()


def _user(path: str, named: str) -> Any:
    """Returns the user that the authentication backend finds, or None, also if the id does not fit the type of the primary key."""
    user_id = primary_key(named)
    return None if user_id is None else load_backend(path).get_user(user_id)


def claimed_user(data: Mapping[str, Any]) -> str | None:
    """Returns the user's id in a session, even if Django does not accept the session any more."""
    user_id = data.get(SESSION_KEY)
    return None if user_id is None else str(user_id)


def _hash_holds(user: Any, session_hash: object) -> bool:
    """Returns whether the session was made with the user's current password, by the current secret or a fallback."""
    if not hasattr(user, "get_session_auth_hash"):
        return True  # Django does the same for user models without a session hash
    if not isinstance(session_hash, str) or not session_hash:
        return False
    if constant_time_compare(session_hash, user.get_session_auth_hash()):
        return True
    fallbacks: Any = getattr(user, "get_session_auth_fallback_hash", None)
    return fallbacks is not None and any(constant_time_compare(session_hash, known) for known in fallbacks())
