"""What a request says of the application's login, and what of it one request remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sessionward.context import Context
from sessionward.credential.login_cookies import LoginCredential, LoginNames
from sessionward.credential.own import OwnCredential
from sessionward.errors import InvalidCredential
from sessionward.session.identifier import AnonymousSession, IdentifierSpec, Identify, Identity, app_session_digest
from sessionward.session.session import Session
from sessionward.session.step import Flow

Named: TypeAlias = tuple[LoginCredential, Identity]
"""A login credential and whom it signs in."""


class CompanionContext(Context):
    """``session`` is set only where the application's login and its companion go together.

    - ``companion``: the live session of this browser, whether or not the application's login goes with it.
    - ``kept``: the login credentials that the application sees; ``identity``: whom they sign in.
    - ``adopting``: the application's session that may be given a companion, by its digest.
    - ``companion_required``: the user gets no companion but by signing in.
    - ``is_exempt``: all login credentials were taken out without a question, so the answer may set none.
    """

    companion: Session | None = None
    identity: Identity | None = None
    kept: Sequence[LoginCredential] = ()
    adopting: bytes | None = None
    companion_required: bool = False
    is_exempt: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What the door's settings and the identifier say, worked out once.

    ``lifetime``: seconds, if the settings say so; ``cookie_domain``: whether ours has one.
    """

    spec: IdentifierSpec
    names: LoginNames
    own: OwnCredential
    lifetime: float | None
    cookie_domain: str | None
    max_sessions: int

    def life(self, identity: Identity) -> float:
        """Seconds that a companion of this login lives."""
        return self.lifetime or identity.lifetime or self.spec.lifetime

    def longest_life(self, named: Sequence[Named]) -> float:
        """As long as the longest of the credentials that it goes with."""
        return max(self.life(identity) for _, identity in named if identity.user_id == named[0][1].user_id)

    def grows_old(self, context: CompanionContext) -> bool:
        """Whether less than half of the companion's life is left while the application's session goes on."""
        session, identity = context.session, context.identity
        if session is None or session.expires_at is None or identity is None:
            return False
        return session.expires_at.timestamp() - context.clock() < self.life(identity) / 2


@dataclass(slots=True)
class Judged:
    """Credentials by what the identifier says: ``named`` with the most decisive first, ``anonymous`` with and without an id."""

    named: list[Named]
    anonymous_sessions: list[tuple[LoginCredential, AnonymousSession]]
    anonymous: list[LoginCredential]
    invalid: list[LoginCredential]


def judge(spec: IdentifierSpec, credentials: Sequence[LoginCredential]) -> Flow[Judged]:
    """Asks the identifier about each credential. Raises what it raises, but for ``InvalidCredential``."""
    judged = Judged([], [], [], [])
    for credential in credentials:
        try:
            identity = yield from Identify(spec, credential.name, credential.value)
        except InvalidCredential:
            if not credential.lenient:
                judged.invalid.append(credential)
            continue
        if credential.lenient:  # spelled so that only some frameworks read it: never proved
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
    """The digest of the application's session: of its id, or else of the credential itself."""
    credential, identity = named
    return identity.app_session or app_session_digest(credential.value.encode("latin-1"))
