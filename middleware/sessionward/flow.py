"""The path of a request, in reading order: the page to read first.

A flow decides and performs nothing. It asks its questions with ``yield from`` and goes on with the answer; what a
backend raises arrives at the line of the question, so the meaning of every failure is written here once. The doors
carry flows to their ends (``drive.py``) and know nothing of their reasons. No flow waits while the application works:
what the one before it has found stands in the visit, for the one after it.

=================  =====================================================================================
``revoke_others_endpoint``     our route: request → credential → session → revocation → response
``guard``          every other request with a credential, before the application: session, or a refusal
``seal``           the head of the application's answer, after it: no cookie for a session that has ended meanwhile
``login`` ...      what the application itself may ask for, through ``ward.py``
=================  =====================================================================================
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Final, cast

from sessionward.context import Policy, Visit
from sessionward.credential.carriers import Unproven, CredentialSource, read_carriers, read_own
from sessionward.credential.login_cookies import read_logins, taken
from sessionward.credential.token import Credential, new_token
from sessionward.errors import NotSignedIn, OutcomeUnknown, SessionRevoked, StaleLogin, UsageError
from sessionward.modes.companion.before import admit, concerns, see_off
from sessionward.modes.recorded import keep_out, look_back
from sessionward.request.origin import may_call
from sessionward.response.answer import Headers, Problem, Response, counted, refused
from sessionward.response.head import sets_cookie, with_set_cookie, without_set_cookie
from sessionward.response.set_cookies import gives_login, without_logins
from sessionward.session.identifier import app_session_digest
from sessionward.session.session import RevokedCount, user_key
from sessionward.session.step import Flow
from sessionward.session.steps import BeginLogin, End, RevokeAll, RevokeOthers, Find, Login

_METHOD: Final = re.compile(r"[a-z0-9_]{1,32}")


class Admission(enum.Enum):
    """How a request may reach the application."""

    AS_IT_CAME = enum.auto()
    WITHOUT_CREDENTIAL = enum.auto()  # what proved to be dead must not be seen


# --- our route --------------------------------------------------------------------------------------------------------


def revoke_others_endpoint(visit: Visit) -> Flow[Response]:
    """``DELETE /auth/sessions``: sign out my other devices (CONTRACT.md 1, statuses in order of precedence)."""
    policy, request = visit.policy, visit.request
    settings = policy.settings
    if len(request.header(b"cookie") or b"") > settings.max_cookie:
        return _refused(visit, Problem.HEADER_TOO_LARGE)
    reading, source = _read(visit)
    if reading in (Unproven.AMBIGUOUS, Unproven.AMBIGUOUS_FOREIGN):
        return _refused(visit, Problem.AMBIGUOUS)
    if source is CredentialSource.COOKIE and not may_call(request, trusted=policy.trusted, public=policy.public, strict=settings.csrf == "strict"):
        return _refused(visit, Problem.CROSS_SITE)
    if not isinstance(reading, Credential):
        return _inactive(visit, source, _WHY[reading] + (_NO_IDENTIFIER if policy.spec is None else _NO_COMPANION))
    try:
        session = yield from Find(reading)
        if session is None:
            return _inactive(visit, source, "The credential is well formed, but its session is unknown, expired or ended.")
        if policy.spec is not None:
            yield from admit(visit, session)
            if visit.session is None:
                return _inactive(visit, source, "The session is a companion, and the application's own login does not go with it.")
        count = int((yield from RevokeOthers(session)))
    except SessionRevoked:  # somebody was faster, and ended ours
        return _inactive(visit, source, "The session was ended by another call at this moment.")
    except Exception as failure:
        return _unavailable(visit, failure)
    return counted(count, request, policy.trusted)


_WHY: Final = {
    Unproven.NONE: "The request carries no credential.",
    Unproven.FOREIGN: "X-Session-Token does not have the form of a session token.",
    Unproven.INVALID: "The cookie has our name, but no secret of ours signed it so.",
}


_NO_IDENTIFIER: Final = " Over a login that the application already has, `identify` is needed, or a backend over its own sessions."
_NO_COMPANION: Final = (
    " A browser gets its companion cookie with an answer of the application in which the identifier finds a user; if it never does,"
    " look at the identifier's cookie names, and at where in the session it looks for the user's id."
)


# --- all other routes -------------------------------------------------------------------------------------------------


def guard(visit: Visit) -> Flow[Response | Admission]:
    """A request with a credential that we look at (CONTRACT.md 4): the application sees what is live, or none at all."""
    policy = visit.policy
    if policy.exempt_paths and visit.request.route().startswith(policy.exempt_paths):
        _take_all(visit)
        return Admission.WITHOUT_CREDENTIAL  # costs no question, so it must open no door
    if policy.capabilities.carriers:
        return (yield from _watched(visit))
    session = None
    reading, source = _read(visit)
    if isinstance(reading, Credential):
        try:
            session = yield from Find(reading)
        except Exception as failure:
            return _unavailable(visit, failure)
        if session is not None:
            visit.session, visit.credential = session, reading
    elif reading is Unproven.AMBIGUOUS:
        return _refused(visit, Problem.AMBIGUOUS)
    if policy.spec is not None:
        try:
            yield from admit(visit, session)
        except Exception as failure:
            return _unavailable(visit, failure)
    if session is not None or reading in _NOT_OURS:
        return _AS_IT_CAME
    if policy.settings.on_invalid == "reject":
        return _inactive(visit, source, "The session is unknown, expired or ended.")
    return Admission.WITHOUT_CREDENTIAL


_NOT_OURS: Final = (Unproven.NONE, Unproven.FOREIGN, Unproven.AMBIGUOUS_FOREIGN)
"""Nothing of ours, or nothing that could be."""


def _watched(visit: Visit) -> Flow[Response | Admission]:
    """A request with a session cookie of the application's, whose store may write ended sessions back."""
    try:
        yield from keep_out(visit)
    except Exception as failure:
        return _unavailable(visit, failure)
    return _AS_IT_CAME


