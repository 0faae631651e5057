"""The flows of two verbs of the application: list the caller's sessions, and revoke one of them."""

from __future__ import annotations

from uuid import UUID

from sessionward.api.endpoints import uuid_of
from sessionward.errors import NotSignedIn, UsageError
from sessionward.flow import own_session
from sessionward.modes.mode import C, Mode
from sessionward.session.session import Position, Session, SessionList, Terms
from sessionward.session.step import Flow
from sessionward.session.steps import ListSessions, RevokeOne


def list_own(mode: Mode[C], context: C, *, after: object, limit: object) -> Flow[SessionList]:
    """Returns the caller's live sessions, its own among them, the newest first.

    ``after``: only those behind this session. ``limit``: at most so many. Raises ``NotSignedIn`` without a live session.
    """
    mode.capabilities.require("list", "it cannot list the sessions of a user")
    if after is not None and not isinstance(after, Session):
        raise UsageError("after must be a session of an earlier list")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise UsageError("limit must be an int of at least 1")
    session = yield from mode.current(context)
    if session is None:
        raise NotSignedIn("list() needs a signed-in caller; this request carries no live session")
    place = None if after is None else Position.of(after)
    return (yield from ListSessions(user_id=session.user_id, after=place, limit=limit, without=None))


def revoke_one(mode: Mode[C], context: C, session_id: object) -> Flow[bool]:
    """Revokes one of the caller's other sessions, an impersonation too. Returns whether it was live.

    An unknown id, or that of another user, returns False. Raises ``NotSignedIn`` without a live session, ``UsageError`` for the
    caller's own id and in an impersonation, and ``SessionRevoked`` if another call has just revoked the caller's own session.
    """
    mode.capabilities.require("revoke_one", "it cannot revoke a single session of a user")
    other = session_id if isinstance(session_id, UUID) else None
    if isinstance(session_id, str) and session_id.isascii():
        other = uuid_of(session_id.encode())
    if other is None:
        raise UsageError("the id of a session must be a UUID")
    session = yield from own_session(mode, context, "revoke")
    if other == session.id:
        raise UsageError("this is the caller's own session; use logout()")
    return (yield from mode.settled(RevokeOne(session, other, Terms(impersonations=True))))  # the settings have terms for clients
