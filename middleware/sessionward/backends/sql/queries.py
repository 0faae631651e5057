"""The queries that change sessions, and the order of their locks.

Each change of a user's sessions locks the user's row first. Then it reads what it decides on, so it sees everything that was
committed before it got the lock. A single UPDATE would decide on what it read before it waited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID, uuid4

from sessionward.backends.limit import tell_of_limit
from sessionward.backends.sql.everybody import note_era_anew
from sessionward.backends.sql.executor import Executor, writes
from sessionward.backends.sql.reading import NOBODY, refuse_rolled_back
from sessionward.backends.sql.room import make_room, refuse_beyond
from sessionward.errors import SessionRevoked, SessionwardError, StaleLogin
from sessionward.session.era import in_era
from sessionward.session.session import CLOCK_RATE, IMPERSONATION, NewSession, RevokedCount, Session
from sessionward.settings.limits import AtLimit

R = TypeVar("R")

BATCH: Final = 1000
"""How many rows ``purge`` deletes at a time."""

KEPT: Final = 3600.0
"""Seconds for which ``purge`` keeps a session that ended, whatever its argument says (CONTRACT.md 5)."""


class User(NamedTuple):
    """A user's row, as it was when we got the lock on it. ``now``: the clock of the database.

    ``era``: all statements of the transaction compare the sessions with it. The beginning of an era is a raise for every user:
    ``generation`` is that which callers see, and ``revoked_at`` the later of both times.
    """

    user_id: str
    generation: int
    revoked_at: datetime | None
    now: datetime
    companion_required: bool
    era: int


class LiveRow(NamedTuple):
    """A row of a live session that we hold a lock on. Its times are as the driver returns them. ``now``: the clock of the database."""

    raises_at: Any
    allowed_at: Any
    authenticated_at: Any
    kind: str | None
    now: Any


@writes
def revoke_others(executor: Executor, session: Session) -> RevokedCount:
    def body(executor: Executor) -> RevokedCount:
        user = lock_user(executor, session.user_id)
        caller(executor, user, session)
        return raised(executor, user, revoke_live(executor, "revoke_live", user, keep=session.id, reason="others"))

    return with_users(executor, [session.user_id], body)


@writes
def revoke_all(executor: Executor, user_id: str) -> RevokedCount:
    def body(executor: Executor) -> RevokedCount:
        user = lock_user(executor, user_id)
        return raised(executor, user, revoke_live(executor, "revoke_live", user, keep=NOBODY, reason="all"))

    return with_users(executor, [user_id], body)


@writes
def revoke(executor: Executor, user_id: str, id: UUID, by: UUID | None) -> bool:
    def body(executor: Executor) -> bool:
        was_live = is_live(executor, lock_user(executor, user_id), id)
        revoke_row(executor, user_id, id, by=by, reason="one" if by is None else "logout")  # its own id: it signs out
        return was_live

    return with_users(executor, [user_id], body)


@writes
def login(executor: Executor, new: NewSession) -> Session:
    users = sorted({new.user_id, new.replaces.user_id if new.replaces else new.user_id})  # all callers lock in the same order

    def body(executor: Executor) -> Session | None:
        locked = {user_id: lock_user(executor, user_id) for user_id in users}
        user = locked[new.user_id]
        if not _is_timely(executor, new, user):
            return None
        session = new_session(new, user, user.now if new.is_fresh else None)
        if new.replaces is not None:
            revoke_row(executor, new.replaces.user_id, new.replaces.id, by=session.id, reason="replaced")
        session = add(executor, user, session, new)
        # Also if another call has ended it: this call may be the repeat of one that committed and then failed.
        return session if new.replaces is None else replace(session, has_ended_others=True)

    session = with_users(executor, users, body)
    if session is None:
        raise StaleLogin("the clock of the database was set back after the user's sessions were revoked; sign in again")
    return session


@writes
def purge(executor: Executor, older_than: float, after: UUID, batch: int) -> tuple[int, UUID | None]:
    """Deletes, of the next ``batch`` sessions in the order of their ids, those that stopped being live over ``older_than`` seconds ago.

    Keeps those that ended within the last hour. Those of another era ended when the present one began. Returns how many, and the last
    id of the batch, behind which the next one begins. It is None when there are no more. So a call looks at few rows, whatever there is.
    """
    dialect, now = executor.dialect, clock(executor)
    old = {"limit": dialect.time_in(now - timedelta(seconds=older_than)), "ended": dialect.time_in(now - timedelta(seconds=KEPT))}
    begin = dialect.id_in(after)
    end = executor.row("nth_id", after=begin, skip=batch - 1)
    if end is None:
        return executor.change("delete_rest", after=begin, **old), None
    return executor.change("delete", after=begin, last=end[0], **old), dialect.id_out(end[0])


# --- the parts --------------------------------------------------------------------------------------------------------


def with_users(executor: Executor, user_ids: Sequence[str], body: Callable[[Executor], R]) -> R:
    """Runs ``body``, which locks rows of users, in a transaction. Adds a missing row before, in a separate transaction.

    MariaDB's insert-ignore leaves a shared lock on a row that exists, and two transactions that hold it wait for each other.
    """
    try:
        return executor.transact(body)
    except _NoUserRow:
        for user_id in user_ids:
            executor.change("add_user", user=executor.dialect.user_in(user_id))
        return executor.transact(body)


class _NoUserRow(SessionwardError):
    """A user has no row yet."""


def lock_user(executor: Executor, user_id: str) -> User:
    """P10: each change of a user's sessions waits here for the one before it. Returns the user's row."""
    row = executor.row("lock_user", user=executor.dialect.user_in(user_id))
    if row is None:
        raise _NoUserRow(user_id)
    generation, revoked_at, now, companion_required, era, era_at, rolled_back = row
    refuse_rolled_back(rolled_back)
    out = executor.dialect.time_out
    raises = [out(time) for time in (revoked_at, era_at) if time is not None]
    raised_at = max(raises, default=None)
    return User(user_id, in_era(int(era), int(generation)), raised_at, out(now), bool(companion_required), int(era))


def _is_timely(executor: Executor, new: NewSession, user: User) -> bool:
    """P3: raises ``StaleLogin`` by the first of the three rules that applies.

    Returns False, after a change that has to be committed, if the last raise lies in the future: the clock was set back.
    """
    revoked_at = user.revoked_at
    if new.generation is not None:
        stale = new.generation != user.generation
    elif new.replaces is not None and new.replaces.user_id == new.user_id:
        stale = not is_live(executor, user, new.replaces.id)
    else:
        stale = revoked_at is not None and _is_older(new, revoked_at, user.now)
        if stale and revoked_at is not None:
            # The statement that locks may have read the clock before it waited. Only then another query is worth its cost.
            now = clock(executor)
            if revoked_at > now:
                executor.change("note_anew", user=executor.dialect.user_in(new.user_id))
                note_era_anew(executor)
                return False
            stale = _is_older(new, revoked_at, now)
    if stale:
        raise StaleLogin("the user's sessions were revoked after this sign-in began; the user must sign in again")
    return True


def _is_older(new: NewSession, revoked_at: datetime, now: datetime) -> bool:
    """Returns whether the request is older than the last revocation.

    It compares two durations, each measured by one clock, and never the times of two clocks.
    """
    return (now - revoked_at).total_seconds() <= new.age() * CLOCK_RATE


def clock(executor: Executor) -> datetime:
    row = executor.row("now")
    assert row is not None
    return executor.dialect.time_out(row[0])


def caller(executor: Executor, user: User, session: Session) -> LiveRow:
    """Returns the caller's own row. Raises ``SessionRevoked`` if it is not live any more."""
    own = live_row(executor, user, session.id)
    if own is None:  # P2: the second look, under the lock
        raise SessionRevoked("the caller's session is not live any more")
    return own


