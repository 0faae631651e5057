"""The queries on the two tables, and the order of their locks.

Each change of a user's sessions locks the user's row first. Then it reads what it decides on, so it sees everything that was
committed before it got the lock. A single UPDATE would decide on what it read before it waited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID, uuid4

from sessionward.backends.limit import tell_of_limit
from sessionward.backends.sql.executor import Executor, reads, writes
from sessionward.errors import SessionRevoked, SessionwardError, StaleLogin
from sessionward.session.session import CLOCK_RATE, RAISE_PAUSE, NewSession, RevokedCount, Session, next_raise

R = TypeVar("R")

BATCH: Final = 1000
"""How many rows ``purge`` deletes at a time."""

NOBODY: Final = UUID(int=0)
"""No session has this id."""


class User(NamedTuple):
    """A user's row, as it was when we got the lock on it. ``now``: the clock of the database."""

    generation: int
    revoked_at: datetime | None
    now: datetime
    companion_required: bool


@reads
def find(executor: Executor, digest: bytes) -> Session | None:
    row = executor.row("find", digest=digest)
    return None if row is None else _session(executor, row)


@reads
def listed(executor: Executor, user_id: str) -> Sequence[Session]:
    return [_session(executor, row) for row in executor.rows("list", user=executor.dialect.user_in(user_id))]


@reads
def generation(executor: Executor, user_id: str) -> int:
    row = executor.row("generation", user=executor.dialect.user_in(user_id))
    return 0 if row is None else int(row[0])


@writes
def revoke_others(executor: Executor, session: Session, *, quietly: bool) -> RevokedCount:
    """``quietly``: what finds nothing to revoke raises the generation only now and then."""

    def body(executor: Executor) -> RevokedCount:
        before = lock_user(executor, session.user_id)
        own = _live_row(executor, session.user_id, session.id)
        if own is None:  # P2: the second look, under the lock
            raise SessionRevoked("the caller's session is not live any more")
        count = _revoke_live(executor, session.user_id, keep=session.id, reason="others")
        if quietly and count == 0 and not _may_raise(executor, session, before, own[0]):
            return RevokedCount(0, before.generation)
        return _raise(executor, session.user_id, before, count)

    return with_users(executor, [session.user_id], body)


@writes
def revoke_all(executor: Executor, user_id: str) -> RevokedCount:
    def body(executor: Executor) -> RevokedCount:
        before = lock_user(executor, user_id)
        return _raise(executor, user_id, before, _revoke_live(executor, user_id, keep=NOBODY, reason="all"))

    return with_users(executor, [user_id], body)


@writes
def revoke(executor: Executor, user_id: str, id: UUID) -> bool:
    def body(executor: Executor) -> bool:
        lock_user(executor, user_id)
        was_live = is_live(executor, user_id, id)
        _revoke_one(executor, user_id, id, by=id, reason="logout")
        return was_live

    return with_users(executor, [user_id], body)


@writes
def login(executor: Executor, new: NewSession) -> Session:
    users = sorted({new.user_id, new.replaces.user_id if new.replaces else new.user_id})  # all callers lock in the same order

    def body(executor: Executor) -> Session | None:
        locked = {user_id: lock_user(executor, user_id) for user_id in users}
        user = locked[new.user_id]
        if not _is_fresh(executor, new, user):
            return None
        session = new_session(new, user)
        if new.replaces is not None:
            _revoke_one(executor, new.replaces.user_id, new.replaces.id, by=session.id, reason="replaced")
        add(executor, session, new)
        return session

    session = with_users(executor, users, body)
    if session is None:
        raise StaleLogin("the clock of the database was set back after the user's sessions were revoked; sign in again")
    return session


@writes
def purge(executor: Executor, older_than: float, after: UUID, batch: int) -> tuple[int, UUID | None]:
    """Deletes the next ``batch`` sessions that stopped being live more than ``older_than`` seconds ago, in the order of their ids.

    Returns how many, and the last id, after which the next batch begins. The id is None when there are no more.
    """
    dialect = executor.dialect
    limit = dialect.time_in(clock(executor) - timedelta(seconds=older_than))
    rows = executor.rows("ended_ids", after=dialect.id_in(after), limit=limit, batch=batch)
    if not rows:
        return 0, None
    last = rows[-1][0]
    return executor.change("delete", after=dialect.id_in(after), last=last, limit=limit), dialect.id_out(last)


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
    generation, revoked_at, now, companion_required = row
    out = executor.dialect.time_out
    return User(int(generation), None if revoked_at is None else out(revoked_at), out(now), bool(companion_required))


def _is_fresh(executor: Executor, new: NewSession, user: User) -> bool:
    """P3: raises ``StaleLogin`` by the first of the three rules that applies.

    Returns False, after a change that has to be committed, if the last raise lies in the future: the clock was set back.
    """
    revoked_at = user.revoked_at
    if new.generation is not None:
        stale = new.generation != user.generation
    elif new.replaces is not None and new.replaces.user_id == new.user_id:
        stale = not is_live(executor, new.replaces.user_id, new.replaces.id)
    else:
        stale = revoked_at is not None and _is_older(new, revoked_at, user.now)
        if stale and revoked_at is not None:
            # The statement that locks may have read the clock before it waited. Only then another query is worth its cost.
            now = clock(executor)
            if revoked_at > now:
                executor.change("note_anew", user=executor.dialect.user_in(new.user_id))
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


