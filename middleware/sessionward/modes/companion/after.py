"""After the application: it has signed somebody in, signed somebody out, or gone on; the browser's companion follows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from sessionward.credential.token import Credential, new_token
from sessionward.errors import StaleLogin
from sessionward.modes.companion.judge import CompanionContext, Named, Rules, app_session_of, judge
from sessionward.request.request import Fields
from sessionward.response.head import is_public, sets_cookie, with_set_cookie, without_set_cookie
from sessionward.response.set_cookies import SetCookie, cookies_after, drop_login_cookies, parse_set_cookies, sets_login_cookie
from sessionward.session.session import NewSession, Session
from sessionward.session.step import Flow
from sessionward.session.steps import Adopt, Extend, Find, FindCompanionStatus, IsRevokedAppSession, Login, Revoke


def touches(rules: Rules, context: CompanionContext, head: Fields) -> bool:
    """Whether something about the login may have changed with this answer."""
    return (
        context.cookie is not None
        or context.adopting is not None
        or (rules.spec.server_side and bool(context.kept))
        or sets_login_cookie(head, rules.names)
        or sets_cookie(head, rules.own.cookie_name)
        or rules.grows_old(context)
    )


def follow(rules: Rules, context: CompanionContext, head: Fields) -> Flow[Fields]:
    """Decides what becomes of the companion; returns the head of the answer as it may go out."""
    cookies = _of_here(rules, parse_set_cookies(head, rules.names, context.clock))
    try:
        judged = yield from judge(rules.spec, cookies_after(context.kept, cookies))
        named = judged.named
        for credential in judged.invalid:
            if credential.name in {cookie.name for cookie in cookies}:  # no client has forged it: the application itself has set it
                context.warning = _INVALID.format(identifier=type(rules.spec.identifier).__name__, name=credential.name)
        if not named:
            if cookies or judged.anonymous_sessions or judged.anonymous or not (yield from _has_moved(context)):
                yield from _signed_out(rules, context)
        elif context.session is not None and context.session.user_id == named[0][1].user_id:
            yield from _gone_on(rules, context, head, named, cookies)
        elif context.identity is not None and context.identity.user_id == named[0][1].user_id and not _is_anew(context, named[0], cookies):
            yield from _adopted(rules, context, head, named, cookies)
        else:
            yield from _signed_in(rules, context, named, cookies)
    except Exception:  # the driver has logged it, or it is StaleLogin: in no case may the browser keep what was being set (P9)
        context.session = None
        return drop_login_cookies(without_set_cookie(head, rules.own.cookie_name), rules.names, context.clock)
    head = without_set_cookie(head, rules.own.cookie_name)
    return head if context.cookie is None else with_set_cookie(head, context.cookie)


def _has_moved(context: CompanionContext) -> Flow[bool]:
    """Whether the browser has another session by now: an answer that comes late finds its own gone, and must sign nobody out."""
    if context.session is None or context.credential is None or context.identity is None:
        return False
    fresh = yield from Find(context.credential)
    return fresh is None or fresh.app_session != context.identity.app_session


def _of_here(rules: Rules, cookies: Sequence[SetCookie]) -> Sequence[SetCookie]:
    """Without deletions of cookies of the same name on another domain, as applications send them that have moved."""
    return [cookie for cookie in cookies if cookie.value is not None or cookie.domain is None or rules.cookie_domain]


def _signed_out(rules: Rules, context: CompanionContext) -> Flow[None]:
    """The application has signed the user out, or nobody was signed in: an answer that deletes the login revokes the companion."""
    identity, session = context.identity, context.session
    if identity is None:
        return
    if session is not None:
        context.session = context.companion = None
        context.cookie = rules.own.cleared
    with suppress(Exception):  # the driver has logged it; the answer deletes the login, and that must go out
        if session is None and context.adopting is not None:  # so that a copy of this login is revoked, too
            session = yield from Adopt(_new(rules, context, identity.user_id, _new_credential(), rules.life(identity), context.adopting))
        if session is not None:
            yield from Revoke(session.user_id, session.id)


def _gone_on(rules: Rules, context: CompanionContext, head: Fields, named: Sequence[Named], cookies: Sequence[SetCookie]) -> Flow[None]:
    """The same user as before: its session must still be live if the answer sets a cookie, and follows a new id."""
    session, credential = context.session, context.credential
    assert session is not None
    assert credential is not None
    app_session = named[0][1].app_session
    moved = app_session is not None and app_session != session.app_session
    sets = context.cookie is not None or bool(cookies) or sets_cookie(head, rules.own.cookie_name)
    if not (sets or moved or rules.grows_old(context)):
        return
    fresh = yield from Find(credential)
    if fresh is None:
        raise StaleLogin("the session was revoked while its request was being answered")
    if app_session is not None and fresh.app_session not in (session.app_session, app_session):
        raise StaleLogin("another answer has given this browser a new session meanwhile")
    if moved or rules.grows_old(context):
        lifetime = rules.longest_life(named)
        extended = yield from Extend(session=session, lifetime=lifetime, app_session=app_session if moved else None)
        if extended and context.cookie is None:
            context.cookie = _cookie(rules, credential, lifetime, cookies)


def _adopted(rules: Rules, context: CompanionContext, head: Fields, named: Sequence[Named], cookies: Sequence[SetCookie]) -> Flow[None]:
    """A login from before the installation, of a user for whom companions are not compulsory: it gets its companion now."""
    user_id, app_session = named[0][1].user_id, app_session_of(named[0])
    if context.adopting is None or is_public(head):
        if _is_set(named[0], cookies) and (yield from FindCompanionStatus(user_id, app_session)).companion_required:
            raise StaleLogin("the user's sessions were revoked while the request was being answered")
        return
    credential, lifetime = _new_credential(), rules.longest_life(named)
    session = yield from Adopt(_new(rules, context, user_id, credential, lifetime, context.adopting))
    if session is not None:
        _give(rules, context, session, credential, lifetime, cookies)


def _signed_in(rules: Rules, context: CompanionContext, named: Sequence[Named], cookies: Sequence[SetCookie]) -> Flow[None]:
    """The answer has signed somebody in: decided under the user's lock, as every login (P3)."""
    user_id, app_session = named[0][1].user_id, app_session_of(named[0])
    if any((kept.name, kept.value) == (named[0][0].name, named[0][0].value) for kept in context.kept):
        # The id stayed, and a store has changed behind it: by this answer, by another one to this browser that has seen it
        # first, or by a request that writes back who was signed out meanwhile.
        if (yield from FindCompanionStatus(user_id, app_session)).companions:
            return
        if rules.spec.keeps_id_at_login and (yield from IsRevokedAppSession(app_session)):
            raise StaleLogin("this session of the application's was revoked while the request was being answered")
    credential, lifetime = _new_credential(), rules.longest_life(named)
    session = yield from Login(
        NewSession(
            user_id=user_id,
            digest=credential.digest,
            lifetime=lifetime,
            generation=context.generations.get(user_id),
            age=context.age,
            replaces=context.companion,
            device=context.device(),
            app_session=app_session,
            max_sessions=rules.max_sessions,
        )
    )
    _give(rules, context, session, credential, lifetime, cookies)


