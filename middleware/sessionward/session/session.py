"""A session and its user, and the values that start a new one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.errors import UsageError
from sessionward.settings.limits import AtLimit

CLOCK_RATE: Final = 1.001
"""How much faster a backend's clock may run than ours while it is corrected (P3 a); adjtime(3) slews by 500 ppm."""
MAX_ADOPTIONS: Final = 5
"""The most live companions of one session of an application. It limits those of a client that keeps no cookies."""
ADOPTION_PAUSE: Final = 60.0
"""Seconds between two adoptions of one session of an application."""
NEEDS_SIGN_IN: Final = "only a new sign-in makes a companion: sessions of the user were revoked, or one ended for want of use"
RAISE_PAUSE: Final = 2.0
"""Seconds after a raise of the generation in which a button that finds nothing to revoke raises no further."""
IMPERSONATION: Final = "impersonation"
"""The kind of a session in which an administrator acts as the user."""
LEASES_WITHIN: Final = 3600.0
"""Seconds for which a revocation still waits for a lease that was longer, after it was lowered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session, as its backend read it.

    - ``id``: public; it is not a credential.
    - ``user_id``: a ``str``, even if ``login()`` got a number.
    - ``issued_at``, ``authenticated_at``, ``expires_at``: aware datetimes in UTC by the backend's clock, or None if the backend
      does not keep them.
    - ``generation``: how often the user's sessions had been revoked when the backend read this one (P3). After the sessions of all users
      were revoked at once it is a larger number, which no ticket of before has.
    - ``app_session``: for a companion, the digest of the application's own session.
    - ``last_seen_at``: when the session was used last, to a minute, or None. ``ends_at``: when it ends whatever its use, or None
      without an idle limit. With one, ``expires_at`` is when it ends unless it is used.
    - ``methods``: how the user was authenticated. ``ip_address``, ``user_agent``: where the user signed in, as the server saw it.
    - ``kind``: empty for an ordinary sign-in, ``impersonation`` if an administrator acts as the user. ``actor``: who that is.
    - ``credential``: for backends that find a row only by the secret itself. ``key``: where the application makes the credential
      anew with each response, a secret of the session that stays the same.
    - ``has_ended_others``: whether the ``login`` or ``adopt`` that returns this session has revoked another one: the one that it
      replaces, or those beyond ``max_sessions``.
    """

    id: UUID
    user_id: str
    issued_at: datetime | None = None
    authenticated_at: datetime | None = None
    expires_at: datetime | None = None
    generation: int | None = None
    app_session: bytes | None = field(default=None, repr=False)
    last_seen_at: datetime | None = field(default=None, compare=False)
    ends_at: datetime | None = field(default=None, compare=False)
    methods: Sequence[str] = field(default=(), repr=False)
    ip_address: str | None = field(default=None, repr=False)
    user_agent: str | None = field(default=None, repr=False)
    kind: str = ""
    actor: str | None = None
    credential: Credential | None = field(default=None, repr=False, compare=False)
    key: Credential | None = field(default=None, repr=False, compare=False)
    has_ended_others: bool = field(default=False, repr=False, compare=False)


class Position(NamedTuple):
    """A place in the list of a user's sessions, which are in the order of ``issued_at`` and ``id``, the newest first.

    ``issued_at``: None where the backend does not keep it; then ``id`` alone is the order.
    """

    issued_at: datetime | None
    id: UUID

    @classmethod
    def of(cls, session: Session) -> Position:
        """Returns the place of a session."""
        return cls(session.issued_at, session.id)


