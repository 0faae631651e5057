"""The path of a request, in reading order. Read this file first.

A flow decides and does no I/O. It asks a question with ``yield from`` and continues with the answer. If the backend raises, the
exception arrives at the line of the question, so this file decides what each failure means. The middlewares run the flows with
``drive.py``. The mode (``modes/``) knows who owns the sessions. No flow waits while the application works: the context keeps what
the flow before the application found for the flow after it.

==========================  ===========================================================================================
``revoke_others_endpoint``  our route: request → credential → session → revocation → response
``on_request``              every other request that may carry a credential, before the application
``login`` ...               the verbs that the application calls through ``handle/``
==========================  ===========================================================================================

After the application, ``Mode.on_response`` decides about the response head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from sessionward.context import Context
from sessionward.credential.carriers import CredentialSource, Unproven
from sessionward.credential.ticket import Ticket, read_ticket, sign_ticket
from sessionward.credential.token import Credential, new_token
from sessionward.errors import NotSignedIn, RateLimited, SessionRevoked, SignInTooOld, TooManySessions, UsageError
from sessionward.modes.mode import C, Mode
from sessionward.request.origin import MayCall, may_call
from sessionward.request.request import Fields, is_exempt
from sessionward.response.answer import Problem, Response, counted, inactive, rate_limited, refusal, sign_in_again, unavailable
from sessionward.session.also import called
from sessionward.session.impersonation import ORDINARY, Acting
from sessionward.session.methods import checked_methods
from sessionward.session.session import IMPERSONATION, RevokedCount, Session, user_key
from sessionward.session.step import Flow, Step
from sessionward.session.steps import BeginLogin, Login, Revoke, RevokeAll, RevokeOthers
from sessionward.settings.limits import AtLimit

T = TypeVar("T")

MAX_COOKIE: Final = 16_384
"""Bytes of the joined Cookie field. Our route responds 431 to more (CONTRACT.md 1)."""


# --- our route --------------------------------------------------------------------------------------------------------


class Caller(NamedTuple):
    """Who calls one of our routes. ``credential``: a secret of the session that stays the same. ``source``: what carried it."""

    session: Session
    credential: Credential
    source: CredentialSource


def caller(mode: Mode[C], context: C, *, changes: bool, may: MayCall = may_call) -> Flow[Caller | Response]:
    """Returns who calls one of our routes, or the refusal (CONTRACT.md 1, which orders the statuses).

    ``changes``: whether the call can change something, so that no page of another site may make it. ``may``: the cross-site rule.
    """
    request, settings = context.request, mode.settings
    if context.is_misplaced:
        return _misplaced(mode, context)
    if len(request.header(b"cookie") or b"") > MAX_COOKIE:
        return refusal(Problem.HEADER_TOO_LARGE, request, settings)
    reading, source = mode.read(context)
    if reading in (Unproven.AMBIGUOUS, Unproven.AMBIGUOUS_FOREIGN):
        return refusal(Problem.AMBIGUOUS, request, settings)
    if changes and source is CredentialSource.COOKIE and not may(request, trusted=settings.trusted, public=settings.public):
        return refusal(Problem.CROSS_SITE, request, settings)
    if not isinstance(reading, Credential):
        if reading is Unproven.NONE and mode.can_set_cookies and not settings.insecure and request.location().scheme == "http":
            context.warning = _PLAIN_HTTP
        return inactive(request, settings, source, mode.why_inactive(reading))
    try:
        session = yield from mode.find(reading)
        if session is None:
            return inactive(request, settings, source, "The credential is well formed, but its session is unknown, expired or revoked.")
        why = yield from mode.confirm(context, session)
    except SessionRevoked:
        return inactive(request, settings, source, "The session was revoked by another call at this moment.")
    except Exception as failure:  # P7: never 401, never success
        return unavailable(failure, request, settings)
    if why is not None:
        return inactive(request, settings, source, why)
    if not changes:  # a use of the session, as any request; CONTRACT.md 1: a revocation is none
        context.session, context.credential = session, reading
    return Caller(session, session.key or reading, source)


def revoke_others_endpoint(mode: Mode[C], context: C) -> Flow[Response]:
    """Returns the response to ``DELETE /auth/sessions``: sign out my other devices (CONTRACT.md 1)."""
    found = yield from caller(mode, context, changes=True)
    if isinstance(found, Response):
        return found
    change = RevokeOthers(found.session, mode.terms)
    return (yield from changed(mode, context, found, change, lambda count: counted(count, context.request, mode.settings)))


def changed(mode: Mode[C], context: C, by: Caller, change: Step[T], then: Callable[[T], Response]) -> Flow[Response]:
    """Makes a change that a client asks for. Returns ``then`` of the backend's answer, or the refusal."""
    request, settings = context.request, mode.settings
    if by.session.kind == IMPERSONATION:
        return refusal(Problem.IMPERSONATION, request, settings)
    try:
        answer = yield from mode.settled(change)
        if settings.also is not None and isinstance(change, RevokeOthers):
            yield from called(settings.also, by.session.user_id)
        return then(answer)  # P5: the backend's own count; anything else is a failure
    except SessionRevoked:  # P2: another call was faster and has revoked the caller's session
        return inactive(request, settings, by.source, "The session was revoked by another call at this moment.")
    except SignInTooOld:
        return sign_in_again(request, settings)
    except RateLimited as limit:
        return rate_limited(limit.retry_after, request, settings)
    except Exception as failure:  # P7: never 401, never success
        return unavailable(failure, request, settings)


