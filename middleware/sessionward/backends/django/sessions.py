"""What all stores of a Django project's sessions share: what a session is, and who says whose it is."""

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
    "more than {limit} sessions would have to be looked through; raise scan_limit, or run `sessionward index` once"
    " if every process that saves sessions has sessionward in it"
)


class Page(NamedTuple):
    """A part of all sessions, in the order of their keys: its last key, how many were read, and whose they are."""

    last: str | None
    looked_at: int
    named: Sequence[tuple[str, str]]


def is_key(text: str) -> bool:
    """Whether Django itself would look this key up and could have made it."""
    return 8 <= len(text) <= 128 and set(text).issubset(VALID_KEY_CHARS)


def keys_of_allauth(user_id: str) -> set[str]:
    """The keys that allauth's ``usersessions`` has noted; it misses sign-ins that did not go through it."""
    if not apps.is_installed("allauth.usersessions"):
        return set()
    user = primary_key(user_id)
    if user is None:
        return set()
    model: Any = apps.get_model("usersessions", "UserSession")
    rows: Collection[str] = model._base_manager.filter(user_id=user).values_list("session_key", flat=True)
    return set(rows)
