"""What waits to be recorded, in one process or one event loop."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sessionward.process import clock
from sessionward.session.session import Session

LATEST: Final = 5.0
"""Seconds after which a use that waits is dropped. All of a batch are recorded as of the oldest, and end as much too early."""
STUCK: Final = 2.5
"""Seconds after which a thread that has not come for what waits does not run, as in uWSGI without ``--enable-threads``."""
DOES_WITHOUT: Final = 3600.0
"""Seconds for which a request then records by itself."""
BATCH: Final = 500
"""How many sessions one question records."""
MAX_WAITING: Final = 10_000
"""How many sessions wait to be recorded. More are dropped."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sessions to be recorded together. ``since``: when the use of the oldest was noted."""

    sessions: Sequence[Session]
    since: float

    def age(self) -> float:
        """Returns how many seconds ago that was: each of them has been used since then."""
        return clock() - self.since


class Waiting:
    """What waits in one process to be recorded, or in one event loop.

    ``is_running``: whether a thread or a timer will come for it. ``is_recording``: whether the thread waits for the backend.
    """

    def __init__(self) -> None:
        self.is_running = self.is_recording = False
        self._lock = threading.Lock()
        self._sessions: dict[int, tuple[float, Session]] = {}
        """By the id: since when a session waits, the oldest first."""
        self._without_until = 0.0

    def add(self, session: Session) -> bool:
        """Returns False if there is no room."""
        with self._lock:
            if len(self._sessions) >= MAX_WAITING:
                return False
            self._sessions.pop(session.id.int, None)  # so that it becomes the youngest
            self._sessions[session.id.int] = (clock(), session)
            return True

    def late(self) -> Sequence[Session]:
        """Returns those that have waited too long, which wait no more."""
        with self._lock:
            keys = [key for key, (since, _) in self._sessions.items() if clock() - since > LATEST]
            return [self._sessions.pop(key)[1] for key in keys]

    def is_stuck(self) -> bool:
        """Returns whether nothing comes for the sessions, so that the caller must record them."""
        with self._lock:
            now = clock()
            since = next((since for since, _ in self._sessions.values()), now)
            if now - since > STUCK and not self.is_recording:
                self._without_until = now + DOES_WITHOUT
            return now < self._without_until

    def take(self) -> Batch | None:
        """Returns the next batch, which waits no more, or None if nothing waits."""
        with self._lock:
            taken = [self._sessions.pop(key) for key in list(islice(self._sessions, BATCH))]
            return Batch([session for _, session in taken], taken[0][0]) if taken else None

    def drop(self) -> Sequence[Session]:
        """Returns all, which wait no more."""
        with self._lock:
            dropped, self._sessions = self._sessions, {}
            return [session for _, session in dropped.values()]

    def begins(self) -> bool:
        """Returns whether the caller must start what comes for the sessions."""
        with self._lock:
            begins, self.is_running = not self.is_running, True
            return begins

    def ends(self) -> bool:
        """Returns whether nothing waits. Then the next one that comes must start it again."""
        with self._lock:
            self.is_running = bool(self._sessions)
            return not self.is_running
