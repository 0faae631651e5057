"""The revocations that a client asks for: on the terms of the settings, under the user's lock."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sessionward.backends.sql.executor import Executor, writes
from sessionward.backends.sql.queries import LiveRow, User, caller, live_row, lock_user, raised, revoke_live, revoke_row, with_users
from sessionward.session.rate import judge_recent, next_call, next_raise
from sessionward.session.session import IMPERSONATION, RAISE_PAUSE, RevokedCount, Session, Terms


@writes
def revoke_others_quietly(executor: Executor, session: Session, terms: Terms) -> RevokedCount:
    """Revokes the others. What finds nothing to revoke raises the generation only now and then."""

    def body(executor: Executor) -> RevokedCount:
        user = lock_user(executor, session.user_id)
        own = caller(executor, user, session)
        _judge_recent(executor, own, terms)
        if session.app_session is not None and not user.companion_required:
            # A companion that ended for want of use shows it no more once it is marked as expired, and perhaps nothing is raised.
            executor.change("require_idled", user=executor.dialect.user_in(session.user_id))
        statement = "revoke_live" if terms.impersonations else "revoke_ordinary"
        count = revoke_live(executor, statement, user, keep=session.id, reason="others")
        if count > 0:
            _spend(executor, session, own, terms)
        elif not _may_raise(executor, session, user, own):
            return RevokedCount(0, user.generation)
        return raised(executor, user, count)

    return with_users(executor, [session.user_id], body)


@writes
def revoke_one(executor: Executor, session: Session, id: UUID, terms: Terms) -> bool:
    """Revokes another session of the user. Returns whether it was live. Does not raise the generation."""

    def body(executor: Executor) -> bool:
        user = lock_user(executor, session.user_id)
        own = caller(executor, user, session)
        _judge_recent(executor, own, terms)
        other = None if id == session.id else live_row(executor, user, id)
        if id == session.id or (other is not None and other.kind == IMPERSONATION and not terms.impersonations):
            return False
        if other is not None:
            _spend(executor, session, own, terms)
        revoke_row(executor, session.user_id, id, by=session.id, reason="one")
        return other is not None

    return with_users(executor, [session.user_id], body)


def _judge_recent(executor: Executor, own: LiveRow, terms: Terms) -> None:
    """Raises ``SignInTooOld`` by the terms, before anything is changed."""
    out = executor.dialect.time_out
    at = None if own.authenticated_at is None else out(own.authenticated_at).timestamp()
    judge_recent(terms, authenticated_at=at, now=out(own.now).timestamp())


def _spend(executor: Executor, session: Session, own: LiveRow, terms: Terms) -> None:
    """Records a call that revokes something. Raises ``RateLimited`` by the terms; then the transaction must be rolled back."""
    if terms.rate_limit is None:
        return
    dialect = executor.dialect
    before = None if own.allowed_at is None else dialect.time_out(own.allowed_at).timestamp()
    after = next_call(before, dialect.time_out(own.now).timestamp(), terms.rate_limit)
    at = dialect.time_in(datetime.fromtimestamp(after, UTC))
    executor.change("note_call", id=dialect.id_in(session.id), user=dialect.user_in(session.user_id), allowed_at=at)


def _may_raise(executor: Executor, session: Session, user: User, own: LiveRow) -> bool:
    """P3: whether a call that found nothing raises the generation. A stolen session can repeat the call without end."""
    dialect = executor.dialect
    now = dialect.time_out(own.now)
    if user.revoked_at is not None and 0 <= (now - user.revoked_at).total_seconds() < RAISE_PAUSE:
        return False
    after = next_raise(None if own.raises_at is None else dialect.time_out(own.raises_at).timestamp(), now.timestamp())
    if after is None:
        return False
    at = dialect.time_in(datetime.fromtimestamp(after, UTC))
    executor.change("note_raise", id=dialect.id_in(session.id), user=dialect.user_in(session.user_id), raises_at=at)
    return True