def revoke_live(executor: Executor, statement: str, user: User, *, keep: UUID, reason: str) -> int:
    """Revokes live sessions of a user. ``statement``: which of them. Returns how many."""
    dialect = executor.dialect
    own, kept = dialect.user_in(user.user_id), dialect.id_in(keep)
    by = None if keep == NOBODY else kept
    count = executor.change(statement, user=own, keep=kept, by=by, reason=reason, era=user.era)  # P5: only live sessions are counted
    executor.change("mark_expired", user=own, keep=kept)  # P6: so that they do not become live again when the clock is set back
    return count


def raised(executor: Executor, user: User, count: int) -> RevokedCount:
    """Raises the generation. P3: last of all, so that it records a time that is as late as possible."""
    executor.change("raise", user=executor.dialect.user_in(user.user_id))
    return RevokedCount(count, user.generation + 1)


def is_live(executor: Executor, user: User, id: UUID) -> bool:
    """Returns whether a session of the user is live."""
    return live_row(executor, user, id) is not None


def live_row(executor: Executor, user: User, id: UUID) -> LiveRow | None:
    """Returns the row of a session that is live. A locking read sees what was committed before we got the user's lock."""
    dialect = executor.dialect
    row = executor.row("lock_live", id=dialect.id_in(id), user=dialect.user_in(user.user_id), era=user.era)
    return None if row is None else LiveRow(*row)


