"""The short way of a browser whose cookies were admitted a moment ago: whether its companion is live is all that is left to ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sessionward.credential.carriers import CredentialSource
from sessionward.credential.login_cookies import parse_login_credentials
from sessionward.credential.recent import Recent, digest
from sessionward.credential.token import TOKEN_LENGTH, Credential
from sessionward.modes.companion.judge import CompanionContext, Rules
from sessionward.request.request import Location, joined
from sessionward.session.identifier import IdentifierSpec, Identity


class CompanionCredential(Credential):
    """The credential of a companion, and the user whom the login beside it signs in."""

    __slots__ = ("identity",)

    def __init__(self, value: bytes, digest: bytes, identity: Identity) -> None:
        self._value, self.digest = value, digest
        self.identity = identity


class _Admission(NamedTuple):
    """``start``, ``digest``: where the companion's token is in the field, and its SHA-256.

    ``until``: when the companion must be extended, on the clock of this host.
    """

    start: int
    digest: bytes
    identity: Identity
    until: float


class Recalled:
    """Remembers the Cookie fields that have passed on unchanged, together with a live companion.

    What was read in such a field, and what ``admit`` has decided, stays right: the same bytes carry the same token with the same
    signature, a companion never changes its user, and ``cacheable`` says the rest. Where a login names a session of the application,
    a companion may move to another one, so such a field is not remembered.
    """

    __slots__ = ("_admissions", "_clock", "_rules")

    def __init__(self, rules: Rules, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._admissions: Recent[_Admission] = Recent()

    def remember(self, context: CompanionContext, source: CredentialSource) -> None:
        """Remembers the Cookie field of a request that passes on unchanged, if nothing else of the request was decisive."""
        session, credential, identity = context.session, context.credential, context.identity
        if session is None or credential is None or identity is None or context.names_session or source is not CredentialSource.COOKIE:
            return
        cookie = joined(context.found, b"cookie") or b""  # there is one field: several do not pass on unchanged
        now = self._clock()
        until = now + self._rules.renew_at(session, identity) - context.clock()
        start = cookie.index(credential.reveal().encode("latin-1"))
        self._admissions.values(now)[digest(cookie)] = _Admission(start, credential.digest, identity, until)

    def recall(self, cookie: bytes) -> Credential | None:
        """Returns what proves the companion of a Cookie field that was remembered, or None. See ``Mode.recall``."""
        now = self._clock()
        admission = self._admissions.values(now).get(digest(cookie))
        if admission is None or now > admission.until:
            return None
        start, of_token, identity, _ = admission
        return CompanionCredential(cookie[start : start + TOKEN_LENGTH], of_token, identity)

    def resume(self, context: CompanionContext, location: Location) -> None:
        """Completes the context of a request that was recalled."""
        assert isinstance(context.credential, CompanionCredential)
        context.companion, context.identity, context.location = context.session, context.credential.identity, location
        context.kept = parse_login_credentials(partial(joined, context.found), self._rules.names).credentials


def can_recall(spec: IdentifierSpec) -> bool:
    """Returns whether the answers of an identifier allow the short way."""
    return spec.cacheable and not (spec.headers or spec.blocks or spec.is_async or spec.server_side or spec.keeps_id_at_login)
