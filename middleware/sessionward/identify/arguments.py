"""Checks and applies the arguments that several identifiers take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from sessionward.errors import Mistakes
from sessionward.session.identifier import checked_lifetime
from sessionward.settings import MAX_LIFETIME, seconds

UserOf: TypeAlias = str | Callable[[Mapping[str, Any]], Any]
"""Where a session holds the user's id: a key, or a function of the session. None, ``""`` and False mean an anonymous one, 0 does not."""


def duration(mistakes: Mistakes, name: str, value: object, *, least: float = 1.0) -> float:
    """Returns the argument ``name`` in seconds. If it is not a duration of at least ``least``, adds a mistake and returns 0.0."""
    try:
        return checked_lifetime(value, least=least)
    except (TypeError, ValueError) as wrong:
        mistakes.add([f"{name}: {wrong}"])
        return 0.0


def lifetime_of(value: object) -> float:
    """Returns a lifetime of the application's configuration in seconds, at most the longest that we can keep."""
    return min(seconds(value), MAX_LIFETIME)


def cookie_mistakes(name: str, cookie: str) -> Iterator[str]:
    """Yields the mistakes in the argument ``name``, which must name a cookie."""
    if not cookie:
        yield f"{name}: must be the name of a cookie"


def user_mistakes(user: object) -> Iterator[str]:
    """Yields the mistakes in the argument ``user``, which must be a :data:`UserOf`."""
    if not user or not (isinstance(user, str) or callable(user)):
        yield "user: must be the key of the user's id in the session, or a function of the session"


def user_in(session: Mapping[str, Any], user: UserOf) -> Any:
    """Returns the user's id in this session, or None if the session is anonymous. Raises what the function ``user`` raises."""
    return named_by(session.get(user) if isinstance(user, str) else user(session))


def named_by(found: Any) -> Any:
    """Returns the user's id that an application has written, or None if the value names no user.

    ``0`` is a user. Some applications sign a user out by writing ``""`` or ``False``.
    """
    is_number = isinstance(found, int) and not isinstance(found, bool)
    return found if found or is_number else None
