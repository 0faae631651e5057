"""The queries for companions of an application's own sessions."""

from __future__ import annotations

from datetime import timedelta

from sessionward.backends.sql.executor import Executor, reads, writes
from sessionward.backends.sql.leases import lease_and_wait
from sessionward.backends.sql.queries import add, live_row, lock_user, new_session, with_users
from sessionward.backends.sql.reading import refuse_rolled_back
from sessionward.errors import StaleLogin
from sessionward.session.era import NO_ERA
from sessionward.session.session import ADOPTION_PAUSE, MAX_ADOPTIONS, NEEDS_SIGN_IN, CompanionStatus, NewSession, Session
from sessionward.session.use import TOO_LATE


@reads
def companion_status(executor: Executor, user_id: str, app_session: bytes) -> CompanionStatus:
    """Returns what we know about the companions of this session of the application. Runs one statement and locks nothing."""
    return _status(executor, user_id, app_session)


@reads
def is_revoked_app_session(executor: Executor, app_session: bytes) -> bool:
    """Returns whether a companion of this session of the application has been revoked."""
    row = executor.row("is_revoked_app_session", app_session=app_session)
    assert row is not None
    is_revoked, rolled_back = row
    refuse_rolled_back(rolled_back)
    return bool(is_revoked)


@writes
def adopt(executor: Executor, new: NewSession) -> Session | None:
    """Starts a companion for a login that the application had before, under the user's lock. Returns None if it may not have one."""
    app_session = new.app_session
    assert app_session is not None

    def body(executor: Executor) -> Session | None:
        user = lock_user(executor, new.user_id)
        status = _status(executor, new.user_id, app_session)
        if user.companion_required or status.companion_required:
            raise StaleLogin(NEEDS_SIGN_IN)
        if not status.may_adopt:
            return None
        return add(executor, user, new_session(new, user, authenticated_at=None), new)  # its sign-in is unknown

    return with_users(executor, [new.user_id], body)


@writes
def extend(executor: Executor, session: Session, lifetime: float, app_session: bytes | None, idle_timeout: float | None) -> bool:
    """Lets a live session expire ``lifetime`` seconds from now, never sooner than before, under the user's lock.

    With ``idle_timeout`` it is a use, too. Returns whether the session was live.
    """

    def body(executor: Executor) -> bool:
        user = lock_user(executor, session.user_id)
        own = live_row(executor, user, session.id)
        if own is None:
            return False
        dialect = executor.dialect
        row = {"id": dialect.id_in(session.id), "user": dialect.user_in(session.user_id)}
        expires = user.now + timedelta(seconds=lifetime)
        if idle_timeout is not None:
            now = dialect.time_out(own.now)  # of after the user's lock, for which this may have waited
            idle, alive = now + timedelta(seconds=idle_timeout), now + timedelta(seconds=TOO_LATE)
            times = {"expires": expires, "seen": now, "idle": idle, "alive": alive}
            executor.change("extend_use", **row, **{name: dialect.time_in(time) for name, time in times.items()})
        executor.change("extend", **row, expires=dialect.time_in(expires), seen=dialect.time_in(user.now))
        executor.change("extend_idle", **row, expires=dialect.time_in(expires))
        if app_session is not None:
            executor.change("move", **row, app_session=app_session)
        return True

    return with_users(executor, [session.user_id], body)


def _status(executor: Executor, user_id: str, app_session: bytes) -> CompanionStatus:
    row = executor.row("companion_status", user=executor.dialect.user_in(user_id), app_session=app_session)
    assert row is not None
    companion_required, revoked_at, companions, newest, idled, now, lease, former_lease, lowered_at, era, era_at, rolled_back = row
    refuse_rolled_back(rolled_back)
    out = executor.dialect.time_out
    raises = [out(time) for time in (revoked_at, era_at) if time is not None]
    required = bool(companion_required) or bool(idled) or (era or NO_ERA) != NO_ERA
    lease, wait = lease_and_wait(executor.dialect, lease, former_lease, lowered_at, out(now))
    has_paused = newest is None or (out(now) - out(newest)).total_seconds() >= ADOPTION_PAUSE
    return CompanionStatus(
        companion_required=required,
        revoked_at=max(raises, default=None),
        companions=int(companions),
        may_adopt=not required and int(companions) < MAX_ADOPTIONS and has_paused,
        lease=lease,
        wait=wait,
    )
