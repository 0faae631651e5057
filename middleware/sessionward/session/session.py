"""A session, whose it is, and what a new one brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.errors import UsageError

CLOCK_RATE: Final = 1.001
"""How much faster a backend's clock may run than ours while it is being corrected (P3 a); adjtime(3) slews by 500 ppm."""
MAX_ADOPTIONS: Final = 5
"""Live companions that one session of an application may have, so that a client that keeps no cookies stays bounded."""
ADOPTION_PAUSE: Final = 60.0
"""Seconds between two adoptions of one session of an application."""
RAISE_PAUSE: Final = 2.0
"""Seconds after a raise of the generation in which a button that finds nothing to revoke raises no further."""
MAX_RAISES: Final = 10
"""How often one session may raise the generation by such a button within ``RAISES_WITHIN`` seconds."""
RAISES_WITHIN: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session, as its backend read it.

    - ``id``: public, never a credential.
    - ``user_id``: a ``str``, also where ``login()`` was given a number.
    - ``issued_at``, ``authenticated_at``, ``expires_at``: aware datetimes in UTC by the backend's clock, or None where the
      backend does not keep them.
    - ``generation``: how often this user's sessions had been revoked when it was read (P3).
    - ``app_session``: of a companion, the digest of the application's own session.
    - ``credential``: for backends whose rows have no other name than the secret itself.
    """

    id: UUID
    user_id: str
    issued_at: datetime | None = None
    authenticated_at: datetime | None = None
    expires_at: datetime | None = None
    generation: int | None = None
    app_session: bytes | None = field(default=None, repr=False)
    credential: Credential | None = field(default=None, repr=False, compare=False)


def public_id(credential: Credential) -> UUID:
    """The id of a session that its application names by nothing but the secret: a UUID of version 8 made of its digest."""
    digest = int.from_bytes(credential.digest[:16])
    return UUID(int=digest & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62)  # RFC 9562, 5.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a sign-in comes from, kept with the session so that the person can recognise it."""

    ip_address: str | None = None
    user_agent: str | None = None


def _just_now() -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """All that a login or an adoption brings: the argument of a backend's ``login`` and ``adopt``.

    - ``user_id``: as :func:`user_key` returns it.
    - ``digest``: the SHA-256 of the token, 32 bytes. Not the token.
    - ``lifetime``: seconds from now on.
    - ``generation``: what a ticket of ``begin_login`` says, or None. See P3 (b).
    - ``age``: seconds since the request that signs in reached the door. Call it under the user's lock. See P3 (a).
    - ``replaces``: the session that this browser has; it is revoked in the same transaction, whoever's it is.
    - ``device``, ``methods``: where from, and how the person proved who they are.
    - ``app_session``: of a companion, the digest of the application's own session.
    - ``max_sessions``: how many live sessions the user may have with this one, or None for any number. Those beyond it, used
      longest ago, are revoked in the same transaction (reason ``limit``), which raises nothing and requires no companions.
    """

    user_id: str
    digest: bytes = field(repr=False)
    lifetime: float
    generation: int | None = None
    age: Callable[[], float] = _just_now
    replaces: Session | None = None
    device: Device = Device()
    methods: Sequence[str] = ()
    app_session: bytes | None = field(default=None, repr=False)
    max_sessions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionStatus:
    """What decides about a login credential of the application that comes without a companion.

    - ``companion_required``: a companion of this user has been revoked at some time, so only a sign-in mints new ones.
    - ``revoked_at``: when the user's sessions were revoked last, by the backend's clock.
    - ``companions``: how many live companions the application's session has.
    - ``may_adopt``: whether it may have one more now.
    """

    companion_required: bool
    revoked_at: datetime | None = None
    companions: int = 0
    may_adopt: bool = True


class RevokedCount(int):
    """How many sessions an operation revoked; ``generation`` is the user's, as the operation has set it."""

    generation: int

    def __new__(cls, count: int, generation: int) -> Self:
        revoked = super().__new__(cls, count)
        revoked.generation = generation
        return revoked


def next_raise(spent_until: float | None, now: float) -> float | None:
    """Until when the raises of a session are spent after one more of them, or None if it may not raise (P3).

    It is the generic cell rate algorithm (ITU-T I.371): one time stands for all raises of the last hour. A time that no raise
    can have led to comes from before a clock was set back, and counts for nothing.
    """
    interval = RAISES_WITHIN / MAX_RAISES
    spent = now if spent_until is None or not now < spent_until <= now + RAISES_WITHIN else spent_until
    return None if spent - now > RAISES_WITHIN - interval else spent + interval


def user_key(user_id: object) -> str:
    """The id of a user as backends keep it: a ``str``, or an ``int`` or ``UUID`` as its text.

    Raises :class:`UsageError` unless it is 1 to 255 bytes of UTF-8 without control characters.
    """
    if isinstance(user_id, bool) or not isinstance(user_id, (str, int, UUID)):
        raise UsageError(f"a user id is a str, int or UUID, not {type(user_id).__name__}")
    text = str(user_id)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError("a user id must be a str that UTF-8 can encode") from None
    if not 1 <= size <= 255:
        raise UsageError(f"a user id is 1 to 255 bytes of UTF-8, not {size}")
    if not text.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in text):
        raise UsageError("a user id has no control characters")
    return text
