"""The application keeps its login; a companion session of ours decides whether it may still be used (way 3).

Each browser that is signed in gets a session of ours beside the application's own credentials. These then reach the
application only together with a live companion of the same user. Once any companion of a user has been ended, the user
is *companion_required* for good: only a response that signs in makes a new one, and whatever was copied or kept from before stays
outside. No issue time is ever compared, but for a header token of a companion_required user, which has nothing else.

=============  ==========================================================================================
``admit``      before the application: which of its credentials may pass, and whose session this is
``see_off``    after it: it has signed in, signed out, or gone on; the browser's companion follows
=============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sessionward.context import Policy, Visit
from sessionward.credential.login_cookies import Login, Names, read_logins, taken
from sessionward.credential.token import Credential, new_token
from sessionward.errors import StaleLogin, InvalidCredential
from sessionward.response.answer import Headers
from sessionward.response.head import is_public, sets_cookie, with_set_cookie, without_set_cookie
from sessionward.response.set_cookies import Given, after, given, gives_login, without_logins
from sessionward.session.identifier import Identify, Identity, IdentifierSpec, AnonymousSession, app_session_digest
from sessionward.session.session import Session, CompanionStatus
from sessionward.session.step import Flow
from sessionward.session.steps import Adopt, End, Find, IsRevokedAppSession, FindCompanionStatus, Touch
from sessionward.session.steps import Login as SignIn

SKEW: Final = 60.0
"""Seconds by which an issuer's clock may be ahead of the backend's, for header tokens of a companion_required user."""

_Named = tuple[Login, Identity]


# --- before the application -------------------------------------------------------------------------------------------


def admit(visit: Visit, companion: Session | None) -> Flow[None]:
    """Judge the application's login credentials: what may pass stands in ``visit.kept``, the rest in ``visit.taken``.

    ``visit.session`` is set if the companion is live and one of the credentials is of its user.
    """
    names = _names(visit.policy)
    found = read_logins(visit.request.header, names)
    judged = yield from _judged(_spec(visit.policy), found.logins)
    spent = (yield from _spent(judged)) if _spec(visit.policy).keeps_id_at_login else []
    named = judged.named
    kept = [*judged.anonymous, *(login for login, _ in judged.keeps_id_at_login if login not in spent)]
    out = [*judged.unreadable, *spent]
    visit.companion = companion
    passing: Sequence[_Named] = []
    if companion is not None:
        passing = [pair for pair in named if _goes_with(pair[1], companion)]
        visit.session = companion if passing else None
        proven = {login.name for login, _ in passing}
        out += [login for login in kept if login.name in proven]  # an empty session that a sibling domain has put in front
        kept = [login for login in kept if login.name not in proven]
    elif len({identity.user_id for _, identity in named}) == 1 and not found.doubled():
        # (Of several, nobody could say whose this browser is: a sibling domain can plant a second cookie.)
        passing = yield from _without_companion(visit, named)
    visit.identity = passing[0][1] if passing else None
    visit.kept = [*kept, *(login for login, _ in passing)]
    visit.taken = taken(found, [*out, *(pair[0] for pair in named if pair not in passing)])


@dataclass(slots=True)
class _Judged:
    """Credentials: those that name a user, the most decisive first; that name nobody, with and without an id; and unreadable ones."""

    named: list[_Named]
    keeps_id_at_login: list[tuple[Login, AnonymousSession]]
    anonymous: list[Login]
    unreadable: list[Login]


def _judged(spec: IdentifierSpec, logins: Sequence[Login]) -> Flow[_Judged]:
    judged = _Judged([], [], [], [])
    for login in logins:
        try:
            identity = yield from Identify(spec, login.name, login.value)
        except InvalidCredential:
            if not login.odd:
                judged.unreadable.append(login)
            continue
        if login.odd:  # of a spelling that only some would read: never proved
            if identity is not None:
                judged.unreadable.append(login)
        elif identity is None:
            judged.anonymous.append(login)
        elif isinstance(identity, AnonymousSession):
            judged.keeps_id_at_login.append((login, identity))
        else:
            judged.named.append((login, identity))
    order = [*spec.cookies, *(carrier.name for carrier in spec.headers)]
    judged.named.sort(key=lambda pair: order.index(pair[0].name.encode()))
    return judged


def _spent(judged: _Judged) -> Flow[list[Login]]:
    """Ids that were somebody's until that was ended: a request that is under way may write their owner back at any moment."""
    spent: list[Login] = []
    for login, visitor in judged.keeps_id_at_login:
        if (yield from IsRevokedAppSession(visitor.app_session)):
            spent.append(login)
    return spent


def _goes_with(identity: Identity, companion: Session) -> bool:
    """Whether this companion is of the same user, and of the same session where the application's has an id that stays."""
    return identity.user_id == companion.user_id and identity.app_session in (None, companion.app_session)


