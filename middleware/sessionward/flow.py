"""The path of a request, in reading order. Read this file first.

A flow decides and does no I/O. It asks a question with ``yield from`` and continues with the answer. If the backend raises, the
exception arrives at the line of the question, so this file decides what each failure means. The middlewares run the flows with
``drive.py``. The mode (``modes/``) knows who owns the sessions. No flow waits while the application works: the context keeps what
the flow before the application found for the flow after it.

==========================  ===========================================================================================
``revoke_others_endpoint``  our route: request → credential → session → revocation → response
``on_request``              every other request that may carry a credential, before the application
``login`` ...               the verbs that the application calls through ``handle.py``
==========================  ===========================================================================================

After the application, ``Mode.on_response`` decides about the response head.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

from sessionward.context import Context
from sessionward.credential.carriers import CredentialSource, Unproven
from sessionward.credential.ticket import read_ticket, sign_ticket
from sessionward.credential.token import Credential, new_token
from sessionward.errors import NotSignedIn, SessionRevoked, UsageError
from sessionward.modes.mode import C, Mode
from sessionward.request.origin import may_call
from sessionward.request.request import Fields, is_exempt
from sessionward.response.answer import Problem, Response, counted, inactive, refusal, unavailable
from sessionward.session.session import RevokedCount, Session, user_key
from sessionward.session.step import Flow
from sessionward.session.steps import BeginLogin, Find, Login, Revoke, RevokeAll, RevokeOthers

MAX_COOKIE: Final = 16_384
"""Bytes of the joined Cookie field. Our route responds 431 to more (CONTRACT.md 1)."""

_METHOD: Final = re.compile(r"[a-z0-9_]{1,32}")


# --- our route --------------------------------------------------------------------------------------------------------


def revoke_others_endpoint(mode: Mode[C], context: C) -> Flow[Response]:
    """Returns the response to ``DELETE /auth/sessions``: sign out my other devices (CONTRACT.md 1, which orders the statuses)."""
    request, settings = context.request, mode.settings
    if context.is_misplaced:
        return _misplaced(mode, context)
    if len(request.header(b"cookie") or b"") > MAX_COOKIE:
        return refusal(Problem.HEADER_TOO_LARGE, request, settings)
    reading, source = mode.read(context)
    if reading in (Unproven.AMBIGUOUS, Unproven.AMBIGUOUS_FOREIGN):
        return refusal(Problem.AMBIGUOUS, request, settings)
    if source is CredentialSource.COOKIE and not may_call(request, trusted=settings.trusted, public=settings.public):
        return refusal(Problem.CROSS_SITE, request, settings)
    if not isinstance(reading, Credential):
        if reading is Unproven.NONE and mode.can_set_cookies and not settings.insecure and request.location().scheme == "http":
            context.warning = _PLAIN_HTTP
        return inactive(request, settings, source, mode.why_inactive(reading))
    try:
        session = yield from Find(reading)
        if session is None:
            return inactive(request, settings, source, "The credential is well formed, but its session is unknown, expired or revoked.")
        why = yield from mode.confirm(context, session)
        if why is not None:
            return inactive(request, settings, source, why)
        count = int((yield from RevokeOthers(session, quietly=True)))  # anything but a number is a failure
    except SessionRevoked:  # P2: another call was faster and has revoked the caller's session
        return inactive(request, settings, source, "The session was revoked by another call at this moment.")
    except Exception as failure:  # P7: never 401, never success
        return unavailable(failure, request, settings)
    return counted(count, request, settings)  # P5: the backend's own count


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


def login(mode: Mode[C], context: C, user_id: object, *, ticket: object, methods: Sequence[str], persistent: bool) -> Flow[str]:
    """Starts a session, revokes the one that this browser had, and sets the cookie. Returns the token.

    Raises ``StaleLogin`` for a sign-in that began before the user's sessions were revoked (P3).
    """
    user = user_key(user_id)
    _require(mode, "login")
    _require_head(context, "login")
    generation = context.generations.get(user) if ticket is None else read_ticket(mode.tickets, user, ticket)
    credential = Credential(new_token().encode())  # no frame that can raise has the token itself
    session = yield from Login(mode.new_session(context, user, credential.digest, generation, _methods(methods)))
    mode.hold(context, session, credential, persistent=persistent)
    return credential.reveal()


def begin_login(mode: Mode[C], user_id: object) -> Flow[str]:
    """Returns the ticket of a sign-in over several requests: the user's generation, signed for this user (P3 b)."""
    user = user_key(user_id)
    _require(mode, "begin_login")
    return sign_ticket(mode.tickets, user, (yield from BeginLogin(user)))


def logout(mode: Mode[C], context: C) -> Flow[None]:
    """Revokes the caller's session, if there is one, and clears the cookie."""
    _require(mode, "revoke")
    _require_head(context, "logout")
    session = mode.held(context) or (yield from mode.current(context))
    if session is not None:
        yield from Revoke(session.user_id, session.id)
    mode.forget(context, clear_cookie=True)


def current(mode: Mode[C], context: C) -> Flow[Session | None]:
    """Returns the live session of the caller, or None. Raises what the backend raises."""
    return mode.current(context)


def revoke_others(mode: Mode[C], context: C) -> Flow[int]:
    """Revokes the caller's other sessions. Returns how many were live.

    Raises ``NotSignedIn`` without a live session, and ``SessionRevoked`` if another call has just revoked the caller's own.
    """
    session = yield from mode.current(context)
    if session is None:
        raise NotSignedIn("revoke_others() needs a signed-in caller; this request carries no live session")
    count = yield from RevokeOthers(session)
    if isinstance(count, RevokedCount):
        context.generations[session.user_id] = count.generation
    return int(count)


def revoke_all(mode: Mode[C], context: C, user_id: object) -> Flow[int]:
    """Revokes all sessions of a user, including the caller's if it is this user. Returns how many were live."""
    user = user_key(user_id)
    _require(mode, "revoke_all")
    count = yield from RevokeAll(user)
    if isinstance(count, RevokedCount):
        context.generations[user] = count.generation
    if context.session is not None and context.session.user_id == user:
        mode.forget(context, clear_cookie=False)
    return int(count)


# --- the small parts --------------------------------------------------------------------------------------------------


def _methods(methods: object) -> Sequence[str]:
    given = () if isinstance(methods, str) or not isinstance(methods, Sequence) else tuple(cast("Sequence[object]", methods))
    names = tuple(method for method in given if isinstance(method, str) and _METHOD.fullmatch(method))
    if len(names) < len(given) or (not given and methods not in ((), [])):
        raise UsageError("methods must be a list of names such as 'password' or 'totp': lower-case letters, digits and underscores")
    return names


def _require(mode: Mode[C], operation: str) -> None:
    if operation not in mode.capabilities.operations:
        raise UsageError(f"{mode.capabilities.backend} has no {operation}(): the application starts its sessions itself")


def _require_head(context: Context, verb: str) -> None:
    if context.head_is_out:
        raise UsageError(f"{verb}() sets a cookie, but the head of this response has been sent already; call it earlier")
