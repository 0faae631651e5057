"""Before the application: decides which of its login credentials pass, and whose session this is.

A credential passes only together with a live companion of the same user. After a companion of a user has been revoked,
companions are compulsory for that user, so a login that was copied or kept from before does not pass. We compare the issue time
only of a header token of such a user, since a header has no companion.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from sessionward.credential.carriers import Unproven
from sessionward.credential.login_cookies import LoginCredential, parse_login_credentials, strip, with_one_cookie_field
from sessionward.credential.token import Credential
from sessionward.modes.companion.judge import CompanionContext, Judged, Named, Rules, app_session_of, is_login_of, judge
from sessionward.request.request import Fields, joined
from sessionward.session.identifier import Identity
from sessionward.session.session import CompanionStatus, Session
from sessionward.session.step import Flow
from sessionward.session.steps import IsRevokedAppSession

SKEW: Final = 60.0
"""Seconds by which an issuer's clock may be ahead of the backend's, for header tokens of users with compulsory companions."""


def admit(
    rules: Rules, context: CompanionContext, companion: Session | None, proof: Credential | Unproven = Unproven.NONE
) -> Flow[Fields | None]:
    """Decides which of the application's login credentials pass.

    ``companion``: the live companion of this browser, or None. ``proof``: what was read as its credential.

    Returns the fields that replace ``context.found``, or None if they stay the same. Sets ``context.session`` if one of the
    credentials belongs to the user of the companion.
    """
    parsed = parse_login_credentials(partial(joined, context.found), rules.names)
    judged = yield from judge(rules.spec, parsed.credentials)
    revoked = (yield from _revoked(judged)) if rules.spec.keeps_id_at_login else []
    named = judged.named
    if companion is not None and isinstance(proof, Credential) and any(_has_moved(identity, companion) for _, identity in named):
        # A companion that is trusted may belong to the session that the application had before it gave the user a new id.
        companion = yield from rules.leases.anew(proof, companion)
        if companion is None:
            context.session = context.credential = None
    kept = [*judged.anonymous, *(credential for credential, _ in judged.anonymous_sessions if credential not in revoked)]
    out = [*judged.invalid, *revoked]
    context.companion = companion
    passing: Sequence[Named] = []
    if companion is not None:
        passing = [pair for pair in named if _goes_with(pair[1], companion)]
        context.session = companion if passing else None
        proven = {credential.name for credential, _ in passing}
        out += [credential for credential in kept if credential.name in proven]  # a sibling domain may have planted an empty session
        kept = [credential for credential in kept if credential.name not in proven]
    elif len({identity.user_id for _, identity in named}) == 1 and not parsed.doubled():
        # With credentials of several users we cannot know the user: a sibling domain can plant a second cookie.
        passing = yield from _without_companion(rules, context, named)
    context.identity = passing[0][1] if passing else None
    context.names_session = any(identity.app_session is not None for _, identity in passing)
    context.kept = [*kept, *(credential for credential, _ in passing)]
    fields = strip(context.found, parsed, [*out, *(pair[0] for pair in named if pair not in passing)])
    return with_one_cookie_field(context.found) if fields is None and context.kept else fields


def take_all(rules: Rules, context: CompanionContext) -> Fields | None:
    """Removes all login credentials of the application from a request, without a question."""
    parsed = parse_login_credentials(partial(joined, context.found), rules.names)
    headers = {carrier.name for carrier in rules.spec.headers}
    context.is_exempt = any(name == b"cookie" or name in headers for name, _ in context.found)
    return strip(context.found, parsed, parsed.credentials)


def _revoked(judged: Judged) -> Flow[list[LoginCredential]]:
    """Returns the anonymous credentials whose session was revoked. A request in flight may write its user back at any time (P6)."""
    revoked: list[LoginCredential] = []
    for credential, anonymous in judged.anonymous_sessions:
        if (yield from IsRevokedAppSession(anonymous.app_session)):
            revoked.append(credential)
    return revoked


def _goes_with(identity: Identity, companion: Session) -> bool:
    """Returns whether the companion has the same user, and the same session if the application's session has an id that stays."""
    return is_login_of(identity, companion) and identity.app_session in (None, companion.app_session)


def _has_moved(identity: Identity, companion: Session) -> bool:
    """Returns whether the companion has the same user, but another session of the application."""
    return identity.user_id == companion.user_id and not _goes_with(identity, companion)


def _without_companion(rules: Rules, context: CompanionContext, named: Sequence[Named]) -> Flow[Sequence[Named]]:
    """Returns the credentials that pass without a companion: all of them, unless companions are compulsory for the user."""
    app_session = app_session_of(named[0])
    has_cookie = bool(named[0][0].places)  # a header: no companion could go with it
    status = yield from rules.leases.companion_status(named[0][1].user_id, app_session, may_adopt=has_cookie)
    context.companion_required = status.companion_required
    if status.companion_required:
        return [pair for pair in named if not pair[0].places and _is_issued_later(pair[1], status)]
    if status.may_adopt and has_cookie:
        context.adopting = app_session
    return named


def _is_issued_later(identity: Identity, status: CompanionStatus) -> bool:
    """Returns whether a header token was issued after the last revocation of the user's sessions, if there was one."""
    if status.revoked_at is None:  # only a logout in one browser made companions compulsory, and that revokes no tokens elsewhere
        return True
    return identity.issued_at is not None and identity.issued_at > status.revoked_at.timestamp() + SKEW
