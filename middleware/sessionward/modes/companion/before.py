"""Before the application: which of its login credentials may pass, and whose session this is.

They pass only together with a live companion of the same user. Once any companion of a user has been revoked, companions
are compulsory for that user: whatever was copied or kept from before stays outside. No issue time is ever compared, but for
a header token of such a user, which has nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from sessionward.credential.login_cookies import LoginCredential, parse_login_credentials, strip, with_one_cookie_field
from sessionward.modes.companion.judge import CompanionContext, Judged, Named, Rules, app_session_of, judge
from sessionward.request.request import Fields, joined
from sessionward.session.identifier import Identity
from sessionward.session.session import CompanionStatus, Session
from sessionward.session.step import Flow
from sessionward.session.steps import FindCompanionStatus, IsRevokedAppSession

SKEW: Final = 60.0
"""Seconds by which an issuer's clock may be ahead of the backend's, for header tokens of users with compulsory companions."""


def admit(rules: Rules, context: CompanionContext, companion: Session | None) -> Flow[Fields | None]:
    """Judges the application's login credentials, beside the live companion of this browser, if it has one.

    Returns the fields that stand in place of ``context.found``; None if all may pass as they came. ``context.session`` is
    set if the companion is live and one of the credentials is of its user.
    """
    parsed = parse_login_credentials(partial(joined, context.found), rules.names)
    judged = yield from judge(rules.spec, parsed.credentials)
    revoked = (yield from _revoked(judged)) if rules.spec.keeps_id_at_login else []
    named = judged.named
    kept = [*judged.anonymous, *(credential for credential, _ in judged.anonymous_sessions if credential not in revoked)]
    out = [*judged.invalid, *revoked]
    context.companion = companion
    passing: Sequence[Named] = []
    if companion is not None:
        passing = [pair for pair in named if _goes_with(pair[1], companion)]
        context.session = companion if passing else None
        proven = {credential.name for credential, _ in passing}
        out += [credential for credential in kept if credential.name in proven]  # an empty session planted by a sibling domain
        kept = [credential for credential in kept if credential.name not in proven]
    elif len({identity.user_id for _, identity in named}) == 1 and not parsed.doubled():
        # Of several users nobody could say whose this browser is: a sibling domain can plant a second cookie.
        passing = yield from _without_companion(context, named)
    context.identity = passing[0][1] if passing else None
    context.kept = [*kept, *(credential for credential, _ in passing)]
    fields = strip(context.found, parsed, [*out, *(pair[0] for pair in named if pair not in passing)])
    return with_one_cookie_field(context.found) if fields is None and context.kept else fields


def take_all(rules: Rules, context: CompanionContext) -> Fields | None:
    """For a request that asks no question: takes out every login credential of the application's."""
    parsed = parse_login_credentials(partial(joined, context.found), rules.names)
    headers = {carrier.name for carrier in rules.spec.headers}
    context.is_exempt = any(name == b"cookie" or name in headers for name, _ in context.found)
    return strip(context.found, parsed, parsed.credentials)


def _revoked(judged: Judged) -> Flow[list[LoginCredential]]:
    """Ids that were somebody's until that was revoked: a request under way may write their owner back at any moment (P6)."""
    revoked: list[LoginCredential] = []
    for credential, anonymous in judged.anonymous_sessions:
        if (yield from IsRevokedAppSession(anonymous.app_session)):
            revoked.append(credential)
    return revoked


def _goes_with(identity: Identity, companion: Session) -> bool:
    """Whether this companion is of the same user, and of the same session where the application's has an id that stays."""
    return identity.user_id == companion.user_id and identity.app_session in (None, companion.app_session)


def _without_companion(context: CompanionContext, named: Sequence[Named]) -> Flow[Sequence[Named]]:
    """What passes of a user's credentials in a browser without a companion: everything, until companions are compulsory."""
    app_session = app_session_of(named[0])
    status = yield from FindCompanionStatus(named[0][1].user_id, app_session)
    context.companion_required = status.companion_required
    if status.companion_required:
        return [pair for pair in named if not pair[0].places and _is_issued_later(pair[1], status)]
    if status.may_adopt and named[0][0].places:  # not a header: no companion could go with it
        context.adopting = app_session
    return named


def _is_issued_later(identity: Identity, status: CompanionStatus) -> bool:
    """For a header token only: whether it was issued after the user's other sessions were revoked, if they ever were."""
    if status.revoked_at is None:  # companions are compulsory by a logout in one browser, which says nothing about tokens elsewhere
        return True
    return identity.issued_at is not None and identity.issued_at > status.revoked_at.timestamp() + SKEW
