"""Arguments that several identifiers take: how they are checked and used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from sessionward.errors import Mistakes
from sessionward.session.identifier import checked_lifetime
from sessionward.settings import MAX_LIFETIME, seconds

UserOf: TypeAlias = str | Callable[[Mapping[str, Any]], Any]
"""Where a session holds the user's id: a key, or a function of the session. None, ``""`` and False mean an anonymous one, 0 does not."""


def duration(mistakes: Mistakes, name: str, value: object, *, least: float = 1.0) -> float:
    """The argument ``name`` in seconds. Adds a mistake and returns 0.0 if it is no duration, or shorter than ``least``."""
    try:
        return checked_lifetime(value, least=least)
    except (TypeError, ValueError) as wrong:
        mistakes.add([f"{name}: {wrong}"])
        return 0.0


def lifetime_of(value: object) -> float:
    """What an application's own configuration says of a lifetime, in seconds; one of decades is cut to what we can keep."""
    return min(seconds(value), MAX_LIFETIME)


def cookie_mistakes(name: str, cookie: str) -> Iterator[str]:
    """What is wrong with the argument ``name``, which names a cookie."""
    if not cookie:
        yield f"{name}: must be the name of a cookie"


def user_mistakes(user: object) -> Iterator[str]:
    """What is wrong with the argument ``user``, a :data:`UserOf`."""
    if not user or not (isinstance(user, str) or callable(user)):
        yield "user: must be the key of the user's id in the session, or a function of the session"


def user_in(session: Mapping[str, Any], user: UserOf) -> Any:
    """The user's id in this session, None if the session is anonymous. Raises what the function ``user`` raises."""
    return named_by(session.get(user) if isinstance(user, str) else user(session))


def named_by(found: Any) -> Any:
    """The user's id that an application has written, or None if it means nobody.

    ``0`` is a user. Some applications sign a user out by writing ``""`` or ``False``.
    """
    is_number = isinstance(found, int) and not isinstance(found, bool)
    return found if found or is_number else None
