"""The flows of the session API: who am I, my other sessions, revoke one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sessionward.api.paging import InvalidPage, PageRequest, link_to, requested_page
from sessionward.api.session_object import session_json
from sessionward.flow import Caller, caller, changed
from sessionward.modes.mode import C, Mode
from sessionward.response.answer import Problem, Response, done, refusal, shown, unavailable
from sessionward.session.session import SessionList
from sessionward.session.step import Flow, answered
from sessionward.session.steps import ListSessions, RevokeOne


def whoami(mode: Mode[C], context: C) -> Flow[Response]:
    """Returns the caller's own session."""
    found = yield from caller(mode, context, changes=False)
    if isinstance(found, Response):
        return found
    return shown(session_json(found.session), context.request, mode.settings)


def list_sessions(mode: Mode[C], context: C) -> Flow[Response]:
    """Returns the caller's other live sessions, the newest first, page by page."""
    found = yield from listed(mode, context)
    if isinstance(found, Response):
        return found
    request, settings = context.request, mode.settings
    by, page, sessions = found
    link = link_to(request.mount() + settings.path.encode(), page, sessions, by.credential)
    objects = b"[%b]" % b",".join([session_json(session) for session in sessions[: page.size]])
    return shown(objects, request, settings, (b"link", link), (b"x-total-count", b"%d" % sessions.total))


class Listed(NamedTuple):
    """A page of the caller's other sessions. ``sessions``: those of the page, and the first of the next one if there is one."""

    by: Caller
    page: PageRequest
    sessions: SessionList


def listed(mode: Mode[C], context: C, size: int | None = None) -> Flow[Listed | Response]:
    """Returns the page of sessions that the client asks for, or the refusal. ``size``: of each page, whatever the client asks for."""
    by = yield from caller(mode, context, changes=False)
    if isinstance(by, Response):
        return by
    request, settings, own = context.request, mode.settings, by.session
    try:
        page = requested_page(request.query(), by.credential)
    except InvalidPage:
        return refusal(Problem.PAGE, request, settings)
    page = page if size is None else page._replace(size=size)
    try:
        sessions = yield from ListSessions(user_id=own.user_id, after=page.after, limit=page.size + 1, without=own.id)
    except Exception as failure:  # P7: never an empty list
        return unavailable(failure, request, settings)
    return Listed(by, page, sessions)


def revoke_session(name: bytes, mode: Mode[C], context: C) -> Flow[Response]:
    """Revokes one of the caller's other sessions. ``name``: its id, as in the path.

    An id that is unknown, or of another user, gets the same answer as one that was live.
    """
    found = yield from caller(mode, context, changes=True)
    if isinstance(found, Response):
        return found
    change = revoking_one(name, found, mode, context)
    if isinstance(change, Response):
        return change
    return (yield from changed(mode, context, found, change, lambda _was_live: done(context.request, mode.settings)))


def revoking_one(name: bytes, by: Caller, mode: Mode[C], context: C) -> RevokeOne | Response:
    """Returns the change that revokes one of the caller's other sessions, or the refusal of its id."""
    other = uuid_of(name)
    if other is None:
        return refusal(Problem.SESSION_ID, context.request, mode.settings)
    if other == by.session.id:
        return refusal(Problem.CURRENT_SESSION, context.request, mode.settings)
    return RevokeOne(by.session, other, mode.terms)


def uuid_of(name: bytes) -> UUID | None:
    """Returns the UUID in a segment of a path, in the one spelling of RFC 9562, 4, or None."""
    try:
        found = UUID(name.decode("ascii"))
    except ValueError:
        return None
    return found if str(found).encode() == name.lower() else None


def method_not_allowed(allowed: Sequence[str], mode: Mode[C], context: C) -> Flow[Response]:
    """Refuses a method that our route does not have."""
    return answered(refusal(Problem.METHOD, context.request, mode.settings, (b"allow", ", ".join(allowed).encode())))