def _without_companion(visit: Visit, named: Sequence[_Named]) -> Flow[Sequence[_Named]]:
    """What passes of a user's credentials in a browser that has no companion: everything, until the user is companion_required."""
    link = _link(named[0])
    standing = yield from FindCompanionStatus(named[0][1].user_id, app_session)
    visit.companion_required = standing.companion_required
    if standing.companion_required:
        return [pair for pair in named if not pair[0].places and _is_issued_later(pair[1], standing)]
    if standing.may_adopt:
        visit.adopting = link
    return named


def _is_issued_later(identity: Identity, standing: CompanionStatus) -> bool:
    """For a header token only: whether it was issued after the user's other sessions were ended, if they ever were."""
    if standing.revoked_at is None:  # companion_required by signing out in one browser, which says nothing about tokens elsewhere
        return True
    return identity.issued_at is not None and identity.issued_at > standing.revoked_at.timestamp() + SKEW


def _link(named: _Named) -> bytes:
    """What stands for the application's session: its id, or else the credential itself."""
    login, identity = named
    return identity.app_session or app_session_digest(login.value.encode("latin-1"))


# --- after it ---------------------------------------------------------------------------------------------------------


def concerns(visit: Visit, head: Headers) -> bool:
    """Whether the head of an answer has to be looked at: something about the login may have changed."""
    policy = visit.policy
    return (
        visit.cookie is not None
        or visit.adopting is not None
        or (_spec(policy).server_side and bool(visit.kept))
        or gives_login(head, _names(policy))
        or sets_cookie(head, policy.cookie_name)
        or _grows_old(visit)
    )


def see_off(visit: Visit, head: Headers) -> Flow[Headers]:
    """The head of the application's answer, as it may go out, and what becomes of the companion.

    A backend or a store that is silent costs the cookies, never the answer: the work has been done.
    """
    policy = visit.policy
    cookies = _about_ours(policy, given(head, _names(policy), visit.clock))
    try:
        judged = yield from _judged(_spec(policy), after(visit.kept, cookies))
        named = judged.named
        for login in judged.unreadable:
            if login.name in {cookie.name for cookie in cookies}:  # no client's forgery: it comes from the application itself
                visit.warning = _UNREADABLE.format(identifier=type(_spec(policy).identifier).__name__, name=login.name)
        if not named:
            if cookies or judged.keeps_id_at_login or judged.anonymous or not (yield from _has_moved(visit)):
                yield from _signed_out(visit)
        elif visit.session is not None and visit.session.user_id == named[0][1].user_id:
            yield from _gone_on(visit, head, named, cookies)
        elif visit.identity is not None and visit.identity.user_id == named[0][1].user_id and not _is_anew(visit, named[0], cookies):
            yield from _adopted(visit, head, named, cookies)
        else:
            yield from _signed_in(visit, named, cookies)
    except Exception:  # logged where it was raised, or StaleLogin: in no case may the browser keep what was being set
        visit.session = None
        return without_logins(without_set_cookie(head, policy.cookie_name), _names(policy), visit.clock)
    head = without_set_cookie(head, policy.cookie_name)
    return head if visit.cookie is None else with_set_cookie(head, visit.cookie)


def _has_moved(visit: Visit) -> Flow[bool]:
    """Whether the browser has another session by now: an answer that comes late finds its own gone, and must not sign anyone out."""
    if visit.session is None or visit.credential is None or visit.identity is None:
        return False
    fresh = yield from Find(visit.credential)
    return fresh is None or fresh.app_session != visit.identity.app_session


def _about_ours(policy: Policy, cookies: Sequence[Given]) -> Sequence[Given]:
    """Without deletions of namesakes on another domain, as applications send them that have moved."""
    return [cookie for cookie in cookies if cookie.value is not None or cookie.domain is None or policy.settings.cookie_domain]


def _signed_out(visit: Visit) -> Flow[None]:
    """The application has signed the user out, or there never was one: an answer that deletes the login ends the companion."""
    identity, session = visit.identity, visit.session
    if identity is None:
        return
    if session is not None:
        visit.session = visit.companion = None
        visit.cookie = visit.policy.clearing_cookie()
    with suppress(Exception):  # it has been logged; the application's answer deletes the login, and that must go out
        if session is None and visit.adopting is not None:  # so that what was copied of it is ended, too
            new = _new_credential()
            session = yield from Adopt(
                user_id=identity.user_id,
                credential=new,
                app_session=visit.adopting,
                expires_in=_life(visit.policy, identity),
                device=visit.device(),
            )
        if session is not None:
            yield from End(session)


