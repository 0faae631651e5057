"""Starts a companion: what the backend needs for it, and the cookie that the browser gets."""

from __future__ import annotations

from collections.abc import Sequence

from sessionward.credential.token import Credential, new_token
from sessionward.modes.companion.judge import CompanionContext, Rules
from sessionward.modes.companion.word import DOMAIN, said
from sessionward.response.set_cookies import SetCookie
from sessionward.session.identifier import Identity
from sessionward.session.impersonation import Impersonation
from sessionward.session.session import NewSession, Session


def new_companion(
    rules: Rules, context: CompanionContext, identity: Identity, credential: Credential, lifetime: float, app_session: bytes
) -> NewSession:
    """Returns the argument of ``adopt``. We know neither how nor when the user signed in."""
    new = NewSession(
        user_id=identity.user_id,
        digest=credential.digest,
        lifetime=lifetime,
        device=context.device(),
        app_session=app_session,
        max_sessions=rules.max_sessions,
        idle_timeout=rules.idle_timeout,
        is_fresh=False,
    )
    return new if identity.actor is None else Impersonation(actor=identity.actor, lifetime=lifetime).of(new)


def new_credential() -> Credential:
    """Returns the credential of a companion."""
    return Credential(new_token().encode())


def companion_cookie(rules: Rules, credential: Credential, lifetime: float, cookies: Sequence[SetCookie]) -> bytes:
    """Returns our cookie with the SameSite and Partitioned attributes of the login cookies in the same response."""
    samesites = [cookie.samesite for cookie in cookies if cookie.value is not None]
    return rules.own.cookie(credential, max_age=lifetime, samesites=samesites, partitioned=any(cookie.partitioned for cookie in cookies))


def give(
    rules: Rules, context: CompanionContext, session: Session, credential: Credential, lifetime: float, cookies: Sequence[SetCookie]
) -> None:
    """Gives the browser this companion."""
    context.session = context.companion = context.minted = session
    context.minted_with = said(cookies)
    context.credential = credential
    context.cookie = companion_cookie(rules, credential, lifetime, cookies)
    domain = next((cookie.domain for cookie in cookies if cookie.domain is not None), None)
    if domain is not None and rules.cookie_domain is None:
        context.warning = DOMAIN.format(domain=domain)