_PLAIN_HTTP: Final = (
    "a client has called our route over plain http and sent no cookie of sessionward: browsers drop our cookie over plain http. In"
    " development set insecure=True. Behind a proxy that ends TLS, ignore this, or let the server trust the proxy's X-Forwarded-Proto"
)


# --- all other routes -------------------------------------------------------------------------------------------------


def on_request(mode: Mode[C], context: C) -> Flow[Response | Fields | None]:
    """Decides what the application gets of a request (CONTRACT.md 4): a live credential, or none.

    Returns None if the request passes on unchanged, or the fields that replace ``context.found``, or a refusal.
    """
    if context.is_misplaced:
        return _misplaced(mode, context)
    if is_exempt(context.request.route(), mode.settings.exempt):
        fields: Response | Fields | None = mode.exempt(context)
    else:
        try:
            fields = yield from mode.on_request(context)
        except Exception as failure:  # P7: never pass it on as signed in or as anonymous
            return unavailable(failure, context.request, mode.settings)
    return context.found if fields is None and context.has_twins else fields


def _misplaced(mode: Mode[C], context: Context) -> Response:
    """Returns a refusal, since the application's session middleware has read the login before we could remove it."""
    context.warning = _MISPLACED.format(key=mode.outer_key)
    return refusal(Problem.UNAVAILABLE, context.request, mode.settings, debug=context.warning)


_MISPLACED: Final = (
    "sessionward refuses every request: the application's session middleware runs before it and has read the login already"
    " ({key!r} is set); put sessionward around that middleware (of several add_middleware() calls the last one is the outermost)"
)


# --- the verbs of the application -------------------------------------------------------------------------------------


