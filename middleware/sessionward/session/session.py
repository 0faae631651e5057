"""A session and its user, and the values that start a new one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.errors import UsageError

CLOCK_RATE: Final = 1.001
"""How much faster a backend's clock may run than ours while it is corrected (P3 a); adjtime(3) slews by 500 ppm."""
MAX_ADOPTIONS: Final = 5
"""The most live companions of one session of an application. It limits those of a client that keeps no cookies."""
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

    - ``id``: public; it is not a credential.
    - ``user_id``: a ``str``, even if ``login()`` got a number.
    - ``issued_at``, ``authenticated_at``, ``expires_at``: aware datetimes in UTC by the backend's clock, or None if the backend
      does not keep them.
    - ``generation``: how often the user's sessions had been revoked when the backend read this one (P3).
    - ``app_session``: for a companion, the digest of the application's own session.
    - ``credential``: for backends that find a row only by the secret itself.
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
    """Returns an id for a session that has only a secret key: a UUID of version 8 (RFC 9562, 5.8) from the digest of the key."""
    digest = int.from_bytes(credential.digest[:16])
    return UUID(int=digest & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62)  # RFC 9562, 5.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The address and the browser of a sign-in, which a backend keeps so that users can recognise their sessions."""

    ip_address: str | None = None
    user_agent: str | None = None


def _just_now() -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """The argument of a backend's ``login`` and ``adopt``: what it needs to start a session.

    - ``user_id``: a ``str``, as :func:`user_key` returns it.
    - ``digest``: the SHA-256 of the token, 32 bytes. The backend never gets the token.
    - ``lifetime``: seconds from now on.
    - ``generation``: the generation in a ticket of ``begin_login``, or None. See P3 (b).
    - ``age``: a function that returns the seconds since the request reached the middleware. Call it under the user's lock. See
      P3 (a).
    - ``replaces``: the session that this browser has now, of this user or another. ``login`` revokes it in the same transaction.
    - ``device``, ``methods``: where the user signs in, and how the user was authenticated.
    - ``app_session``: for a companion, the digest of the application's own session.
    - ``max_sessions``: the largest number of live sessions that the user may have with this one, or None. The backend revokes
      those beyond it in the same transaction, the oldest first (reason ``limit``). It neither raises the generation nor makes
      companions compulsory.
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
    """Says whether a login credential of the application may pass without a companion.

    - ``companion_required``: a companion of this user has been revoked at some time, so only a sign-in makes a new one.
    - ``revoked_at``: when the user's sessions were revoked last, by the backend's clock.
    - ``companions``: how many live companions the application's session has.
    - ``may_adopt``: whether it may have one more now.
    """

    companion_required: bool
    revoked_at: datetime | None = None
    companions: int = 0
    may_adopt: bool = True


class RevokedCount(int):
    """How many live sessions an operation revoked. ``generation``: the user's generation after it."""

    generation: int

    def __new__(cls, count: int, generation: int) -> Self:
        revoked = super().__new__(cls, count)
        revoked.generation = generation
        return revoked


def user_mark(user_id: str) -> str:
    """Returns what stands for a user in the log: the first 8 hexadecimal digits of the SHA-256 of the user's id."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:8]


def next_raise(spent_until: float | None, now: float) -> float | None:
    """Returns the new ``raises_at`` of a session that raises its user's generation once more, or None if it may not (P3).

    It is the generic cell rate algorithm (ITU-T I.371): one time represents all raises of the last hour. A time that no raise
    can have produced is older than a change of the clock, so we ignore it.
    """
    interval = RAISES_WITHIN / MAX_RAISES
    spent = now if spent_until is None or not now < spent_until <= now + RAISES_WITHIN else spent_until
    return None if spent - now > RAISES_WITHIN - interval else spent + interval


def user_key(user_id: object) -> str:
    """Returns the id of a user as backends keep it: a ``str``. An ``int`` or ``UUID`` becomes a ``str``.

    Raises :class:`UsageError` unless it is 1 to 255 bytes of UTF-8 without control characters.
    """
    if isinstance(user_id, bool) or not isinstance(user_id, (str, int, UUID)):
        raise UsageError(f"a user id must be a str, int or UUID, not {type(user_id).__name__}")
    text = str(user_id)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError("a user id must be a str that UTF-8 can encode") from None
    if not 1 <= size <= 255:
        raise UsageError(f"a user id must be 1 to 255 bytes of UTF-8, not {size}")
    if not text.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in text):
        raise UsageError("a user id must not contain control characters")
    return text