def revoke_row(executor: Executor, user_id: str, id: UUID, *, by: UUID | None, reason: str) -> None:
    """Revokes a session, even if it has expired: it must not become live again when the clock is set back (P6)."""
    dialect = executor.dialect
    own, user = dialect.id_in(id), dialect.user_in(user_id)
    executor.change("revoke_one", id=own, user=user, by=None if by is None else dialect.id_in(by), reason=reason)
    executor.change("require_companions", id=own, user=user)  # for a companion: from now on a copy of an earlier login is refused


def new_session(new: NewSession, user: User, authenticated_at: datetime | None) -> Session:
    """Returns the session that begins now, as its row will say it."""
    device = new.device
    return Session(
        id=uuid4(),
        user_id=new.user_id,
        issued_at=user.now,
        authenticated_at=authenticated_at,
        expires_at=new.expires(user.now),
        ends_at=None if new.idle_timeout is None else new.ends(user.now),
        generation=user.generation,
        app_session=new.app_session,
        last_seen_at=user.now,
        methods=tuple(" ".join(new.methods)[:255].split()),
        ip_address=device.ip_address[:64] if device.ip_address else None,
        user_agent=device.user_agent[:512] if device.user_agent else None,
        kind=new.kind,
        actor=new.actor,
    )


def add(executor: Executor, user: User, session: Session, new: NewSession) -> Session:
    """Adds a session, under the user's lock, after those beyond ``max_sessions`` were revoked. It is never one of them.

    Returns the session, which says whether there were any. Raises ``TooManySessions`` instead by ``new.at_limit``, and
    ``StaleLogin`` if another era has begun meanwhile; then the transaction must be rolled back. An era that begins later still,
    before the commit, ends the session with all others: the sign-in succeeded before.
    """
    if new.at_limit is AtLimit.REFUSE:
        refuse_beyond(executor, session, new, user.era)
    elif new.max_sessions is not None and session.kind != IMPERSONATION and make_room(executor, session, new.max_sessions, user.era):
        tell_of_limit(new.user_id, new.max_sessions)
        session = replace(session, has_ended_others=True)
    dialect = executor.dialect
    assert session.issued_at is not None
    assert session.expires_at is not None
    added = executor.change(
        "add_session",
        id=dialect.id_in(session.id),
        user=dialect.user_in(session.user_id),
        digest=new.digest,
        issued=dialect.time_in(session.issued_at),
        authenticated=None if session.authenticated_at is None else dialect.time_in(session.authenticated_at),
        expires=dialect.time_in(session.expires_at),
        ends=None if session.ends_at is None else dialect.time_in(session.ends_at),
        methods=" ".join(session.methods),
        ip=session.ip_address,
        agent=session.user_agent,
        app_session=session.app_session,
        kind=session.kind or None,
        actor=None if session.actor is None else dialect.user_in(session.actor),
        era=user.era,
    )
    if not added:
        raise StaleLogin("all sessions of all users were revoked at this moment; the user must sign in again")
    return session
