"""How often a session may revoke or raise, and how recent its sign-in must be: rules over times, without a clock."""

from __future__ import annotations

from typing import Final

from sessionward.errors import RateLimited, SignInTooOld
from sessionward.session.session import Terms

MAX_RAISES: Final = 10
"""How often one session may raise the generation within ``RAISES_WITHIN`` seconds by a call that finds nothing to revoke."""
RAISES_WITHIN: Final = 3600.0
CALLS_WITHIN: Final = 3600.0
"""Seconds within which one session may revoke as often as ``Terms.rate_limit`` says."""
ROUNDING: Final = 0.001
"""Seconds. Databases keep microseconds, so a sum of parts of an hour is not exact: what is early by less is not early."""


def judge_recent(terms: Terms, *, authenticated_at: float | None, now: float) -> None:
    """Raises ``SignInTooOld`` for a session that may not revoke on these terms now, before anything is changed.

    The times are seconds since 1970 by the backend's clock. A sign-in that is unknown is too old. So is one in the future: the clock
    was set back, so its age is unknown.
    """
    if terms.recent is not None and (authenticated_at is None or not 0 <= now - authenticated_at <= terms.recent):
        raise SignInTooOld("the sign-in of this session is too old to revoke others; the user must sign in again")


def next_call(allowed_at: float | None, now: float, limit: int) -> float:
    """Returns the new ``allowed_at`` of a session that revokes once more. ``limit``: how often it may within ``CALLS_WITHIN``.

    Raises ``RateLimited`` if it has revoked as often.
    """
    after, early = _after_one_more(allowed_at, now, limit, CALLS_WITHIN)
    if early > 0:
        raise RateLimited(early)
    return after


def next_raise(raises_at: float | None, now: float) -> float | None:
    """Returns the new ``raises_at`` of a session that raises its user's generation once more, or None if it may not (P3)."""
    after, early = _after_one_more(raises_at, now, MAX_RAISES, RAISES_WITHIN)
    return None if early > 0 else after


def _after_one_more(at: float | None, now: float, times: int, within: float) -> tuple[float, float]:
    """Returns the time that represents all events of the last ``within`` seconds with one more, and the seconds by which it is early.

    It is the generic cell rate algorithm (ITU-T I.371). A time that no event can have produced is older than a change of the clock,
    so we ignore it.
    """
    interval = within / times
    begin = now if at is None or not now < at <= now + within + ROUNDING else at
    early = begin - now - (within - interval)
    return begin + interval, early if early > ROUNDING else 0.0
