"""Asks the identifier about the login credentials of a request, and keeps its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from sessionward.context import Context
from sessionward.credential.login_cookies import LoginCredential, LoginNames
from sessionward.credential.own import OwnCredential
from sessionward.errors import InvalidCredential
from sessionward.lease import NoLeases
from sessionward.request.request import Location
from sessionward.response.places import Places
from sessionward.session.identifier import AnonymousSession, IdentifierSpec, Identify, Identity, app_session_digest
from sessionward.session.session import Session
from sessionward.session.step import Flow

Named: TypeAlias = tuple[LoginCredential, Identity]
"""A login credential and the user whom it signs in."""


class CompanionContext(Context):
    """The context of a request in mode companion. ``session`` is set only if the login and the companion have the same user.

    - ``companion``: the live companion of this browser, even if the application's login has another user.
    - ``kept``: the login credentials that the application gets. ``identity``: the user whom they sign in. ``names_session``: whether
      one of them names a session of the application.
    - ``adopting``: the digest of the application's session for which we may start a companion.
    - ``companion_required``: whether only a sign-in starts a companion for this user.
    - ``location``: the host and path of the request.
    - ``minted``: the companion that this response starts. ``minted_with``: the login cookies of the same response head.
    - ``is_answered``: whether the server has a response head. One that replaces it (PEP 3333, ``exc_info``) starts no companion.
    - ``is_exempt``: whether we removed all login credentials without a question, so the response may set none.
    """

    companion: Session | None = None
    identity: Identity | None = None
    names_session: bool = False
    kept: Sequence[LoginCredential] = ()
    adopting: bytes | None = None
    companion_required: bool = False
    location: Location = Location("", "/")
    minted: Session | None = None
    minted_with: frozenset[tuple[str, int, str | None]] = frozenset()
    is_answered: bool = False
    is_exempt: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings and the identifier say, computed once.

    ``lifetime``: seconds, or None if the settings do not have it. ``cookie_domain``: the Domain of our cookie, or None.
    ``places``: where the application sets its login cookies. ``leases``: those of the mode.
    """

    spec: IdentifierSpec
    names: LoginNames
    own: OwnCredential
    lifetime: float | None
    cookie_domain: str | None
    max_sessions: int
    idle_timeout: float | None
    leases: NoLeases
    places: Places = field(default_factory=Places)

    def life(self, identity: Identity) -> float:
        """Returns the seconds that a companion of this login lives."""
        return self.lifetime or identity.lifetime or self.spec.lifetime

    def longest_life(self, named: Sequence[Named]) -> float:
        """Returns the longest of the lifetimes of this user's credentials, in seconds."""
        return max(self.life(identity) for _, identity in named if identity.user_id == named[0][1].user_id)

    def renew_at(self, session: Session, identity: Identity) -> float:
        """Returns when half of a companion's lifetime is left, in seconds since 1970. From then on it must be extended.

        An idle limit is no matter.
        """
        ends_at = session.ends_at or session.expires_at
        return inf if ends_at is None else ends_at.timestamp() - self.life(identity) / 2

    def grows_old(self, context: CompanionContext) -> bool:
        """Returns whether the companion must be extended."""
        session, identity = context.session, context.identity
        return session is not None and identity is not None and context.clock() > self.renew_at(session, identity)


def is_same(one: Identity, other: Identity) -> bool:
    """Returns whether two logins have the same user, and the same actor or none."""
    return (one.user_id, one.actor) == (other.user_id, other.actor)


def is_login_of(identity: Identity, companion: Session) -> bool:
    """Returns whether a login and a companion have the same user, and the same actor or none."""
    return (identity.user_id, identity.actor) == (companion.user_id, companion.actor)


@dataclass(slots=True)
class Judged:
    """The credentials of a request, sorted by the answer of the identifier. ``named``: in order of precedence."""

    named: list[Named]
    anonymous_sessions: list[tuple[LoginCredential, AnonymousSession]]
    anonymous: list[LoginCredential]
    invalid: list[LoginCredential]


def judge(spec: IdentifierSpec, credentials: Sequence[LoginCredential]) -> Flow[Judged]:
    """Asks the identifier about each credential. Raises what the identifier raises, except ``InvalidCredential``."""
    judged = Judged([], [], [], [])
    for credential in credentials:
        try:
            identity = yield from Identify(spec, credential.name, credential.value)
        except InvalidCredential:
            if not credential.lenient:
                judged.invalid.append(credential)
            continue
        if credential.lenient:  # only some frameworks read this spelling, so it never signs a user in
            if identity is not None:
                judged.invalid.append(credential)
        elif identity is None:
            judged.anonymous.append(credential)
        elif isinstance(identity, AnonymousSession):
            judged.anonymous_sessions.append((credential, identity))
        else:
            judged.named.append((credential, identity))
    order = [*spec.cookies, *(carrier.name for carrier in spec.headers)]
    judged.named.sort(key=lambda pair: order.index(pair[0].name.encode()))
    return judged


def app_session_of(named: Named) -> bytes:
    """Returns the digest of the application's session: of its id if it has one, otherwise of the credential."""
    credential, identity = named
    return identity.app_session or app_session_digest(credential.value.encode("latin-1"))
