"""The rows that the backend in memory keeps, by digest and by user. Its methods are called under the lock of the backend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from sessionward.backends.limit import tell_of_limit
from sessionward.credential.token import Credential
from sessionward.errors import TooManySessions
from sessionward.session.era import NO_ERA, in_era, new_era
from sessionward.session.session import ADOPTION_PAUSE, IMPERSONATION, MAX_ADOPTIONS, CompanionStatus, NewSession, RevokedCount, Session
from sessionward.session.use import TOO_LATE, seen_pause
from sessionward.settings.limits import AtLimit

SWEEP_FROM: Final = 1_000
"""The number of sessions from which a sign-in looks for expired ones."""
KEPT: Final = 31 * 86_400.0
"""Seconds after its end for which a revoked session of the application is remembered."""


@dataclass(slots=True)
class User:
    """What is kept of a user, also without sessions."""

    generation: int = 0
    revoked_at: float | None = None
    companion_required: bool = False


@dataclass(slots=True, eq=False)
class Row:
    """A session, live or expired. ``ends_at``: when it ends whatever its use."""

    session: Session
    digest: bytes
    expires_at: float
    ends_at: float
    seen_at: float
    raises_at: float | None = None
    """The time that represents its raises of the last hour (:func:`~sessionward.session.rate.next_raise`)."""
    allowed_at: float | None = None
    """The time that represents its calls of the last hour (:func:`~sessionward.session.rate.next_call`)."""

    def is_idled_companion(self, now: float) -> bool:
        """Returns whether it ended for want of use. Until its absolute end it shows that no login of its user may be adopted."""
        return self.session.app_session is not None and self.expires_at <= now < self.ends_at

    @property
    def is_impersonation(self) -> bool:
        return self.session.kind == IMPERSONATION


class Rows:
    """All sessions and users. ``now``: seconds since 1970 by the clock of the backend. All sessions are of the present era."""

    def __init__(self) -> None:
        self.by_digest: dict[bytes, Row] = {}
        self.by_user: dict[str, dict[UUID, Row]] = {}
        self.users: dict[str, User] = {}
        self.revoked_app_sessions: dict[bytes, float] = {}
        self.era = NO_ERA
        self.era_at: float | None = None
        self._sweep_at = SWEEP_FROM

    def find(self, credential: Credential, now: float) -> Session | None:
        row = self.by_digest.get(credential.digest)
        return row.session if row is not None and row.expires_at > now else None

    def user(self, user_id: str) -> User:
        return self.users.setdefault(user_id, User())

    def generation(self, user_id: str) -> int:
        """Returns the generation of a user as callers see it. A user without a row gets none."""
        user = self.users.get(user_id)
        return in_era(self.era, 0 if user is None else user.generation)

    def revoked_at(self, user_id: str) -> float | None:
        """Returns when the generation of a user was raised last. The beginning of an era is a raise for every user."""
        user = self.users.get(user_id)
        return max((time for time in (self.era_at, None if user is None else user.revoked_at) if time is not None), default=None)

    def note_anew(self, user_id: str, now: float) -> None:
        """Records a raise that lies in the future as of now: the clock was set back."""
        user = self.user(user_id)
        user.revoked_at = None if user.revoked_at is None else min(now, user.revoked_at)
        self.era_at = None if self.era_at is None else min(now, self.era_at)

    def row(self, user_id: str, id: UUID) -> Row | None:
        return self.by_user.get(user_id, {}).get(id)

    def of_user(self, user_id: str) -> list[Row]:
        """Returns all sessions of a user, in the order in which they began."""
        return list(self.by_user.get(user_id, {}).values())

    def live(self, user_id: str, now: float) -> list[Row]:
        """Returns those that are live."""
        return [row for row in self.of_user(user_id) if row.expires_at > now]

    # --- a session begins

    def start(self, new: NewSession, now: float, authenticated_at: datetime | None) -> Session:
        self._make_room(new, now)
        if len(self.by_digest) + len(self.revoked_app_sessions) >= self._sweep_at:
            self._sweep(now)
        at = moment(now)
        session = Session(
            id=uuid4(),
            user_id=new.user_id,
            issued_at=at,
            authenticated_at=authenticated_at,
            expires_at=new.expires(at),
            ends_at=None if new.idle_timeout is None else new.ends(at),
            generation=self.generation(new.user_id),
            app_session=new.app_session,
            last_seen_at=at,
            methods=tuple(new.methods),
            ip_address=new.device.ip_address,
            user_agent=new.device.user_agent,
            kind=new.kind,
            actor=new.actor,
        )
        row = Row(session, new.digest, new.expires(at).timestamp(), new.ends(at).timestamp(), now)
        self.by_digest[new.digest] = row
        self.by_user.setdefault(new.user_id, {})[session.id] = row
        return session

    def use(self, session: Session, idle_timeout: float | None, used: float, now: float) -> float | None:
        """Records a use at ``used``, if the session is live and its last record old enough. Returns in how many seconds it is due again."""
        row, pause = self.row(session.user_id, session.id), seen_pause(idle_timeout)
        if row is None or row.expires_at <= now:  # P6
            return None
        if row.seen_at <= now and used - row.seen_at < pause:  # else it is old enough, or the clock was set back
            return max(0.0, pause - (now - row.seen_at))
        if row.expires_at <= now + TOO_LATE:
            return 0.0
        row.seen_at = used
        row.session = replace(row.session, last_seen_at=moment(used))
        if idle_timeout is not None:
            row.expires_at = min(row.ends_at, used + idle_timeout)
            row.session = replace(row.session, expires_at=moment(row.expires_at), ends_at=moment(row.ends_at))
        return max(0.0, pause - (now - used))

    def extend(self, row: Row, lifetime: float, app_session: bytes | None, idle_timeout: float | None, now: float) -> None:
        """Lets a session end ``lifetime`` seconds from now, or at its end until now. With ``idle_timeout`` it is a use, too."""
        row.ends_at = max(row.ends_at, now + lifetime)
        session = row.session if app_session is None else replace(row.session, app_session=app_session)
        has_limit = session.ends_at is not None
        if idle_timeout is not None and row.expires_at > now + TOO_LATE and not (has_limit and row.expires_at >= now + idle_timeout):
            row.expires_at, row.seen_at = min(row.ends_at, now + idle_timeout), now
            seen, ends = moment(now), moment(row.ends_at)
            row.session = replace(session, last_seen_at=seen, expires_at=moment(row.expires_at), ends_at=ends)
        elif not has_limit:
            row.expires_at, row.seen_at = row.ends_at, now
            row.session = replace(session, expires_at=moment(row.ends_at), last_seen_at=moment(now))
        else:
            row.session = replace(session, ends_at=moment(row.ends_at))

    def _make_room(self, new: NewSession, now: float) -> None:
        """Revokes the sessions of the user that were used longest ago until one more is allowed.

        It requires no companions: an evicted one is adopted again. Impersonations do not count, neither the new session nor those
        that live.
        """
        if new.max_sessions is None or new.kind == IMPERSONATION:
            return
        live = sorted(self._ordinary(new.user_id, now), key=lambda row: row.seen_at)
        for row in live[: max(0, len(live) + 1 - new.max_sessions)]:
            self.forget(row)
            tell_of_limit(new.user_id, new.max_sessions)

    def refuse_beyond(self, new: NewSession, replaced: Row | None, now: float) -> None:
        """Raises ``TooManySessions`` if the new session would be one too many, and the sign-in must not end another one."""
        if new.at_limit is not AtLimit.REFUSE or new.max_sessions is None or new.kind == IMPERSONATION:
            return
        count = sum(row is not replaced for row in self._ordinary(new.user_id, now))
        if count >= new.max_sessions:
            raise TooManySessions(count, self.generation(new.user_id))

    def _ordinary(self, user_id: str, now: float) -> list[Row]:
        return [row for row in self.live(user_id, now) if not row.is_impersonation]

    def status(self, user_id: str, app_session: bytes, now: float) -> CompanionStatus:
        user = self.users.get(user_id, User())
        of_user = self.of_user(user_id)
        rows = [row for row in of_user if row.session.app_session == app_session and row.expires_at > now]
        required = user.companion_required or self.era != NO_ERA or any(row.is_idled_companion(now) for row in of_user)
        newest = max((row.session.issued_at.timestamp() for row in rows if row.session.issued_at), default=None)
        revoked_at = self.revoked_at(user_id)
        has_paused = newest is None or now - newest >= ADOPTION_PAUSE
        return CompanionStatus(
            companion_required=required,
            revoked_at=None if revoked_at is None else moment(revoked_at),
            companions=len(rows),
            may_adopt=not required and len(rows) < MAX_ADOPTIONS and has_paused,
        )

    # --- sessions end

    def revoke(self, row: Row) -> None:
        """Revokes a session. If it is a companion, companions become compulsory: from now on a copy of an earlier login is refused."""
        if row.session.app_session is not None:
            self.user(row.session.user_id).companion_required = True
            self.revoked_app_sessions[row.session.app_session] = row.expires_at + KEPT
        self.forget(row)

    def revoke_many(self, user_id: str, rows: list[Row], now: float, *, by: Row | None) -> RevokedCount:
        """Revokes these sessions of a user and raises the generation. ``by``: the session that does so, if one does."""
        for row in rows:
            self.revoke(row)
        user = self.user(user_id)
        user.generation += 1
        user.revoked_at = now
        user.companion_required = True
        generation = self.generation(user_id)
        if by is not None:
            by.session = replace(by.session, generation=generation)
        return RevokedCount(sum(row.expires_at > now for row in rows), generation)  # P5: those that were live

    def revoke_everybody(self, now: float) -> None:
        """Revokes all sessions of all users, and begins an era."""
        for row in list(self.by_digest.values()):
            self.revoke(row)
        self.era, self.era_at = new_era(), now

    def forget(self, row: Row) -> None:
        del self.by_digest[row.digest]
        rows = self.by_user[row.session.user_id]
        del rows[row.session.id]
        if not rows:
            del self.by_user[row.session.user_id]

    def forget_expired(self, limit: float) -> int:
        """Forgets what would have expired before ``limit`` with any use. Returns how many."""
        expired = [row for row in self.by_digest.values() if row.ends_at <= limit]
        for row in expired:
            self.forget(row)
        return len(expired)

    def _sweep(self, now: float) -> None:
        """Forgets what has expired, so that memory does not grow without end. The cost is constant for each sign-in on average."""
        self.forget_expired(now)
        self.revoked_app_sessions = {digest: until for digest, until in self.revoked_app_sessions.items() if until > now}
        self._sweep_at = max(SWEEP_FROM, 2 * (len(self.by_digest) + len(self.revoked_app_sessions)))


def moment(now: float) -> datetime:
    """Returns a time of the clock as a value of a session."""
    return datetime.fromtimestamp(now, UTC)
