"""Logs that a user has reached ``max_sessions``, once for each user."""

from __future__ import annotations

import logging
from typing import Final

from sessionward.session.session import user_mark

log = logging.getLogger("sessionward")

_REMEMBERED: Final = 10_000
"""The most users that a process remembers. After that it forgets them all, so that its memory is bounded."""
_told: Final[set[str]] = set()


def tell_of_limit(user_id: str, limit: int) -> None:
    """Logs it, unless this process has done so for this user. The log has a digest of the user's id."""
    mark = user_mark(user_id)
    if mark in _told:
        return
    if len(_told) >= _REMEMBERED:
        _told.clear()
    _told.add(mark)
    log.warning("user %s has max_sessions=%d live sessions, so each new session of this user revokes the oldest one", mark, limit)