class SessionList(tuple[Session, ...]):
    """Live sessions of one user, the newest first.

    ``total``: how many there are in all, on the other pages too. ``now``: the backend's clock, or None if it does not say.
    All comes from one snapshot.
    """

    total: int
    now: datetime | None

    def __new__(cls, sessions: Iterable[Session], total: int, now: datetime | None = None) -> Self:
        listed = super().__new__(cls, sessions)
        listed.total, listed.now = total, now
        return listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms a client's own session may revoke others. They hold for the endpoint and the page, not for the verbs.

    The backend decides under the user's lock, after it has seen that the caller's session is live. A refused call changes nothing.

    - ``recent``: the caller's sign-in must not be older than so many seconds, or None. ``SignInTooOld`` otherwise. It is judged first.
    - ``rate_limit``: how often one session may revoke within an hour, or None. ``RateLimited`` otherwise. A call that finds nothing
      to revoke is neither counted nor refused, so that a call whose answer was lost can be repeated.
    - ``impersonations``: whether sessions of kind ``impersonation`` are revoked, and counted, too.
    """

    recent: float | None = None
    rate_limit: int | None = None
    impersonations: bool = False


ANY_TERMS: Final = Terms()
"""The terms without a setting: only impersonations are spared."""


class Checked(NamedTuple):
    """What a backend with leases read about a credential, in one statement (CONTRACT.md 5).

    - ``session``: the live session, or None. ``has_ended``: there is a row, and it was revoked: not unknown, not expired.
    - ``user_id``: the user of that row; empty if there is none.
    - ``remaining``: the seconds for which the session still lives, by the backend's clock, at most.
    - ``lease``: the seconds for which a positive answer may be trusted.
    - ``wait``: the seconds for which another worker may still trust what it read before: the largest lease of the last hour.
    """

    session: Session | None
    has_ended: bool = False
    user_id: str = ""
    remaining: float = 0.0
    lease: float = 0.0
    wait: float = 0.0


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
    - ``lifetime``: seconds from now on. ``idle_timeout``: seconds after its last use from which the session is not live, or None.
    - ``generation``: the generation in a ticket of ``begin_login``, or None. See P3 (b).
    - ``age``: returns the seconds since the request reached the middleware. Call it under the user's lock. See P3 (a).
    - ``replaces``: the session that this browser has now, of this user or another. ``login`` revokes it in the same transaction.
    - ``device``, ``methods``: where the user signs in, and how the user was authenticated.
    - ``app_session``, ``kind``, ``actor``: as in :class:`Session`. ``until``: when it ends at the latest, by the backend's clock.
    - ``max_sessions``: the largest number of live sessions that the user may have with this one, or None. The backend revokes
      those beyond it in the same transaction, the one used longest ago first (reason ``limit``). It neither raises the generation
      nor makes companions compulsory.
    - ``at_limit``: ``AtLimit.REFUSE``: ``login`` raises ``TooManySessions`` instead, and changes nothing.
    - ``is_fresh``: whether the user has just been authenticated. Otherwise the session has no ``authenticated_at``.
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
    idle_timeout: float | None = None
    at_limit: AtLimit = AtLimit.REVOKE
    is_fresh: bool = True
    kind: str = ""
    actor: str | None = None
    until: datetime | None = None

    def ends(self, now: datetime) -> datetime:
        """Returns when the session ends, however much it is used, if it begins ``now``, by the backend's clock."""
        end = now + timedelta(seconds=self.lifetime)
        return end if self.until is None else min(end, self.until)

    def lasts(self, since: datetime | None) -> float:
        """Returns for how many seconds it can live, if it began then, by the backend's clock."""
        return self.lifetime if since is None else (self.ends(since) - since).total_seconds()

    def expires(self, now: datetime) -> datetime:
        """Returns when it ends if it is not used again."""
        return min(self.ends(now), now + timedelta(seconds=self.idle_timeout or self.lifetime))


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionStatus:
    """Says whether a login credential of the application may pass without a companion.

    - ``companion_required``: only a sign-in makes a new one, since a companion of this user has been revoked at some time, or one
      ended for want of use and its ``ends_at`` is still ahead. The login that goes with it may have another value by now.
    - ``revoked_at``: when the user's sessions were revoked last, by the backend's clock.
    - ``companions``: how many live companions the application's session has.
    - ``may_adopt``: whether it may have one more now.
    - ``lease``, ``wait``: as in :class:`Checked`.
    """

    companion_required: bool
    revoked_at: datetime | None = None
    companions: int = 0
    may_adopt: bool = True
    lease: float = 0.0
    wait: float = 0.0


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
