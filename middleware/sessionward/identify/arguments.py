"""Checks and applies the arguments that several identifiers take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from sessionward.errors import Mistakes
from sessionward.settings import seconds

UserOf: TypeAlias = str | Callable[[Mapping[str, Any]], Any]
"""Where a session holds the user's id: a key, or a function of the session. None and ``""`` mean an anonymous session."""


def duration(mistakes: Mistakes, name: str, value: object) -> float:
    """Returns the argument ``name`` in seconds. If it is not a duration, adds a mistake and returns 0.0."""
    try:
        return seconds(value)
    except TypeError as wrong:
        mistakes.add([f"{name}: {wrong}"])
        return 0.0


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
    found = session.get(user) if isinstance(user, str) else user(session)
    return found or None  # some applications sign a user out by writing "" or False