def _is_anew(context: CompanionContext, named: Named, cookies: Sequence[SetCookie]) -> bool:
    """Whether a user who came with a header token only, and gets no companion for it, is signed in by this very answer."""
    return context.companion_required and _is_set(named, cookies)


def _is_set(named: Named, cookies: Sequence[SetCookie]) -> bool:
    """Whether the answer itself sets this credential."""
    return named[0].name in {cookie.name for cookie in cookies}


def _new(rules: Rules, context: CompanionContext, user_id: str, credential: Credential, lifetime: float, app_session: bytes) -> NewSession:
    """A companion for a login that was there before. Nobody saw how its user signed in."""
    return NewSession(
        user_id=user_id,
        digest=credential.digest,
        lifetime=lifetime,
        device=context.device(),
        app_session=app_session,
        max_sessions=rules.max_sessions,
    )


def _new_credential() -> Credential:
    return Credential(new_token().encode())


def _cookie(rules: Rules, credential: Credential, lifetime: float, cookies: Sequence[SetCookie]) -> bytes:
    """Our cookie goes where the application's login cookies in the same answer go."""
    samesites = [cookie.samesite for cookie in cookies if cookie.value is not None]
    return rules.own.cookie(credential, max_age=lifetime, samesites=samesites, partitioned=any(cookie.partitioned for cookie in cookies))


def _give(
    rules: Rules, context: CompanionContext, session: Session, credential: Credential, lifetime: float, cookies: Sequence[SetCookie]
) -> None:
    context.session = context.companion = session
    context.credential = credential
    context.cookie = _cookie(rules, credential, lifetime, cookies)
    domain = next((cookie.domain for cookie in cookies if cookie.domain is not None), None)
    if domain is not None and rules.cookie_domain is None:
        context.warning = _DOMAIN.format(domain=domain)


_DOMAIN: Final = (
    "the application's login cookie has Domain={domain}, but cookie_domain is not set: on other hosts of that domain the login arrives"
    " without our companion cookie, and is taken out once any session of its user has been revoked; set cookie_domain={domain!r}"
)
_INVALID: Final = (
    "{identifier} cannot read the cookie {name!r} that the application has just set, so nobody can sign in with it; check that its"
    " secret, names and formats are those of the application"
)
