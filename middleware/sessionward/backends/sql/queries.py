"""What is asked of the tables, statement by statement, and the order of the locks (DESIGN.md 5).

Every change of a user's sessions locks the user's row first. Then it reads what it decides on, so that it sees all
that was committed before the lock was got: a single clever UPDATE decides on what it saw before it waited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID, uuid4

from sessionward.backends.sql.executor import Executor
from sessionward.errors import SessionRevoked, SessionwardError, StaleLogin, UsageError
from sessionward.session.session import CLOCK_RATE, Device, RevokedCount, Session

R = TypeVar("R")

_COLUMNS: Final = "s.id, s.user_id, s.issued_at, s.authenticated_at, s.expires_at, u.generation, s.app_session"
_LIVE: Final = "ended_at IS NULL AND expires_at > {now}"
# For a row that is found by its unique key. On tables that have not been analyzed yet, PostgreSQL would otherwise take the
# index of live sessions, which `ended_at IS NULL` makes applicable, and walk through all of them.
_STILL_LIVE: Final = "CASE WHEN {s}ended_at IS NULL THEN {s}expires_at END > {now}"
_JOINED: Final = "sessionward_sessions s JOIN sessionward_users u ON u.user_id = s.user_id"

STATEMENTS: Final = {
    "find": f"SELECT {_COLUMNS} FROM {_JOINED} WHERE s.digest = :digest AND {_STILL_LIVE.format(s='s.', now='{now}')}",
    "list": f"SELECT {_COLUMNS} FROM {_JOINED} WHERE s.user_id = :user AND s.ended_at IS NULL AND s.expires_at > {{now}}"
    " ORDER BY s.issued_at DESC, s.id",
    "generation": "SELECT generation FROM sessionward_users WHERE user_id = :user",
    "lock_user": "SELECT generation, revoked_at, {now}, companion_required FROM sessionward_users WHERE user_id = :user{lock}",
    "add_user": "{add_user}",
    "lock_live": f"SELECT 1 FROM sessionward_sessions WHERE id = :id AND user_id = :user"
    f" AND {_STILL_LIVE.format(s='', now='{now}')}{{lock}}",
    "end_live": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = :reason"
    f" WHERE user_id = :user AND {_LIVE} AND id <> :keep",
    "end_expired": "UPDATE sessionward_sessions SET ended_at = {now}, reason = 'expired'"
    " WHERE user_id = :user AND ended_at IS NULL AND expires_at <= {now} AND id <> :keep",
    "end_one": "UPDATE sessionward_sessions SET ended_at = {now}, ended_by = :by, reason = :reason"
    " WHERE id = :id AND user_id = :user AND ended_at IS NULL",
    "raise": "UPDATE sessionward_users SET generation = generation + 1, revoked_at = {now}, companion_required = TRUE WHERE user_id = :user",
    "add_session": "INSERT INTO sessionward_sessions (id, user_id, digest, issued_at, authenticated_at, expires_at, last_seen_at,"
    " methods, ip_address, user_agent, app_session)"
    " VALUES (:id, :user, :digest, :issued, :issued, :expires, :issued, :methods, :ip, :agent, :app_session)",
    "close": "UPDATE sessionward_users SET companion_required = TRUE WHERE user_id = :user"
    " AND EXISTS (SELECT 1 FROM sessionward_sessions WHERE id = :id AND user_id = :user AND app_session IS NOT NULL)",
    "companion_status": "SELECT (SELECT companion_required FROM sessionward_users WHERE user_id = :user),"
    " (SELECT revoked_at FROM sessionward_users WHERE user_id = :user),"
    f" (SELECT COUNT(*) FROM sessionward_sessions WHERE user_id = :user AND app_session = :app_session AND {_LIVE}),"
    f" (SELECT MAX(issued_at) FROM sessionward_sessions WHERE user_id = :user AND app_session = :app_session AND {_LIVE}), {{now}}",
    "is_revoked_app_session": "SELECT 1 FROM sessionward_sessions WHERE app_session = :app_session AND ended_at IS NOT NULL LIMIT 1",
    "touch": "UPDATE sessionward_sessions SET expires_at = CASE WHEN expires_at > :expires THEN expires_at ELSE :expires END,"
    " last_seen_at = :seen WHERE id = :id AND user_id = :user",
    "app_session": "UPDATE sessionward_sessions SET app_session = :app_session WHERE id = :id AND user_id = :user",
    "dead_ids": "SELECT id FROM sessionward_sessions WHERE id > :after AND (ended_at < :limit OR expires_at < :limit)"
    " ORDER BY id LIMIT :batch",
    "delete": "DELETE FROM sessionward_sessions WHERE id > :after AND id <= :last AND (ended_at < :limit OR expires_at < :limit)",
    "now": "SELECT {now}",
}

BATCH: Final = 1000
"""Rows that ``purge`` deletes at a time."""

NOBODY: Final = UUID(int=0)
"""No session has this id."""


class User(NamedTuple):
    """A user's row, as it was when the lock on it was got; ``now`` is the database's clock."""

    generation: int
    revoked_at: datetime | None
    now: datetime
    companion_required: bool


def find(executor: Executor, digest: bytes) -> Session | None:
    row = executor.row("find", digest=digest)
    return None if row is None else _session(executor, row)


def listed(executor: Executor, user_id: str) -> Sequence[Session]:
    return [_session(executor, row) for row in executor.rows("list", user=executor.dialect.user_in(user_id))]


def generation(executor: Executor, user_id: str) -> int:
    row = executor.row("generation", user=executor.dialect.user_in(user_id))
    return 0 if row is None else int(row[0])


def revoke_others(executor: Executor, session: Session) -> RevokedCount:
    own = uuid_of(session)

    def body(executor: Executor) -> RevokedCount:
        before = lock_user(executor, session.user_id)
        if not is_live(executor, session):
            raise SessionRevoked("the session that asked is no longer live")
        return _end(executor, session.user_id, before.generation, keep=own, reason="others")

    return with_users(executor, [session.user_id], body)


def revoke_all(executor: Executor, user_id: str) -> RevokedCount:
    def body(executor: Executor) -> RevokedCount:
        before = lock_user(executor, user_id)
        return _end(executor, user_id, before.generation, keep=NOBODY, reason="all")

    return with_users(executor, [user_id], body)


def end(executor: Executor, session: Session) -> bool:
    def body(executor: Executor) -> bool:
        lock_user(executor, session.user_id)
        was_live = is_live(executor, session)
        _end_one(executor, session, by=uuid_of(session), reason="logout")
        return was_live

    return with_users(executor, [session.user_id], body)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Everything that a login brings."""

    user_id: str
    digest: bytes
    since: int | None
    age: Callable[[], float]
    replaces: Session | None
    expires_in: float
    device: Device
    methods: Sequence[str]
    app_session: bytes | None = None


