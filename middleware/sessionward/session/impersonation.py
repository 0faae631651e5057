"""The rules of an impersonation: another user, such as an administrator, acts as a user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from sessionward.errors import UsageError
from sessionward.session.session import IMPERSONATION, NewSession, Session, user_key
from sessionward.settings import seconds

LIFETIME: Final = 3600.0
"""Seconds that an impersonation lives by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """What makes a new session an impersonation.

    ``actor``: the id of the user who acts. ``lifetime``: seconds. ``until``: when it ends at the latest, by the backend's clock, or None.
    """

    actor: str
    lifetime: float
    until: datetime | None = None

    def of(self, new: NewSession) -> NewSession:
        """Returns the argument of the backend's ``login`` for it.

        It has no methods, since the user has not been authenticated, and ends no session of the user for ``max_sessions``.
        """
        ordinary = replace(new, lifetime=self.lifetime, until=self.until, methods=(), max_sessions=None, is_fresh=False)
        return replace(ordinary, kind=IMPERSONATION, actor=self.actor)


class Acting(NamedTuple):
    """The arguments of ``login()`` that say whether another user acts as this one, as the application gave them."""

    kind: object = ""
    actor: object = None
    lifetime: object = None


ORDINARY: Final = Acting()
"""An ordinary sign-in."""


def begun(user_id: str, held: Session | None, acting: Acting, longest: float) -> Impersonation | None:
    """Returns what ``login()`` asks for, or None for an ordinary sign-in. Raises :class:`UsageError` for arguments that do not fit.

    ``held``: the session that the browser has, or None. ``longest``: the lifetime of an ordinary session, in seconds.

    In the browser of an impersonation only its own actor begins another one. So the session always names the person who acts.
    """
    kind, actor, lifetime = acting
    if kind == "":
        if actor is not None or lifetime is not None:
            raise UsageError("actor and lifetime are for login(kind='impersonation')")
        return inherited(user_id, held)
    if kind != IMPERSONATION:
        raise UsageError("the kind of a session must be 'impersonation', or empty for an ordinary sign-in")
    if actor is None:
        raise UsageError("an impersonation must name its actor: the id of the user who acts")
    who = user_key(actor)
    if who == user_id:
        raise UsageError("the actor of an impersonation must not be the user")
    if held is not None and held.kind == IMPERSONATION and held.actor != who:
        raise UsageError("this browser has an impersonation by another actor; call logout() first")
    return Impersonation(actor=who, lifetime=_lifetime(lifetime, longest))


def inherited(user_id: str, held: Session | None) -> Impersonation | None:
    """Returns what an ordinary sign-in of ``user_id`` inherits from the session that its browser has, or None.

    An impersonation passes on its kind, its actor and its end, if the same user signs in, or another one to whom the actor has gone
    on. Otherwise a change of the password, or a second step, would make an ordinary session of it, and hide who acts. Only the actor,
    who signs in as itself, is not impersonated.

    Raises :class:`UsageError` if its end is not known: each sign-in would extend it.
    """
    if held is None or held.kind != IMPERSONATION or held.actor is None or held.actor == user_id:
        return None
    end = held.ends_at or held.expires_at  # not that of the idle limit, which each use moves
    if end is None:
        raise UsageError("the end of the impersonation in this browser is not known; call logout() before login()")
    lifetime = LIFETIME if held.issued_at is None else (end - held.issued_at).total_seconds()
    return Impersonation(actor=held.actor, lifetime=lifetime, until=end)


def _lifetime(lifetime: object, longest: float) -> float:
    if lifetime is None:
        return min(LIFETIME, longest)
    try:
        chosen = seconds(lifetime)
    except TypeError as wrong:
        raise UsageError(f"lifetime: {wrong}") from None
    if not 1 <= chosen <= longest:  # nan is neither
        raise UsageError(f"lifetime: must be at least one second and at most that of an ordinary session, {longest:g} seconds")
    return chosen
