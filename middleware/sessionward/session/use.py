"""The last use of a session: how often a backend records it, and what the record may change.

With an idle limit, the end of a session moves with its use. The backend keeps the next end in ``expires_at``, so that whatever asks
whether a session is live need not know of the limit. No request waits for a record. It may be lost, and then the
session ends early, and never late.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol
from uuid import UUID

from sessionward.session.backend import AsyncBackend, Backend
from sessionward.session.session import Session

SEEN_PAUSE: Final = 60.0
"""Seconds between two records of the last use of one session: the most that ``last_seen_at`` is behind."""
SEEN_PARTS: Final = 10
"""With an idle limit, a tenth of it, if that is less: a session then ends early by at most a tenth of the limit."""
TOO_LATE: Final = 5.0
"""Seconds before its end from which no use is recorded any more. A record takes effect with its commit: a later one could make a
session live again that a worker has read as expired (P6)."""


def at_once() -> float:
    """The age of a use that is recorded at once."""
    return 0.0


class SupportsSeen(Backend, Protocol):
    """A backend that keeps when each session was used last, for ``api=True`` and ``idle_timeout``."""

    def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float] = at_once, /
    ) -> Mapping[UUID, float]:
        """Records that these sessions have been used, those that are still live and whose record was ``seen_pause`` seconds old then.

        ``age``: returns how many seconds ago they were used. The backend asks it after it has read its own clock, so that no wait makes
        the record later than the use.

        With ``idle_timeout``, such a session then ends as many seconds after its use, but never later than at its ``ends_at``. It
        never makes a session live again, and leaves one alone that ends within ``TOO_LATE`` seconds. It waits for no lock on a session.

        Returns, for each that is still live, in how many seconds it is due again: 0.0 if another change holds it.
        """
        ...


class AsyncSupportsSeen(AsyncBackend, Protocol):
    """Like :class:`SupportsSeen`, but async."""

    async def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float] = at_once, /
    ) -> Mapping[UUID, float]: ...


def seen_pause(idle_timeout: float | None) -> float:
    """Returns the seconds between two records of the last use of one session."""
    return SEEN_PAUSE if idle_timeout is None else min(SEEN_PAUSE, idle_timeout / SEEN_PARTS)
