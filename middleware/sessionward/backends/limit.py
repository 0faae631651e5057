"""Says in the log that a user has reached ``max_sessions``, once for each user: a thief can make sessions without number."""

from __future__ import annotations

import hashlib
import logging
from typing import Final

log = logging.getLogger("sessionward")

_REMEMBERED: Final = 10_000
"""Users that a process remembers; then it begins anew, since a log that says it twice is better than memory without end."""
_told: Final[set[str]] = set()


def tell_of_limit(user_id: str, limit: int) -> None:
    """Logs it, unless this process has done so for this user. The log holds a digest, and not the user's id."""
    digest = hashlib.sha256(user_id.encode()).hexdigest()[:8]
    if digest in _told:
        return
    if len(_told) >= _REMEMBERED:
        _told.clear()
    _told.add(digest)
    log.warning(
        "a user (SHA-256 %s) has max_sessions=%d live sessions, so each new one revokes the one that was used longest ago", digest, limit
    )