def _revoke_live(executor: Executor, user_id: str, *, keep: UUID, reason: str) -> int:
    dialect = executor.dialect
    user, kept = dialect.user_in(user_id), dialect.id_in(keep)
    by = None if keep == NOBODY else kept
    count = executor.change("revoke_live", user=user, keep=kept, by=by, reason=reason)  # P5: only live sessions are counted
    executor.change("mark_expired", user=user, keep=kept)  # P6: so that they do not become live again when the clock is set back
    return count


def _raise(executor: Executor, user_id: str, before: User, count: int) -> RevokedCount:
    """Raises the generation. P3: last of all, so that it records a time that is as late as possible."""
    executor.change("raise", user=executor.dialect.user_in(user_id))
    return RevokedCount(count, before.generation + 1)


def _may_raise(executor: Executor, session: Session, user: User, raises_at: Any) -> bool:
    """P3: whether a call that found nothing raises the generation. A stolen session can repeat the call without end."""
    dialect, now = executor.dialect, clock(executor)
    if user.revoked_at is not None and 0 <= (now - user.revoked_at).total_seconds() < RAISE_PAUSE:
        return False
    after = next_raise(None if raises_at is None else dialect.time_out(raises_at).timestamp(), now.timestamp())
    if after is None:
        return False
    at = dialect.time_in(datetime.fromtimestamp(after, UTC))
    executor.change("note_raise", id=dialect.id_in(session.id), user=dialect.user_in(session.user_id), raises_at=at)
    return True


def is_live(executor: Executor, user_id: str, id: UUID) -> bool:
    """Returns whether a session is live. A locking read sees what was committed before we got the user's lock."""
    return _live_row(executor, user_id, id) is not None


def _live_row(executor: Executor, user_id: str, id: UUID) -> Sequence[Any] | None:
    """Returns ``raises_at`` of a session that is live."""
    dialect = executor.dialect
    return executor.row("lock_live", id=dialect.id_in(id), user=dialect.user_in(user_id))


def _revoke_one(executor: Executor, user_id: str, id: UUID, *, by: UUID, reason: str) -> None:
    """Revokes a session, even if it has expired: it must not become live again when the clock is set back (P6)."""
    dialect = executor.dialect
    own, user = dialect.id_in(id), dialect.user_in(user_id)
    executor.change("revoke_one", id=own, user=user, by=dialect.id_in(by), reason=reason)
    executor.change("require_companions", id=own, user=user)  # for a companion: from now on a copy of an earlier login is refused


def new_session(new: NewSession, user: User) -> Session:
    return Session(
        id=uuid4(),
        user_id=new.user_id,
        issued_at=user.now,
        authenticated_at=user.now,
        expires_at=user.now + timedelta(seconds=new.lifetime),
        generation=user.generation,
        app_session=new.app_session,
    )


def add(executor: Executor, session: Session, new: NewSession) -> None:
    """Adds a session, under the user's lock, after those beyond ``max_sessions`` were revoked. It is never one of them."""
    if new.max_sessions is not None and _make_room(executor, session, new.max_sessions):
        tell_of_limit(new.user_id, new.max_sessions)
    dialect, device = executor.dialect, new.device
    assert session.issued_at is not None
    assert session.expires_at is not None
    executor.change(
        "add_session",
        id=dialect.id_in(session.id),
        user=dialect.user_in(session.user_id),
        digest=new.digest,
        issued=dialect.time_in(session.issued_at),
        expires=dialect.time_in(session.expires_at),
        methods=" ".join(new.methods)[:255],
        ip=device.ip_address[:64] if device.ip_address else None,
        agent=device.user_agent[:512] if device.user_agent else None,
        app_session=session.app_session,
    )


def _make_room(executor: Executor, session: Session, limit: int) -> bool:
    """Revokes the oldest sessions of the user until one more is allowed. It requires no companions: an evicted one is adopted again."""
    dialect = executor.dialect
    user = dialect.user_in(session.user_id)
    row = executor.row("first_beyond", user=user, kept=limit - 1)
    if row is None:
        return False
    issued, oldest = row
    executor.change("revoke_beyond", user=user, issued=issued, id=oldest, by=dialect.id_in(session.id))
    return True


def _session(executor: Executor, row: Sequence[Any]) -> Session:
    own, user_id, issued_at, authenticated_at, expires_at, generation, app_session = row
    dialect = executor.dialect
    out = dialect.time_out
    return Session(
        id=dialect.id_out(own),
        user_id=dialect.user_out(user_id),
        issued_at=out(issued_at),
        authenticated_at=out(authenticated_at),
        expires_at=out(expires_at),
        generation=generation,
        app_session=app_session,
    )
