"""Sessions in the memory of one process: for tests, development, and applications with a single worker.

They end with the process, and other workers do not know them. No method waits, so both middlewares call the methods
directly, without a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from sessionward.backends.bounds import purgeable_age
from sessionward.backends.memory.rows import Row, Rows, moment
from sessionward.credential.token import Credential
from sessionward.errors import SessionRevoked, StaleLogin
from sessionward.process import PerProcess
from sessionward.session.page import paged
from sessionward.session.rate import judge_recent, next_call, next_raise
from sessionward.session.session import (
    ANY_TERMS,
    CLOCK_RATE,
    NEEDS_SIGN_IN,
    RAISE_PAUSE,
    CompanionStatus,
    NewSession,
    Position,
    RevokedCount,
    Session,
    SessionList,
    Terms,
    user_key,
)
from sessionward.session.use import at_once


class MemoryBackend:
    """Sessions of one process, sync, for both middlewares.

    ``clock``: a function that returns seconds since 1970; tests pass their own.

    The methods are those of :class:`~sessionward.backends.SupportsCompanions`, ``SupportsEverybody``, ``SupportsQuietRevocation``,
    ``SupportsSessionAPI``, ``SupportsSeen`` and ``SupportsMany``, which say what each does. None of them raises
    ``BackendUnavailable``. There are no leases: an answer costs less than a look at one.
    """

    blocking: ClassVar[bool] = False
    judges_limit: ClassVar[bool] = True

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._locks: PerProcess[threading.Lock] = PerProcess(lambda: threading.Lock())  # P10: one change after the other
        self._changes_begun = self._changes_ended = 0
        self._rows = Rows()

    def find(self, credential: Credential, /) -> Session | None:
        # P10: without the lock, which costs more than the look, if no change began before we have read. Else we could read one half of
        # a change: one session that it has revoked already, and then another one that it has not.
        ended = self._changes_ended
        if self._changes_begun == ended:
            session = self._rows.find(credential, self._clock())
            if self._changes_begun == ended:
                return session
        with self._locks():
            return self._rows.find(credential, self._clock())

    def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        with self._locks():
            now = self._clock()
            return [one for one in credentials if self._rows.find(one, now) is not None]

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        with self._locks():
            now = self._clock()
            live = [row.session for row in self._rows.live(user_key(user_id), now)]
            return paged(live, after=after, limit=limit, without=without, now=moment(now))

    def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float] = at_once, /
    ) -> Mapping[UUID, float]:
        with self._change() as now:
            used = now - age()
            due_again = {session.id: self._rows.use(session, idle_timeout, used, now) for session in sessions}
            return {own: seconds for own, seconds in due_again.items() if seconds is not None}

    # --- revocations

    def revoke_others(self, session: Session, /) -> RevokedCount:
        with self._change() as now:
            own = self._caller(session, now)
            others = [row for row in self._rows.of_user(session.user_id) if row is not own]
            return self._rows.revoke_many(session.user_id, others, now, by=own)

    def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> RevokedCount:
        with self._change() as now:
            own = self._caller(session, now)
            _judge_recent(own, terms, now)
            covered = [row for row in self._rows.of_user(session.user_id) if row is not own and _covers(terms, row)]
            finds_one = any(row.expires_at > now for row in covered)
            if finds_one:
                _spend(own, terms, now)
            if finds_one or self._may_raise(own, now):
                return self._rows.revoke_many(session.user_id, covered, now, by=own)
            return RevokedCount(0, self._rows.user(session.user_id).generation)

    def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        with self._change() as now:
            own = self._caller(session, now)
            _judge_recent(own, terms, now)
            row = self._rows.row(session.user_id, id)
            if row is None or row is own or not _covers(terms, row):
                return False
            is_live = row.expires_at > now
            if is_live:
                _spend(own, terms, now)
            self._rows.revoke(row)
            return is_live

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        with self._change() as now:
            row = self._rows.row(user_id, id)
            if row is None:
                return False
            self._rows.revoke(row)
            return row.expires_at > now

    def revoke_all(self, user_id: str, /) -> RevokedCount:
        with self._change() as now:
            user = user_key(user_id)
            return self._rows.revoke_many(user, self._rows.of_user(user), now, by=None)

    def revoke_everybody(self) -> None:
        with self._change() as now:
            self._rows.revoke_everybody(now)

    # --- sign-ins

    def login(self, new: NewSession, /) -> Session:
        with self._change() as now:
            revoked_at = self._rows.revoked_at(new.user_id)
            before = None if new.replaces is None else self._rows.row(new.replaces.user_id, new.replaces.id)
            if new.generation is not None:
                stale = new.generation != self._rows.generation(new.user_id)
            elif new.replaces is not None and new.replaces.user_id == new.user_id:
                stale = before is None or before.expires_at <= now
            else:
                stale = revoked_at is not None and now - revoked_at <= new.age() * CLOCK_RATE
                if revoked_at is not None and revoked_at > now:  # the clock was set back, so it is noted anew
                    self._rows.note_anew(new.user_id, now)
            if stale:  # P3
                raise StaleLogin("the user's sessions were revoked after this sign-in began; the user must sign in again")
            self._rows.refuse_beyond(new, before, now)
            if before is not None:
                self._rows.revoke(before)
            return self._rows.start(new, now, moment(now) if new.is_fresh else None)

    def begin_login(self, user_id: str, /) -> int:
        with self._locks():
            return self._rows.generation(user_id)

    # --- companions

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        with self._locks():
            return self._rows.status(user_id, app_session, self._clock())

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        with self._locks():
            return app_session in self._rows.revoked_app_sessions

    def adopt(self, new: NewSession, /) -> Session | None:
        assert new.app_session is not None
        with self._change() as now:
            status = self._rows.status(new.user_id, new.app_session, now)
            if status.companion_required:
                raise StaleLogin(NEEDS_SIGN_IN)
            return self._rows.start(new, now, None) if status.may_adopt else None  # its sign-in is unknown

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None, idle_timeout: float | None = None) -> bool:
        with self._change() as now:
            row = self._rows.row(session.user_id, session.id)
            if row is None or row.expires_at <= now:
                return False
            self._rows.extend(row, lifetime, app_session, idle_timeout, now)
            return True

    def purge(self, older_than: float | timedelta = 0.0) -> int:
        """Deletes sessions that expired more than ``older_than`` (seconds or a ``timedelta``) ago. Returns how many."""
        age = purgeable_age(older_than)
        with self._change() as now:
            return self._rows.forget_expired(now - age)

    @contextmanager
    def _change(self) -> Generator[float]:
        """Holds the lock, and makes ``find`` wait for the lock as long. Yields the time, read under the lock."""
        with self._locks():
            # Not one more than before: a child that was forked during a change of its parent has a change that never ends.
            self._changes_begun = self._changes_ended + 1
            try:
                yield self._clock()
            finally:
                self._changes_ended += 1

    def _caller(self, session: Session, now: float) -> Row:
        """Returns the caller's own row."""
        own = self._rows.row(session.user_id, session.id)
        if own is None or own.expires_at <= now:  # P2: the second look, under the lock
            raise SessionRevoked("the caller's session is not live any more")
        return own

    def _may_raise(self, own: Row, now: float) -> bool:
        """P3: whether a call that found nothing raises the generation. A stolen session can repeat the call without end."""
        revoked_at = self._rows.revoked_at(own.session.user_id)
        if revoked_at is not None and 0 <= now - revoked_at < RAISE_PAUSE:
            return False
        after = next_raise(own.raises_at, now)
        if after is not None:
            own.raises_at = after
        return after is not None


def _judge_recent(own: Row, terms: Terms, now: float) -> None:
    """Raises ``SignInTooOld`` by the terms, before anything is changed."""
    at = own.session.authenticated_at
    judge_recent(terms, authenticated_at=None if at is None else at.timestamp(), now=now)


def _spend(own: Row, terms: Terms, now: float) -> None:
    """Records a call that will revoke something. Raises ``RateLimited`` by the terms."""
    if terms.rate_limit is not None:
        own.allowed_at = next_call(own.allowed_at, now, terms.rate_limit)


def _covers(terms: Terms, row: Row) -> bool:
    return terms.impersonations or not row.is_impersonation