def _gone_on(visit: Visit, head: Headers, named: Sequence[_Named], cookies: Sequence[Given]) -> Flow[None]:
    """The same user as before: its session must still be live if the answer sets a cookie, and follows a new id."""
    session, credential = visit.session, visit.credential
    assert session is not None
    assert credential is not None
    link = named[0][1].app_session
    moved = link is not None and link != session.app_session
    sets = visit.cookie is not None or bool(cookies) or sets_cookie(head, visit.policy.cookie_name)
    if not (sets or moved or _grows_old(visit)):
        return
    fresh = yield from Find(credential)
    if fresh is None:
        raise StaleLogin("the session ended while its request was being answered")
    if link is not None and fresh.app_session not in (session.app_session, app_session):
        raise StaleLogin("another answer has given this browser a new session meanwhile")
    if moved or _grows_old(visit):
        lifetime = _lifetime(visit.policy, named)
        if (yield from Touch(session=session, app_session=link if moved else None, expires_in=lifetime)) and visit.cookie is None:
            visit.cookie = visit.policy.cookie(credential, max_age=lifetime, beside=cookies)


def _adopted(visit: Visit, head: Headers, named: Sequence[_Named], cookies: Sequence[Given]) -> Flow[None]:
    """A login from before the installation, of a user who is not companion_required: it gets its companion now."""
    user, link = named[0][1].user_id, _link(named[0])
    if visit.adopting is None or is_public(head):
        if _is_given(named[0], cookies) and (yield from FindCompanionStatus(user, app_session)).companion_required:
            raise StaleLogin("the user's sessions were ended while the request was being answered")
        return
    credential, lifetime = _new_credential(), _lifetime(visit.policy, named)
    session = yield from Adopt(user_id=user, credential=credential, app_session=visit.adopting, expires_in=lifetime, device=visit.device())
    if session is not None:
        _give(visit, session, credential, lifetime, cookies)


def _signed_in(visit: Visit, named: Sequence[_Named], cookies: Sequence[Given]) -> Flow[None]:
    """The answer has signed somebody in: decided under the user's lock, as every login (P3)."""
    user, link = named[0][1].user_id, _link(named[0])
    if any((login.name, login.value) == (named[0][0].name, named[0][0].value) for login in visit.kept):
        # The id stayed, and a store has changed behind it: by this answer, by another one to this browser that has seen it
        # first, or by a request that writes back who was signed out meanwhile.
        if (yield from FindCompanionStatus(user, app_session)).companions:
            return
        if _spec(visit.policy).keeps_id_at_login and (yield from IsRevokedAppSession(app_session)):
            raise StaleLogin("this session of the application's was ended while the request was being answered")
    credential, lifetime = _new_credential(), _lifetime(visit.policy, named)
    session = yield from SignIn(
        user_id=user,
        credential=credential,
        since=visit.generations.get(user),
        age=visit.age,
        replaces=visit.companion,
        expires_in=lifetime,
        device=visit.device(),
        methods=(),
        app_session=app_session,
    )
    _give(visit, session, credential, lifetime, cookies)


def _is_anew(visit: Visit, named: _Named, cookies: Sequence[Given]) -> bool:
    """Whether a user who came with a header token only, and is given no companion for it, is signed in by this very answer."""
    return visit.companion_required and _is_given(named, cookies)


def _is_given(named: _Named, cookies: Sequence[Given]) -> bool:
    """Whether the answer itself sets this credential."""
    return named[0].name in {cookie.name for cookie in cookies}


def _give(visit: Visit, session: Session, credential: Credential, lifetime: float, cookies: Sequence[Given]) -> None:
    visit.session = visit.companion = session
    visit.credential = credential
    visit.cookie = visit.policy.cookie(credential, max_age=lifetime, beside=cookies)
    domain = next((cookie.domain for cookie in cookies if cookie.domain is not None), None)
    if domain is not None and visit.policy.settings.cookie_domain is None:
        visit.warning = _STRAYS.format(domain=domain)


_STRAYS: Final = (
    "the application's login cookie has Domain={domain}, but cookie_domain is not set: on the other hosts there the login comes"
    " without our companion cookie, and is taken out once any session of its user has been ended; set cookie_domain={domain!r}"
)
_UNREADABLE: Final = (
    "{identifier} cannot read the cookie {name!r} that the application has just set, so nobody can sign in with it: are its secret,"
    " names and formats those of the application?"
)


def _grows_old(visit: Visit) -> bool:
    """Whether less than half of the companion's life is left while the application's session goes on."""
    session, identity = visit.session, visit.identity
    if session is None or session.expires_at is None or identity is None:
        return False
    return session.expires_at.timestamp() - visit.clock() < _life(visit.policy, identity) / 2


def _lifetime(policy: Policy, named: Sequence[_Named]) -> float:
    """Seconds that a companion lives: as long as the longest of the application's credentials that it goes with."""
    return max(_life(policy, identity) for _, identity in named if identity.user_id == named[0][1].user_id)


def _life(policy: Policy, identity: Identity) -> float:
    return policy.lifetime or identity.lifetime or _spec(policy).lifetime


def _new_credential() -> Credential:
    return Credential(new_token().encode())


def _spec(policy: Policy) -> IdentifierSpec:
    assert policy.spec is not None
    return policy.spec


def _names(policy: Policy) -> Names:
    assert policy.logins is not None
    return policy.logins
