"""A session and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session, as its backend saw it when it was asked.

    ``id`` is public and never a credential. ``user_id`` is text, also where ``login()`` was given a number. Times are
    aware datetimes in UTC by the backend's clock, or None where the backend does not keep them. ``generation`` counts how
    often this user's other sessions have been ended (P3). ``app_session``: of a companion, the digest of the application's own
    session. ``credential`` is for backends whose rows have no other name than the secret itself.
    """

    id: UUID | str
    user_id: str
    issued_at: datetime | None = None
    authenticated_at: datetime | None = None
    expires_at: datetime | None = None
    generation: int | None = None
    app_session: bytes | None = field(default=None, repr=False)
    credential: Credential | None = field(default=None, repr=False, compare=False)


CLOCK_RATE: Final = 1.001
"""How much faster a backend's clock may run than ours while it is being set right (P3 a); adjtime(3) slews by 500 ppm."""


ADOPTIONS: Final = 5
"""Live companions that one session of an application may have (DESIGN.md 2): a client that keeps no cookies stays bounded."""
ADOPTION_PAUSE: Final = 60.0
"""Seconds between two adoptions of one session of an application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionStatus:
    """What decides about a login credential of the application that comes without a companion (way 3).

    ``companion_required``: a companion of this user was ended once, so only a sign-in makes new ones. ``revoked_at``: when the user's
    sessions were ended last, by the backend's clock. ``companions``: how many live companions the application's session has.
    ``may_adopt``: whether it may have one more now.
    """

    companion_required: bool
    revoked_at: datetime | None = None
    companions: int = 0
    may_adopt: bool = True


class RevokedCount(int):
    """How many sessions an operation ended, and the user's generation that it set."""

    generation: int

    def __new__(cls, count: int, generation: int) -> Self:
        ended = super().__new__(cls, count)
        ended.generation = generation
        return ended


def user_key(user_id: object) -> str:
    """A user's id as backends keep it: a ``str``, or an ``int`` or ``UUID`` as its text.

    1 to 255 bytes of UTF-8 without control characters (DESIGN.md 5). Raises :class:`UsageError` otherwise.
    """
    if isinstance(user_id, bool) or not isinstance(user_id, (str, int, UUID)):
        raise UsageError(f"a user id is a str, int or UUID, not {type(user_id).__name__}")
    text = str(user_id)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError("a user id is text that UTF-8 can encode") from None
    if not 1 <= size <= 255:
        raise UsageError(f"a user id is 1 to 255 bytes of UTF-8, not {size}")
    if not text.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in text):
        raise UsageError("a user id has no control characters")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a sign-in comes from, kept with the session so that the person can recognise it."""

    ip_address: str | None = None
    user_agent: str | None = None
