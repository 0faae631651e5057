"""The queries for companions of an application's own sessions."""

from __future__ import annotations

from datetime import timedelta

from sessionward.backends.sql.executor import Executor, reads, writes
from sessionward.backends.sql.queries import add, is_live, lock_user, new_session, with_users
from sessionward.errors import StaleLogin
from sessionward.session.session import ADOPTION_PAUSE, MAX_ADOPTIONS, CompanionStatus, NewSession, Session


@reads
def companion_status(executor: Executor, user_id: str, app_session: bytes) -> CompanionStatus:
    """Returns what we know about the companions of this session of the application. Runs one statement and locks nothing."""
    return _status(executor, user_id, app_session)


@reads
def is_revoked_app_session(executor: Executor, app_session: bytes) -> bool:
    """Returns whether a companion of this session of the application has been revoked."""
    return executor.row("is_revoked_app_session", app_session=app_session) is not None


@writes
def adopt(executor: Executor, new: NewSession) -> Session | None:
    """Starts a companion for a login that the application had before, under the user's lock. Returns None if it may not have one."""
    app_session = new.app_session
    assert app_session is not None

    def body(executor: Executor) -> Session | None:
        user = lock_user(executor, new.user_id)
        if user.companion_required:
            raise StaleLogin("the user's sessions were revoked; only a new sign-in makes a companion")
        if not _status(executor, new.user_id, app_session).may_adopt:
            return None
        session = new_session(new, user)
        add(executor, session, new)
        return session

    return with_users(executor, [new.user_id], body)


@writes
def extend(executor: Executor, session: Session, *, lifetime: float, app_session: bytes | None) -> bool:
    """Lets a live session expire ``lifetime`` seconds from now, never sooner than before, under the user's lock.

    Returns whether the session was live.
    """

    def body(executor: Executor) -> bool:
        user = lock_user(executor, session.user_id)
        if not is_live(executor, session.user_id, session.id):
            return False
        dialect = executor.dialect
        row = {"id": dialect.id_in(session.id), "user": dialect.user_in(session.user_id)}
        expires = user.now + timedelta(seconds=lifetime)
        executor.change("extend", **row, expires=dialect.time_in(expires), seen=dialect.time_in(user.now))
        if app_session is not None:
            executor.change("move", **row, app_session=app_session)
        return True

    return with_users(executor, [session.user_id], body)


def _status(executor: Executor, user_id: str, app_session: bytes) -> CompanionStatus:
    row = executor.row("companion_status", user=executor.dialect.user_in(user_id), app_session=app_session)
    assert row is not None
    companion_required, revoked_at, companions, newest, now = row
    out = executor.dialect.time_out
    has_paused = newest is None or (out(now) - out(newest)).total_seconds() >= ADOPTION_PAUSE
    return CompanionStatus(
        companion_required=bool(companion_required),
        revoked_at=None if revoked_at is None else out(revoked_at),
        companions=int(companions),
        may_adopt=not companion_required and int(companions) < MAX_ADOPTIONS and has_paused,
    )
