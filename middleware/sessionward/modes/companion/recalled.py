"""The short way of a browser whose cookies were admitted a moment ago: whether its companion is live is all that is left to ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sessionward.credential.carriers import CredentialSource
from sessionward.credential.login_cookies import parse_login_credentials
from sessionward.credential.recent import Recent, digest
from sessionward.credential.token import Credential
from sessionward.modes.companion.judge import CompanionContext, Rules
from sessionward.request.request import Location, joined
from sessionward.session.identifier import IdentifierSpec, Identity


class CompanionCredential(Credential):
    """The credential of a companion, and the user whom the login beside it signs in."""

    __slots__ = ("identity",)

    def __init__(self, credential: Credential, identity: Identity) -> None:
        self._value, self.digest = credential._value, credential.digest
        self.identity = identity


class _Admission(NamedTuple):
    """``until``: when the companion must be extended, on the clock of this host."""

    identity: Identity
    until: float


class Recalled:
    """Remembers the Cookie fields that have passed on unchanged, together with a live companion.

    What ``admit`` has decided about such a field stays right: the field has the companion's cookie too, a companion never changes its
    user, and ``cacheable`` says the rest. Where a login names a session of the application, a companion may move to another one,
    so such a field is not remembered.
    """

    __slots__ = ("_admissions", "_clock", "_rules")

    def __init__(self, rules: Rules, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._admissions: Recent[_Admission] = Recent()

    def remember(self, context: CompanionContext, source: CredentialSource) -> None:
        """Remembers the Cookie field of a request that passes on unchanged, if nothing else of the request was decisive."""
        session, identity = context.session, context.identity
        if session is None or identity is None or context.names_session or source is not CredentialSource.COOKIE:
            return
        cookie = joined(context.found, b"cookie")  # there is one field: several do not pass on unchanged
        if cookie is not None:
            now = self._clock()
            until = now + self._rules.renew_at(session, identity) - context.clock()
            self._admissions.values(now)[digest(cookie)] = _Admission(identity, until)

    def recall(self, cookie: bytes) -> Credential | None:
        """Returns what proves the companion of a Cookie field that was remembered, or None. See ``Mode.recall``."""
        credential = self._rules.own.read_cookie(cookie)
        if credential is None:
            return None
        now = self._clock()
        admission = self._admissions.values(now).get(digest(cookie))
        return None if admission is None or now > admission.until else CompanionCredential(credential, admission.identity)

    def resume(self, context: CompanionContext, location: Location) -> None:
        """Completes the context of a request that was recalled."""
        assert isinstance(context.credential, CompanionCredential)
        context.companion, context.identity, context.location = context.session, context.credential.identity, location
        context.kept = parse_login_credentials(partial(joined, context.found), self._rules.names).credentials


def can_recall(spec: IdentifierSpec) -> bool:
    """Returns whether the answers of an identifier allow the short way."""
    return spec.cacheable and not (spec.headers or spec.blocks or spec.is_async or spec.server_side or spec.keeps_id_at_login)