def login(executor: Executor, new: SignIn) -> Session:
    users = sorted({new.user_id, new.replaces.user_id if new.replaces else new.user_id})  # the same order for everybody

    def body(executor: Executor) -> Session:
        locked = {user_id: lock_user(executor, user_id) for user_id in users}
        _check_fresh(executor, new, locked[new.user_id])
        user = locked[new.user_id]
        session = new_session(new.user_id, user.now, new.expires_in, generation=user.generation, app_session=new.app_session)
        if new.replaces is not None:
            _end_one(executor, new.replaces, by=uuid_of(session), reason="replaced")
        add(executor, session, new.digest, new.device, new.methods)
        return session

    return with_users(executor, users, body)


def purge(executor: Executor, older_than: float, after: UUID, batch: int) -> tuple[int, UUID | None]:
    """Delete the next ``batch`` sessions that ended or expired more than ``older_than`` seconds ago, in order of ids.

    Answers how many, and the last id, after which the next batch begins; None when there are no more.
    """
    dialect = executor.dialect
    limit = dialect.time_in(clock(executor) - timedelta(seconds=older_than))
    rows = executor.rows("dead_ids", after=dialect.id_in(after), limit=limit, batch=batch)
    if not rows:
        return 0, None
    last = rows[-1][0]
    return executor.change("delete", after=dialect.id_in(after), last=last, limit=limit), dialect.id_out(last)


# --- the parts --------------------------------------------------------------------------------------------------------


def with_users(executor: Executor, user_ids: Sequence[str], body: Callable[[Executor], R]) -> R:
    """A transaction that locks rows of users. A missing row is added before, in a transaction of its own.

    MariaDB's insert-ignore leaves a shared lock on a row that is there, and two that hold it wait for each other.
    """
    try:
        return executor.transact(body)
    except _NoRowYet:
        for user_id in user_ids:
            executor.change("add_user", user=executor.dialect.user_in(user_id))
        return executor.transact(body)


