"""What is asked of the tables for companions of an application's own sessions (DESIGN.md 2, way 3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sessionward.backends.sql.executor import Executor
from sessionward.backends.sql.queries import add, is_live, lock_user, new_session, uuid_of, with_users
from sessionward.errors import StaleLogin
from sessionward.session.session import ADOPTION_PAUSE, ADOPTIONS, Device, Session, CompanionStatus


def companion_status(executor: Executor, user_id: str, app_session: bytes) -> CompanionStatus:
    """How a user stands, and the application's session with this link: one statement, nothing locked."""
    row = executor.row("companion_status", user=executor.dialect.user_in(user_id), app_session=app_session)
    assert row is not None
    companion_required, revoked_at, companions, newest, now = row
    out = executor.dialect.time_out
    rested = newest is None or (out(now) - out(newest)).total_seconds() >= ADOPTION_PAUSE
    return CompanionStatus(
        companion_required=bool(companion_required),
        revoked_at=None if revoked_at is None else out(revoked_at),
        companions=int(companions),
        may_adopt=not companion_required and int(companions) < ADOPTIONS and rested,
    )


def is_revoked_app_session(executor: Executor, app_session: bytes) -> bool:
    """Whether a companion of the application's session with this link has been ended."""
    return executor.row("is_revoked_app_session", app_session=app_session) is not None


def adopt(executor: Executor, user_id: str, digest: bytes, *, app_session: bytes, expires_in: float, device: Device) -> Session | None:
    """Start a companion for a login from before, under the user's lock."""

    def body(executor: Executor) -> Session | None:
        user = lock_user(executor, user_id)
        if user.companion_required:
            raise StaleLogin("the user's sessions were ended; only a new sign-in makes a companion")
        if not companion_status(executor, user_id, app_session).may_adopt:
            return None
        session = new_session(user_id, user.now, expires_in, generation=user.generation, app_session=app_session)
        add(executor, session, digest, device, _NO_METHODS)
        return session

    return with_users(executor, [user_id], body)


_NO_METHODS: Sequence[str] = ()
"""How the person signed in, nobody knows any more."""


def touch(executor: Executor, session: Session, *, app_session: bytes | None, expires_in: float) -> bool:
    """Let a live session expire so much later from now, under the user's lock; never sooner than before."""

    def body(executor: Executor) -> bool:
        user = lock_user(executor, session.user_id)
        if not is_live(executor, session):
            return False
        dialect = executor.dialect
        row = {"id": dialect.id_in(uuid_of(session)), "user": dialect.user_in(session.user_id)}
        expires = user.now + timedelta(seconds=expires_in)
        executor.change("touch", **row, expires=dialect.time_in(expires), seen=dialect.time_in(user.now))
        if link is not None:
            executor.change("app_session", **row, app_session=app_session)
        return True

    return with_users(executor, [session.user_id], body)
