"""Credentials that speak for themselves, for flows that are stepped by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import ClassVar, Final

from sessionward import BackendUnavailable, Session
from sessionward.backends import Carrier, CompanionStatus
from sessionward.context import Policy
from sessionward.errors import InvalidCredential
from sessionward.identify import Identity
from sessionward.modes.companion.before import SKEW
from sessionward.session.identifier import Identify, app_session_digest
from tests.support.core import NOON, SESSION, policy_of

LINK: Final = app_session_digest("theirs")
FAILURE: Final = BackendUnavailable("silent")
RAISED: Final = NOON.timestamp()
EARLY, LATE = RAISED + SKEW - 1, RAISED + SKEW + 1


class Spelled:
    """Values speak for themselves: ``ann``, ``ann.2``, ``bob``; ``-`` is nobody; ``x`` cannot be read; behind ``@`` its time."""

    cookies: ClassVar[Sequence[str]] = ("session", "remember")
    headers: ClassVar[Sequence[Carrier]] = (Carrier.header("X-Login"),)
    lifetime: ClassVar[float] = 1000.0

    def __init__(self, *, companions: bool) -> None:
        self.server_side = self.companions = companions

    def identify(self, name: str, value: str, /) -> Identity | None:
        raise NotImplementedError

    def said(self, step: Identify) -> object:
        """What it answers."""
        if step.value == "x":
            return InvalidCredential("forged")
        if step.value == "-":
            return None
        issued = float(step.value.partition("@")[2] or 0) or None
        user = step.value.partition("@")[0].partition(".")[0]
        return Identity(user_id=user, app_session=LINK if self.companions and step.name == "session" else None, issued_at=issued)


IDENTIFIERS: Final = {companions: Spelled(companions=companions) for companions in (False, True)}


@cache
def policies() -> Mapping[bool, Policy]:
    return {companions: policy_of(identify=identifier) for companions, identifier in IDENTIFIERS.items()}


def companion_of(user: str, *, app_session: bytes = LINK, left: float = 900.0) -> Session:
    return replace(SESSION, user_id=user, app_session=app_session, expires_at=NOON + timedelta(seconds=left))


STANDINGS: Final = (
    CompanionStatus(companion_required=False),
    CompanionStatus(companion_required=False, companions=1, may_adopt=False),
    CompanionStatus(companion_required=True, may_adopt=False),
    CompanionStatus(companion_required=True, may_adopt=False, companions=1, revoked_at=NOON),
    FAILURE,
)


def user_of(value: str) -> str | None:
    """Whom a value signs in."""
    user = value.strip('"').partition("@")[0].partition(".")[0]
    return user if user in ("ann", "bob") else None
