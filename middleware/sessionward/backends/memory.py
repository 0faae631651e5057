"""Sessions in the memory of one process: for tests, development, and applications with a single worker.

They are gone with the process, and another worker knows nothing of them. Nothing here ever waits, so both doors call
it in place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import ClassVar
from uuid import uuid4

from sessionward.credential.token import Credential
from sessionward.errors import SessionRevoked, StaleLogin
from sessionward.session.session import ADOPTION_PAUSE, ADOPTIONS, CLOCK_RATE, Device, RevokedCount, Session, CompanionStatus, user_key


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


class MemoryBackend:
    """Sessions of one process. ``clock`` gives seconds since 1970; tests pass their own."""

    blocking: ClassVar[bool] = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = Lock()
        self._by_digest: dict[bytes, _Row] = {}
        self._by_user: dict[str, dict[str, _Row]] = {}
        self._users: dict[str, _User] = {}
        self._spent: set[bytes] = set()

    def find(self, credential: Credential, /) -> Session | None:
        with self._lock:
            row = self._by_digest.get(credential.digest)
            return row.session if row is not None and row.expires_at > self._clock() else None

    def revoke_others(self, session: Session, /) -> RevokedCount:
        with self._lock:
            own = self._by_user.get(session.user_id, {}).get(str(session.id))
            if own is None or own.expires_at <= self._clock():
                raise SessionRevoked("the session that asked is no longer live")
            return self._end(session.user_id, keep=own)

    def login(
        self,
        user_id: str,
        digest: bytes,
        /,
        *,
        since: int | None,
        age: Callable[[], float],
        replaces: Session | None,
        expires_in: float,
        device: Device,  # noqa: ARG002 - nothing here shows it
        methods: Sequence[str],  # noqa: ARG002 - nothing here shows them
        app_session: bytes | None = None,
    ) -> Session:
        with self._lock:
            now = self._clock()
            user = self._users.setdefault(user_id, _User())
            before = self._by_user.get(replaces.user_id, {}).get(str(replaces.id)) if replaces is not None else None
            if since is not None:
                stale = since != user.generation
            elif replaces is not None and replaces.user_id == user_id:
                stale = before is None or before.expires_at <= now
            else:
                stale = user.revoked_at is not None and now - user.revoked_at <= age() * CLOCK_RATE
            if stale:
                raise StaleLogin("the user's sessions were ended after this sign-in began")
            if before is not None:
                self._close(before)
                self._forget(before)
            return self._start(user_id, digest, now, expires_in, app_session)

    def begin_login(self, user_id: str, /) -> int:
        with self._lock:
            user = self._users.get(user_id)
            return user.generation if user is not None else 0

    def end(self, session: Session, /) -> bool:
        with self._lock:
            row = self._by_user.get(session.user_id, {}).get(str(session.id))
            if row is None:
                return False
            self._close(row)
            self._forget(row)
            return row.expires_at > self._clock()

    def revoke_all(self, user_id: str, /) -> RevokedCount:
        with self._lock:
            return self._end(user_key(user_id), keep=None)

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        with self._lock:
            return self._standing(user_id, app_session)

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        with self._lock:
            return link in self._spent

    def adopt(
        self,
        user_id: str,
        digest: bytes,
        /,
        *,
        app_session: bytes,
        expires_in: float,
        device: Device,  # noqa: ARG002 - nothing here shows it
    ) -> Session | None:
        with self._lock:
            standing = self._standing(user_id, app_session)
            if standing.companion_required:
                raise StaleLogin("the user's sessions were ended; only a new sign-in makes a companion")
            return self._start(user_id, digest, self._clock(), expires_in, app_session) if standing.may_adopt else None

    def touch(self, session: Session, /, *, app_session: bytes | None, expires_in: float) -> bool:
        with self._lock:
            now = self._clock()
            row = self._by_user.get(session.user_id, {}).get(str(session.id))
            if row is None or row.expires_at <= now:
                return False
            row.expires_at = max(row.expires_at, now + expires_in)
            kept = row.session.app_session if link is None else link
            row.session = replace(row.session, expires_at=datetime.fromtimestamp(row.expires_at, UTC), app_session=kept)
            return True

    def list(self, user_id: str, /) -> Sequence[Session]:
        """The live sessions of a user, newest first."""
        with self._lock:
            rows = list(self._by_user.get(user_key(user_id), {}).values())
            return [row.session for row in reversed(rows) if row.expires_at > self._clock()]

    def purge(self, older_than: float = 0.0) -> int:
        """Forget sessions that expired more than ``older_than`` seconds ago; how many."""
        with self._lock:
            limit = self._clock() - older_than
            expired = [row for row in self._by_digest.values() if row.expires_at <= limit]
            for row in expired:
                self._forget(row)
            return len(expired)

    def _start(self, user_id: str, digest: bytes, now: float, expires_in: float, app_session: bytes | None) -> Session:
        at = datetime.fromtimestamp(now, UTC)
        session = Session(
            id=uuid4(),
            user_id=user_id,
            issued_at=at,
            authenticated_at=at,
            expires_at=datetime.fromtimestamp(now + expires_in, UTC),
            generation=self._users.setdefault(user_id, _User()).generation,
            app_session=app_session,
        )
        row = _Row(session, digest, now + expires_in)
        self._by_digest[digest] = row
        self._by_user.setdefault(user_id, {})[str(session.id)] = row
        return session

    def _standing(self, user_id: str, app_session: bytes) -> CompanionStatus:
        now, user = self._clock(), self._users.get(user_id, _User())
        rows = [row for row in self._by_user.get(user_id, {}).values() if row.session.app_session == link and row.expires_at > now]
        newest = max((row.session.issued_at.timestamp() for row in rows if row.session.issued_at), default=None)
        return CompanionStatus(
            companion_required=user.companion_required,
            revoked_at=None if user.revoked_at is None else datetime.fromtimestamp(user.revoked_at, UTC),
            companions=len(rows),
            may_adopt=not user.companion_required and len(rows) < ADOPTIONS and (newest is None or now - newest >= ADOPTION_PAUSE),
        )

    def _end(self, user_id: str, *, keep: _Row | None) -> RevokedCount:
        now = self._clock()
        rows = [row for row in self._by_user.get(user_id, {}).values() if row is not keep]
        for row in rows:
            self._close(row)
            self._forget(row)
        user = self._users.setdefault(user_id, _User())
        user.generation += 1
        user.revoked_at = now
        user.companion_required = True
        if keep is not None:
            keep.session = replace(keep.session, generation=user.generation)
        return RevokedCount(sum(row.expires_at > now for row in rows), user.generation)

    def _close(self, row: _Row) -> None:
        """What ends a companion closes its user: whatever was copied from before stays outside from now on."""
        if row.session.app_session is not None:
            self._users.setdefault(row.session.user_id, _User()).companion_required = True
            self._spent.add(row.session.app_session)

    def _forget(self, row: _Row) -> None:
        del self._by_digest[row.digest]
        rows = self._by_user[row.session.user_id]
        del rows[str(row.session.id)]
        if not rows:
            del self._by_user[row.session.user_id]
