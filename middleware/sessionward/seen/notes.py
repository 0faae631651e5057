"""Notes the sessions that one middleware accepts, each at most once in a pause, for the commonest request at the price of one look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from time import monotonic
from typing import Final
from uuid import UUID

from sessionward.context import Context
from sessionward.drive import SyncDriver
from sessionward.errors import SessionwardError
from sessionward.session.session import Session
from sessionward.session.step import Flow
from sessionward.session.steps import NoteSeen
from sessionward.session.use import at_once, seen_pause

MAX_KEPT: Final = 50_000
"""How many sessions a worker remembers to have noted. Beyond it, it notes one again before it is due, which writes nothing."""


class Seen:
    """Notes the sessions that one middleware accepts."""

    def __init__(self, idle_timeout: float | None) -> None:
        self._idle_timeout = idle_timeout
        self._pause = seen_pause(idle_timeout)
        self._again: dict[int, float] = {}
        """By the id of a session: when it is due again, by the monotonic clock. Threads share it: each change is one operation."""

    def note(self, session: Session, moment: float) -> None:
        """Notes that a session was used. ``moment``: when, by the monotonic clock."""
        own = session.id.int  # its hash costs a fifth of that of the UUID
        if moment >= self._again.get(own, 0.0) and self._wait(session):
            self._put_off(own, moment + self._pause)

    def note_in(self, context: Context, moment: float) -> None:
        """Notes the session that a request has used, if there is one. A session that only an assertion names is noted by the sidecar."""
        if context.session is not None and context.credential is not None:
            self.note(context.session, moment)

    async def flush(self) -> None:
        """Records what waits, at the end of a server."""
        raise NotImplementedError

    def _wait(self, session: Session) -> bool:
        """Has a session recorded soon. Returns False if there is no room."""
        raise NotImplementedError

    def _put_off(self, own: int, until: float) -> None:
        self._again.pop(own, None)  # so that it becomes the youngest
        self._again[own] = until
        if len(self._again) > MAX_KEPT:
            with suppress(StopIteration, RuntimeError, KeyError):  # another thread is dropping one
                del self._again[next(iter(self._again))]

    def _question(self, sessions: Collection[Session], age: Callable[[], float]) -> Flow[Mapping[UUID, float]]:
        return (yield from NoteSeen(sessions, self._idle_timeout, age))

    def _answered(self, began: float, due_again: Mapping[UUID, float]) -> None:
        for own, seconds in due_again.items():
            self._put_off(own.int, began + seconds)

    def _forget(self, sessions: Collection[Session]) -> None:
        """The next use of these sessions notes them again. If a record has failed, the driver has logged it."""
        for session in sessions:
            self._again.pop(session.id.int, None)


class AtOnce(Seen):
    """For a backend that never waits."""

    def __init__(self, idle_timeout: float | None, driver: SyncDriver) -> None:
        super().__init__(idle_timeout)
        self._driver = driver

    async def flush(self) -> None:
        """Nothing waits."""

    def _wait(self, session: Session) -> bool:
        began = monotonic()
        with suppress(SessionwardError):
            self._answered(began, self._driver(self._question([session], at_once)))
        return False  # the answer has said when it is due again
