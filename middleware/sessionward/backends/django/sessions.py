"""What all stores of a Django project's sessions share: the form of a key, and the keys that allauth has recorded."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.contrib.sessions.backends.base import VALID_KEY_CHARS

from sessionward.backends.django.users import primary_key

Data = Mapping[str, Any]

TOO_MANY: Final = (
    "the user's sessions are among more than {limit} sessions, too many to read; raise scan_limit, or, if every process that saves"
    " sessions runs with sessionward, run `sessionward index` once"
)


class Page(NamedTuple):
    """A part of all sessions, in the order of their keys: the last key, how many we read, and ``(key, user id)`` where there is a user."""

    last: str | None
    looked_at: int
    named: Sequence[tuple[str, str]]


def is_key(text: str) -> bool:
    """Returns whether a key has the form of Django's keys. Django does not look up any other."""
    return 8 <= len(text) <= 128 and set(text).issubset(VALID_KEY_CHARS)


def keys_of_allauth(user_id: str) -> set[str]:
    """Returns the keys that allauth's ``usersessions`` has recorded. It lacks sign-ins that did not go through allauth."""
    if not apps.is_installed("allauth.usersessions"):
        return set()
    user = primary_key(user_id)
    if user is None:
        return set()
    model: Any = apps.get_model("usersessions", "UserSession")
    rows: Collection[str] = model._base_manager.filter(user_id=user).values_list("session_key", flat=True)
    return set(rows)
