"""Credentials that speak for themselves, for flows that are stepped by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar, Final

from sessionward import BackendUnavailable, Session
from sessionward.backends import Carrier, CompanionStatus
from sessionward.errors import InvalidCredential
from sessionward.identify import Identity
from sessionward.modes.companion.before import SKEW
from sessionward.modes.companion.judge import Rules
from sessionward.modes.companion.mode import Companion
from sessionward.modes.mode import Mode
from sessionward.session.identifier import Identify, app_session_digest
from tests.support.core import NOON, SESSION, mode_of

SESSION_ID: Final = "theirs"
APP_SESSION: Final = app_session_digest(SESSION_ID)
FAILURE: Final = BackendUnavailable("silent")
RAISED: Final = NOON.timestamp()
EARLY, LATE = RAISED + SKEW - 1, RAISED + SKEW + 1


FRESH: Final = {"fresh": True, "remembered": False}


class Spelled:
    """Values speak for themselves: ``ann``, ``ann.2``, ``ann.remembered``, ``bob``; ``-`` is nobody; ``x`` cannot be read.

    Behind ``@`` is its time.
    """

    cookies: ClassVar[Sequence[str]] = ("session", "remember")
    headers: ClassVar[Sequence[Carrier]] = (Carrier.header("X-Login"),)
    lifetime: ClassVar[float] = 1000.0

    def __init__(self, *, has_id: bool) -> None:
        self.server_side = self.has_id = has_id

    def identify(self, name: str, value: str, /) -> Identity | None:
        raise NotImplementedError

    def said(self, step: Identify) -> object:
        """What it answers."""
        if step.value == "x":
            return InvalidCredential("forged")
        if step.value == "-":
            return None
        issued = float(step.value.partition("@")[2] or 0) or None
        user, _, word = step.value.partition("@")[0].partition(".")
        session_id = SESSION_ID if self.has_id and step.name == "session" else None
        return Identity(user_id=user, session_id=session_id, issued_at=issued, fresh=FRESH.get(word))


IDENTIFIERS: Final = {has_id: Spelled(has_id=has_id) for has_id in (False, True)}


@cache
def modes() -> Mapping[bool, Companion]:
    """By whether the application's sessions have an id."""
    chosen = {has_id: mode_of(identify=identifier) for has_id, identifier in IDENTIFIERS.items()}
    return {has_id: mode for has_id, mode in chosen.items() if isinstance(mode, Companion)}


def rules_of(mode: Mode[Any]) -> Rules:
    """What a door in mode companion has worked out once."""
    assert isinstance(mode, Companion)
    return mode._rules


def companion_of(user: str, *, app_session: bytes = APP_SESSION, left: float = 900.0) -> Session:
    return replace(SESSION, user_id=user, app_session=app_session, expires_at=NOON + timedelta(seconds=left))


STATUSES: Final = (
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