def misplaced(visit: Visit) -> Response:
    """Our door stands inside of what reads the application's login: taking it out would come too late, so nothing passes."""
    assert visit.policy.spec is not None
    visit.warning = _MISPLACED.format(key=visit.policy.spec.outer_key)
    return _refused(visit, Problem.UNAVAILABLE, debug=visit.warning)


_MISPLACED: Final = (
    "{key!r} is there already: the application's session middleware stands outside of sessionward and has read the login, so every"
    " request is refused; put sessionward around it (of several add_middleware() calls the last one is the outermost)"
)


def concerned(visit: Visit, head: Headers) -> bool:
    """Whether the head of an answer has to be looked at by :func:`seal`."""
    policy = visit.policy
    if policy.spec is not None:
        return concerns(visit, head)
    if policy.logins is not None:
        return gives_login(head, policy.logins)
    return visit.cookie is not None or sets_cookie(head, policy.cookie_name)


def _take_all(visit: Visit) -> None:
    if visit.policy.logins is not None:
        found = read_logins(visit.request.header, visit.policy.logins)
        visit.taken = taken(found, found.logins)
        visit.skipped = True


_AS_IT_CAME: Final = Admission.AS_IT_CAME


def seal(visit: Visit, head: Headers) -> Flow[Headers]:
    """The head of the application's answer, as it may go out (CONTRACT.md 4, last point but one).

    Asks a second time only where a cookie of ours is about to be set: an answer on its way while the session ended
    must not bring it back to the browser. A backend that is silent then costs the cookie, never the answer.
    """
    if visit.skipped and visit.policy.logins is not None:
        return without_logins(head, visit.policy.logins, visit.clock)  # an empty session would stand in front of the login
    if visit.policy.spec is not None:
        return (yield from see_off(visit, head))
    if visit.policy.logins is not None:
        return (yield from look_back(visit, head))
    name = visit.policy.cookie_name
    if visit.cookie is None and not sets_cookie(head, name):
        return head
    if visit.credential is not None:
        try:
            alive = (yield from Find(visit.credential)) is not None
        except Exception:  # it has been logged where it was raised
            alive = False
        if not alive:
            return without_set_cookie(head, name)
    return head if visit.cookie is None else with_set_cookie(without_set_cookie(head, name), visit.cookie)


# --- what the application asks for ------------------------------------------------------------------------------------


def login(visit: Visit, user_id: object, *, since: object, methods: Sequence[str], persistent: bool) -> Flow[str]:
    """Start a session, end the one that this browser had, and set the cookie; answers the token.

    Raises ``StaleLogin`` for a sign-in that began before the user's sessions were ended (P3).
    """
    user = user_key(user_id)
    _able(visit, "login")
    _needs_head(visit, "login")
    policy = visit.policy
    generation = visit.generations.get(user) if since is None else _unsealed(policy, user, since)
    lifetime = policy.settings.lifetime
    credential = Credential(new_token().encode())  # the token itself stands in no frame that can raise
    visit.session = yield from Login(
        user_id=user,
        credential=credential,
        since=generation,
        age=visit.age,
        replaces=visit.companion or visit.session,
        expires_in=lifetime,
        device=visit.device(),
        methods=_methods(methods),
        app_session=None if policy.spec is None else app_session_digest(credential.digest),  # a companion like any other
    )
    if policy.spec is not None:
        visit.companion = visit.session
    visit.credential = credential
    visit.cookie = policy.cookie(credential, max_age=lifetime if persistent else None)
    return credential.reveal()


def begin_login(visit: Visit, user_id: object) -> Flow[str]:
    """The ticket of a sign-in over several requests: the user's generation, signed for this user (P3 b)."""
    user = user_key(user_id)
    _able(visit, "begin_login")
    return _sealed(visit.policy, user, (yield from BeginLogin(user)))


