"""What all stores of a Django project's sessions share: the form of a key, and the keys that allauth has recorded."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.apps import apps
from django.contrib.sessions.backends.base import VALID_KEY_CHARS

from sessionward.backends.django.users import primary_key
from sessionward.credential.token import Credential
from sessionward.session.session import public_id

Data = Mapping[str, Any]

TOO_MANY: Final = (
    "the user's sessions are among more than {limit} sessions, too many to read; raise scan_limit, or, if every process that saves"
    " sessions runs with sessionward, run `sessionward index` once"
)


class Known(NamedTuple):
    """A live session: its data, and what its row says about it. Django's own table says only when the session expires."""

    data: Data
    expires_at: datetime | None = None
    issued_at: datetime | None = None
    last_seen_at: datetime | None = None
    ip_address: str | None = None
    user_agent: str | None = None


class Page(NamedTuple):
    """A part of all sessions, in the order of their keys: the last key, how many we read, and ``(key, user id)`` where there is a user."""

    last: str | None
    looked_at: int
    named: Sequence[tuple[str, str]]


def is_key(text: str) -> bool:
    """Returns whether a key has the form of Django's keys. Django does not look up any other."""
    return 8 <= len(text) <= 128 and set(text).issubset(VALID_KEY_CHARS)


def id_of(key: str) -> UUID:
    """Returns the public id of the session with this key."""
    return public_id(Credential(key.encode("latin-1")))


def has_allauth() -> bool:
    """Returns whether allauth's ``usersessions`` records sessions."""
    return bool(apps.is_installed("allauth.usersessions"))


def keys_of_allauth(user_id: str) -> set[str]:
    """Returns the keys that allauth's ``usersessions`` has recorded. It lacks sign-ins that did not go through allauth."""
    if not has_allauth():
        return set()
    user = primary_key(user_id)
    if user is None:
        return set()
    model: Any = apps.get_model("usersessions", "UserSession")
    rows: Collection[str] = model._base_manager.filter(user_id=user).values_list("session_key", flat=True)
    return set(rows)
