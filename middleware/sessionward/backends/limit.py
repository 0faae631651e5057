"""Logs that a user has reached ``max_sessions``, once for each user."""

from __future__ import annotations

import logging
from functools import lru_cache

from sessionward.session.session import user_mark

log = logging.getLogger("sessionward")


@lru_cache(maxsize=10_000)
def tell_of_limit(user_id: str, limit: int) -> None:
    """Logs it, unless this process has done so for this user. The log has a digest of the user's id."""
    log.warning(
        "user %s has max_sessions=%d live sessions, so each new session of this user revokes the oldest one", user_mark(user_id), limit
    )