def logout(visit: Visit) -> Flow[None]:
    """End the caller's session, if there is one, and clear the cookie."""
    _able(visit, "end")
    _needs_head(visit, "logout")
    session = visit.companion or visit.session
    if session is not None:
        yield from End(session)
    _forget(visit)
    visit.cookie = visit.policy.clearing_cookie()


def revoke_others(visit: Visit) -> Flow[int]:
    """End the other sessions of the caller. Raises ``NotSignedIn``, or ``SessionRevoked`` if the caller's own just ended."""
    session = visit.session
    if session is None:
        raise NotSignedIn("revoke_others_endpoint() needs a signed-in caller; this request carries no live session")
    count = yield from RevokeOthers(session)
    if isinstance(count, RevokedCount):
        visit.generations[session.user_id] = count.generation
    return int(count)


def revoke_all(visit: Visit, user_id: object) -> Flow[int]:
    """End all sessions of a user; the caller's too, if it is theirs."""
    user = user_key(user_id)
    _able(visit, "revoke_all")
    count = yield from RevokeAll(user)
    if isinstance(count, RevokedCount):
        visit.generations[user] = count.generation
    if visit.session is not None and visit.session.user_id == user:
        _forget(visit)
        visit.cookie = None
    return int(count)


# --- the small parts --------------------------------------------------------------------------------------------------


def _read(visit: Visit) -> tuple[Credential | Unproven, CredentialSource]:
    policy, header = visit.policy, visit.request.header
    if policy.capabilities.carriers:
        return read_carriers(header, policy.capabilities.carriers)
    own = read_own(header, policy.cookie_name, policy.cookie_signature)
    if own[0] is Unproven.FOREIGN and policy.spec is not None:  # the application's own; a companion travels in its cookie
        return read_own(lambda name: None if name == b"x-session-token" else header(name), policy.cookie_name, policy.cookie_signature)
    return own


def _methods(methods: object) -> Sequence[str]:
    given = () if isinstance(methods, str) or not isinstance(methods, Sequence) else tuple(cast("Sequence[object]", methods))
    names = tuple(method for method in given if isinstance(method, str) and _METHOD.fullmatch(method))
    if len(names) < len(given) or (not given and methods not in ((), [])):
        raise UsageError("methods is a list of names such as 'password' or 'totp', of small letters, digits and underscores")
    return names


def _forget(visit: Visit) -> None:
    visit.session = visit.companion = visit.credential = visit.adopting = None


def _able(visit: Visit, operation: str) -> None:
    if operation not in visit.policy.capabilities.operations:
        raise UsageError(f"the backend of this door has no {operation}(): it works over sessions that are started elsewhere")


def _needs_head(visit: Visit, verb: str) -> None:
    if visit.head_is_out:
        raise UsageError(f"{verb}() changes a cookie, and the head of this response is already out")


def _sealed(policy: Policy, user: str, generation: int) -> str:
    """``generation.signature``, where the signature covers the user's id as well, which the text does not show."""
    signed = policy.ticket_signature.sign(f"{generation}.{user}".encode())
    return f"{generation}.{signed.rpartition(b'.')[2].decode()}"


def _unsealed(policy: Policy, user: str, ticket: object) -> int:
    """The generation in a ticket of :func:`begin_login`. What was not signed for this user counts as stale, never as fresh."""
    if not isinstance(ticket, str):
        raise UsageError(f"since is a ticket of begin_login(), a text, not {type(ticket).__name__}")
    generation, _, signature = ticket.partition(".")
    value = f"{generation}.{user}".encode("utf-8", "replace")
    # Signed again and compared, never cut apart: a user's id may have dots in it as well.
    if not generation.isdecimal() or not policy.ticket_signature.verifies(value, value + b"." + signature.encode("utf-8", "replace")):
        raise StaleLogin("the ticket was not signed for this user; begin the sign-in anew")
    return int(generation)


def _refused(visit: Visit, problem: Problem, *, debug: str | None = None) -> Response:
    return refused(problem, visit.request, visit.policy.trusted, debug=debug if visit.policy.settings.debug else None)


def _inactive(visit: Visit, source: CredentialSource, why: str) -> Response:
    challenge = b'Bearer error="invalid_token"' if source is CredentialSource.HEADER else b"Bearer"
    debug = why if visit.policy.settings.debug else None
    return refused(Problem.INACTIVE, visit.request, visit.policy.trusted, (b"www-authenticate", challenge), debug=debug)


def _unavailable(visit: Visit, failure: Exception) -> Response:
    problem = Problem.UNKNOWN if isinstance(failure, OutcomeUnknown) else Problem.UNAVAILABLE
    return _refused(visit, problem, debug=type(failure).__name__)