def login(
    mode: Mode[C], context: C, user_id: object, *, ticket: object, methods: Sequence[str], persistent: bool, acting: Acting = ORDINARY
) -> Flow[str]:
    """Starts a session, revokes the one that this browser had, and sets the cookie. Returns the token.

    ``acting``: says whether another user acts as this one. Raises ``StaleLogin`` for a sign-in that began before the user's sessions
    were revoked (P3), and ``TooManySessions``.
    """
    user = user_key(user_id)
    mode.capabilities.require("login")
    _require_head(context, "login")
    impersonation = mode.impersonation(context, user, acting)
    shown = None if ticket is None else read_ticket(mode.tickets, user, ticket)
    generation = context.generations.get(user) if shown is None else shown.generation
    credential = Credential(new_token().encode())  # no frame that can raise has the token itself
    new = mode.new_session(context, user, credential.digest, generation, checked_methods(methods))
    new = new if impersonation is None else impersonation.of(new)
    if shown is not None and shown.at_limit is not None:
        new = replace(new, at_limit=shown.at_limit)
    before = "" if new.replaces is None else new.replaces.user_id
    try:
        session = yield from mode.settled(Login(new), context.credential, before)
    except TooManySessions as full:
        full.ticket = sign_ticket(mode.tickets, user, Ticket(full.generation, AtLimit.REVOKE))
        raise
    mode.hold(context, session, credential, max_age=new.lasts(session.issued_at) if persistent else None)
    return credential.reveal()


def begin_login(mode: Mode[C], user_id: object) -> Flow[str]:
    """Returns the ticket of a sign-in over several requests: the user's generation, signed for this user (P3 b)."""
    user = user_key(user_id)
    mode.capabilities.require("begin_login")
    return sign_ticket(mode.tickets, user, Ticket((yield from BeginLogin(user))))


def logout(mode: Mode[C], context: C) -> Flow[None]:
    """Revokes the caller's session, if there is one, and clears the cookie."""
    mode.capabilities.require("revoke")
    _require_head(context, "logout")
    session = mode.held(context) or (yield from mode.current(context))
    if session is not None:
        yield from mode.settled(Revoke(session.user_id, session.id), context.credential, session.user_id)
    mode.forget(context, clear_cookie=True)
    context.acted = None  # the only end of an impersonation after which this browser is like any other


def current(mode: Mode[C], context: C) -> Flow[Session | None]:
    """Returns the live session of the caller, or None. Raises what the backend raises."""
    return mode.current(context)


def revoke_others(mode: Mode[C], context: C) -> Flow[int]:
    """Revokes the caller's other sessions. Returns how many were live.

    Raises ``NotSignedIn`` without a live session, and ``UsageError`` in an impersonation. Raises ``SessionRevoked`` if another call
    has just revoked the caller's own.
    """
    session = yield from own_session(mode, context, "revoke_others")
    count = yield from mode.settled(RevokeOthers(session))
    if isinstance(count, RevokedCount):
        context.generations[session.user_id] = count.generation
    return int(count)


def revoke_all(mode: Mode[C], context: C, user_id: object) -> Flow[int]:
    """Revokes all sessions of a user, including the caller's if it is this user. Returns how many were live."""
    user = user_key(user_id)
    mode.capabilities.require("revoke_all")
    is_own = context.session is not None and context.session.user_id == user
    count = yield from mode.settled(RevokeAll(user), context.credential if is_own else None, user)
    if isinstance(count, RevokedCount):
        context.generations[user] = count.generation
    if is_own:
        held = mode.held(context)
        if held is not None and held.kind == IMPERSONATION:
            context.acted = held  # a new password revokes all and then signs in: that sign-in must not hide who acts
        mode.forget(context, clear_cookie=False)
    return int(count)


# --- the small parts --------------------------------------------------------------------------------------------------


def own_session(mode: Mode[C], context: C, verb: str) -> Flow[Session]:
    """Returns the live session of the caller, for a verb that revokes others of the same user. An impersonation may not."""
    session = yield from mode.current(context)
    if session is None:
        raise NotSignedIn(f"{verb}() needs a signed-in caller; this request carries no live session")
    if session.kind == IMPERSONATION:
        raise UsageError(f"{verb}() is for the user, and this session is an impersonation; check sessions.current.kind first")
    return session


def _require_head(context: Context, verb: str) -> None:
    if context.head_is_out:
        raise UsageError(f"{verb}() sets a cookie, but the head of this response has been sent already; call it earlier")
