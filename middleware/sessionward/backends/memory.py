"""Sessions in the memory of one process: for tests, development, and applications with a single worker.

They end with the process, and other workers do not know them. No method waits, so both middlewares call the methods
directly, without a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar, Final
from uuid import UUID, uuid4

from sessionward.backends.limit import tell_of_limit
from sessionward.credential.token import Credential
from sessionward.errors import SessionRevoked, StaleLogin
from sessionward.process import PerProcess
from sessionward.session.session import (
    ADOPTION_PAUSE,
    CLOCK_RATE,
    MAX_ADOPTIONS,
    RAISE_PAUSE,
    CompanionStatus,
    NewSession,
    RevokedCount,
    Session,
    next_raise,
    user_key,
)

SWEEP_FROM: Final = 1_000
"""The number of sessions from which a sign-in looks for expired ones."""
KEPT: Final = 31 * 86_400.0
"""Seconds after its end for which a revoked session of the application is remembered."""


@dataclass(slots=True)
class _User:
    generation: int = 0
    revoked_at: float | None = None
    companion_required: bool = False


@dataclass(slots=True)
class _Row:
    session: Session
    digest: bytes
    expires_at: float
    raises_at: float | None = None
    """The time that represents its raises of the last hour (:func:`~sessionward.session.session.next_raise`)."""


class MemoryBackend:
    """Sessions of one process, sync, for both middlewares.

    ``clock``: a function that returns seconds since 1970; tests pass their own.

    The methods are those of :class:`~sessionward.backends.SupportsCompanions`, which says what each does. None of them raises
    ``BackendUnavailable``.
    """

    blocking: ClassVar[bool] = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._locks: PerProcess[threading.Lock] = PerProcess(lambda: threading.Lock())  # P10: one change after the other
        self._by_digest: dict[bytes, _Row] = {}
        self._by_user: dict[str, dict[UUID, _Row]] = {}
        self._users: dict[str, _User] = {}
        self._revoked_app_sessions: dict[bytes, float] = {}
        self._sweep_at = SWEEP_FROM

    def find(self, credential: Credential, /) -> Session | None:
        with self._locks():
            row = self._by_digest.get(credential.digest)
            return row.session if row is not None and row.expires_at > self._clock() else None

    def revoke_others(self, session: Session, /) -> RevokedCount:
        with self._locks():
            return self._revoke(session.user_id, keep=self._live(session))

    def revoke_others_quietly(self, session: Session, /) -> RevokedCount:
        with self._locks():
            own, now = self._live(session), self._clock()
            others = self._by_user[session.user_id].values()
            if any(row is not own and row.expires_at > now for row in others) or self._may_raise(own, now):
                return self._revoke(session.user_id, keep=own)
            return RevokedCount(0, self._users[session.user_id].generation)

    def login(self, new: NewSession, /) -> Session:
        with self._locks():
            now = self._clock()
            user = self._users.setdefault(new.user_id, _User())
            before = None if new.replaces is None else self._row(new.replaces.user_id, new.replaces.id)
            if new.generation is not None:
                stale = new.generation != user.generation
            elif new.replaces is not None and new.replaces.user_id == new.user_id:
                stale = before is None or before.expires_at <= now
            else:
                stale = user.revoked_at is not None and now - user.revoked_at <= new.age() * CLOCK_RATE
                if user.revoked_at is not None and user.revoked_at > now:  # the clock was set back, so it is noted anew
                    user.revoked_at = now
            if stale:  # P3
                raise StaleLogin("the user's sessions were revoked after this sign-in began; the user must sign in again")
            if before is not None:
                self._require_companions(before)
                self._forget(before)
            return self._start(new, now)

    def begin_login(self, user_id: str, /) -> int:
        with self._locks():
            user = self._users.get(user_id)
            return user.generation if user is not None else 0

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        with self._locks():
            row = self._row(user_id, id)
            if row is None:
                return False
            self._require_companions(row)
            self._forget(row)
            return row.expires_at > self._clock()

    def revoke_all(self, user_id: str, /) -> RevokedCount:
        with self._locks():
            return self._revoke(user_key(user_id), keep=None)

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        with self._locks():
            return self._status(user_id, app_session)

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        with self._locks():
            return app_session in self._revoked_app_sessions

    def adopt(self, new: NewSession, /) -> Session | None:
        assert new.app_session is not None
        with self._locks():
            status = self._status(new.user_id, new.app_session)
            if status.companion_required:
                raise StaleLogin("the user's sessions were revoked; only a new sign-in makes a companion")
            return self._start(new, self._clock()) if status.may_adopt else None

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None) -> bool:
        with self._locks():
            now = self._clock()
            row = self._row(session.user_id, session.id)
            if row is None or row.expires_at <= now:
                return False
            row.expires_at = max(row.expires_at, now + lifetime)
            moved = row.session.app_session if app_session is None else app_session
            row.session = replace(row.session, expires_at=datetime.fromtimestamp(row.expires_at, UTC), app_session=moved)
            return True

    def list(self, user_id: str, /) -> Sequence[Session]:
        """Returns the live sessions of a user, newest first."""
        with self._locks():
            rows = list(self._by_user.get(user_key(user_id), {}).values())
            return [row.session for row in reversed(rows) if row.expires_at > self._clock()]

    def purge(self, older_than: float = 0.0) -> int:
        """Deletes sessions that expired more than ``older_than`` seconds ago. Returns how many."""
        with self._locks():
            limit = self._clock() - older_than
            return self._forget_expired(limit)

    def _row(self, user_id: str, id: UUID) -> _Row | None:
        return self._by_user.get(user_id, {}).get(id)

    def _live(self, session: Session) -> _Row:
        """Returns the caller's own row."""
        own = self._row(session.user_id, session.id)
        if own is None or own.expires_at <= self._clock():  # P2: the second look, under the lock
            raise SessionRevoked("the caller's session is not live any more")
        return own

    def _may_raise(self, own: _Row, now: float) -> bool:
        """P3: whether a call that found nothing raises the generation. A stolen session can repeat the call without end."""
        user = self._users[own.session.user_id]
        if user.revoked_at is not None and 0 <= now - user.revoked_at < RAISE_PAUSE:
            return False
        after = next_raise(own.raises_at, now)
        if after is not None:
            own.raises_at = after
        return after is not None

    def _start(self, new: NewSession, now: float) -> Session:
        self._make_room(new, now)
        if len(self._by_digest) + len(self._revoked_app_sessions) >= self._sweep_at:
            self._sweep(now)
        at = datetime.fromtimestamp(now, UTC)
        session = Session(
            id=uuid4(),
            user_id=new.user_id,
            issued_at=at,
            authenticated_at=at,
            expires_at=datetime.fromtimestamp(now + new.lifetime, UTC),
            generation=self._users.setdefault(new.user_id, _User()).generation,
            app_session=new.app_session,
        )
        row = _Row(session, new.digest, now + new.lifetime)
        self._by_digest[new.digest] = row
        self._by_user.setdefault(new.user_id, {})[session.id] = row
        return session

    def _make_room(self, new: NewSession, now: float) -> None:
        """Revokes the oldest sessions of the user until one more is allowed. It requires no companions: an evicted one is adopted again."""
        if new.max_sessions is None:
            return
        live = [row for row in self._by_user.get(new.user_id, {}).values() if row.expires_at > now]
        for row in live[: max(0, len(live) + 1 - new.max_sessions)]:
            self._forget(row)
            tell_of_limit(new.user_id, new.max_sessions)

    def _sweep(self, now: float) -> None:
        """Forgets what has expired, so that memory does not grow without end. The cost is constant for each sign-in on average."""
        self._forget_expired(now)
        self._revoked_app_sessions = {digest: until for digest, until in self._revoked_app_sessions.items() if until > now}
        self._sweep_at = max(SWEEP_FROM, 2 * (len(self._by_digest) + len(self._revoked_app_sessions)))

    def _forget_expired(self, limit: float) -> int:
        expired = [row for row in self._by_digest.values() if row.expires_at <= limit]
        for row in expired:
            self._forget(row)
        return len(expired)

    def _status(self, user_id: str, app_session: bytes) -> CompanionStatus:
        now, user = self._clock(), self._users.get(user_id, _User())
        of_user = self._by_user.get(user_id, {}).values()
        rows = [row for row in of_user if row.session.app_session == app_session and row.expires_at > now]
        newest = max((row.session.issued_at.timestamp() for row in rows if row.session.issued_at), default=None)
        has_paused = newest is None or now - newest >= ADOPTION_PAUSE
        return CompanionStatus(
            companion_required=user.companion_required,
            revoked_at=None if user.revoked_at is None else datetime.fromtimestamp(user.revoked_at, UTC),
            companions=len(rows),
            may_adopt=not user.companion_required and len(rows) < MAX_ADOPTIONS and has_paused,
        )

    def _revoke(self, user_id: str, *, keep: _Row | None) -> RevokedCount:
        now = self._clock()
        rows = [row for row in self._by_user.get(user_id, {}).values() if row is not keep]
        for row in rows:
            self._require_companions(row)
            self._forget(row)
        user = self._users.setdefault(user_id, _User())
        user.generation += 1
        user.revoked_at = now
        user.companion_required = True
        if keep is not None:
            keep.session = replace(keep.session, generation=user.generation)
        return RevokedCount(sum(row.expires_at > now for row in rows), user.generation)  # P5: those that were live

    def _require_companions(self, row: _Row) -> None:
        """Makes companions compulsory for the user whose companion is revoked: from now on a copy of an earlier login is refused."""
        if row.session.app_session is not None:
            self._users.setdefault(row.session.user_id, _User()).companion_required = True
            self._revoked_app_sessions[row.session.app_session] = row.expires_at + KEPT

    def _forget(self, row: _Row) -> None:
        del self._by_digest[row.digest]
        rows = self._by_user[row.session.user_id]
        del rows[row.session.id]
        if not rows:
            del self._by_user[row.session.user_id]