class _NoRowYet(SessionwardError):
    """A user has no row yet."""


def lock_user(executor: Executor, user_id: str) -> User:
    row = executor.row("lock_user", user=executor.dialect.user_in(user_id))
    if row is None:
        raise _NoRowYet(user_id)
    generation, revoked_at, now, companion_required = row
    out = executor.dialect.time_out
    return User(int(generation), None if revoked_at is None else out(revoked_at), out(now), bool(companion_required))


def _check_fresh(executor: Executor, new: SignIn, user: User) -> None:
    """P3: the first of its three forms that applies."""
    revoked_at = user.revoked_at
    if new.since is not None:
        stale = new.since != user.generation
    elif new.replaces is not None and new.replaces.user_id == new.user_id:
        stale = not is_live(executor, new.replaces)
    else:
        # The lock's own statement may have read the clock before it waited; only then is it worth another question.
        stale = revoked_at is not None and _is_older(new, revoked_at, user.now) and _is_older(new, revoked_at, clock(executor))
    if stale:
        raise StaleLogin("the user's sessions were ended after this sign-in began")


def _is_older(new: SignIn, revoked_at: datetime, now: datetime) -> bool:
    """Whether the request is older than the raise: two durations, each by its own clock, never two clocks."""
    return (now - revoked_at).total_seconds() <= new.age() * CLOCK_RATE


def clock(executor: Executor) -> datetime:
    row = executor.row("now")
    assert row is not None
    return executor.dialect.time_out(row[0])


def _end(executor: Executor, user_id: str, before: int, *, keep: UUID, reason: str) -> RevokedCount:
    dialect = executor.dialect
    user, kept = dialect.user_in(user_id), dialect.id_in(keep)
    by = None if keep == NOBODY else kept
    count = executor.change("end_live", user=user, keep=kept, by=by, reason=reason)
    executor.change("end_expired", user=user, keep=kept)  # so that a clock set back does not bring them back (P6)
    executor.change("raise", user=user)  # last, so that it notes the time as late as it can
    return RevokedCount(count, before + 1)


def is_live(executor: Executor, session: Session) -> bool:
    """The second look at a session, by a locking read: it sees what was committed before the user's lock was got."""
    dialect = executor.dialect
    return executor.row("lock_live", id=dialect.id_in(uuid_of(session)), user=dialect.user_in(session.user_id)) is not None


def _end_one(executor: Executor, session: Session, *, by: UUID, reason: str) -> None:
    """End a session, also one that has expired: a clock set back must not bring it back (P6)."""
    dialect = executor.dialect
    own = dialect.id_in(uuid_of(session))
    user = dialect.user_in(session.user_id)
    executor.change("end_one", id=own, user=user, by=dialect.id_in(by), reason=reason)
    executor.change("close", id=own, user=user)  # a companion: whatever was copied from before stays outside from now on


def new_session(user_id: str, now: datetime, expires_in: float, *, generation: int, app_session: bytes | None) -> Session:
    return Session(
        id=uuid4(),
        user_id=user_id,
        issued_at=now,
        authenticated_at=now,
        expires_at=now + timedelta(seconds=expires_in),
        generation=generation,
        app_session=app_session,
    )


def add(executor: Executor, session: Session, digest: bytes, device: Device, methods: Sequence[str]) -> None:
    dialect = executor.dialect
    assert session.issued_at is not None
    assert session.expires_at is not None
    executor.change(
        "add_session",
        id=dialect.id_in(uuid_of(session)),
        user=dialect.user_in(session.user_id),
        digest=digest,
        issued=dialect.time_in(session.issued_at),
        expires=dialect.time_in(session.expires_at),
        methods=" ".join(methods)[:255],
        ip=device.ip_address[:64] if device.ip_address else None,
        agent=device.user_agent[:512] if device.user_agent else None,
        app_session=session.app_session,
    )


def _session(executor: Executor, row: Sequence[Any]) -> Session:
    own, user_id, issued_at, authenticated_at, expires_at, generation, link = row
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


def uuid_of(session: Session) -> UUID:
    if not isinstance(session.id, UUID):
        raise UsageError("this session was not made by this backend: its id is not a UUID")
    return session.id
