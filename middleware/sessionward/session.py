"""A session and whose it is; the questions a flow asks about it, and the two protocols of those who answer.

To keep sessions somewhere of your own, write a class with ``find`` and ``end_others``, both plain or both ``async``
(:class:`Backend`, :class:`AsyncBackend`), and add what else it can do (:class:`SignsIn`, :class:`AsyncSignsIn`). What
it cannot do it leaves out: a missing method is a declared limit, a method that does nothing is a lie.

Rules for every backend, tested by the contract class in ``tests/contract``:

* An exception means *I could not answer* and becomes 503 (P7). Raise :class:`~sessionward.errors.BackendUnavailable`,
  or :class:`~sessionward.errors.OutcomeUnknown` once a commit has been sent; whatever else is raised counts as the first.
* ``None`` from ``find`` and :class:`~sessionward.errors.SessionEnded` mean *I know that it is dead*: never guess.
* ``end_others`` decides under a lock that every change of this user's sessions takes, after a second look at the
  caller's own session. Check-then-act leaves nobody signed in when two callers meet (P2).
* All or nothing (P4), and the count is of sessions that were live before and are ended by this call (P5).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias
from uuid import UUID

from sessionward.credential import Carrier, Credential
from sessionward.errors import ConfigurationError, UsageError
from sessionward.step import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A live session, as its backend saw it when it was asked.

    ``id`` is public and never a credential. ``user_id`` is text, also where ``login()`` was given a number. Times are
    aware datetimes in UTC by the backend's clock, or None where the backend does not keep them. ``epoch`` counts how
    often this user's other sessions have been ended (P3). ``link``: of a companion, the digest of the application's own
    session. ``credential`` is for backends whose rows have no other name than the secret itself.
    """

    id: UUID | str
    user_id: str
    issued_at: datetime | None = None
    authenticated_at: datetime | None = None
    expires_at: datetime | None = None
    epoch: int | None = None
    link: bytes | None = field(default=None, repr=False)
    credential: Credential | None = field(default=None, repr=False, compare=False)


CLOCK_RATE: Final = 1.001
"""How much faster a backend's clock may run than ours while it is being set right (P3 a); adjtime(3) slews by 500 ppm."""


ADOPTIONS: Final = 5
"""Live companions that one session of an application may have (DESIGN.md 2): a client that keeps no cookies stays bounded."""
ADOPTION_PAUSE: Final = 60.0
"""Seconds between two adoptions of one session of an application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What decides about a login credential of the application that comes without a companion (way 3).

    ``closed``: a companion of this user was ended once, so only a sign-in makes new ones. ``raised_at``: when the user's
    sessions were ended last, by the backend's clock. ``linked``: how many live companions the application's session has.
    ``adoptable``: whether it may have one more now.
    """

    closed: bool
    raised_at: datetime | None = None
    linked: int = 0
    adoptable: bool = True


class Ended(int):
    """How many sessions an operation ended, and the user's epoch that it set."""

    epoch: int

    def __new__(cls, count: int, epoch: int) -> Self:
        ended = super().__new__(cls, count)
        ended.epoch = epoch
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


# --- those who answer -------------------------------------------------------------------------------------------------


class Backend(Protocol):
    """Where sessions live, in plain colour. Two operations are required."""

    def find(self, credential: Credential, /) -> Session | None:
        """The live session that the credential proves, or None if it proves none."""
        ...

    def end_others(self, session: Session, /) -> int:
        """End the user's other sessions; answer how many. Raises ``SessionEnded`` if ``session`` died meanwhile."""
        ...


class AsyncBackend(Protocol):
    """Where sessions live, in async colour. The same two operations."""

    async def find(self, credential: Credential, /) -> Session | None: ...

    async def end_others(self, session: Session, /) -> int: ...


class SignsIn(Backend, Protocol):
    """A backend that owns its sessions: it can start and end them as well (way 1)."""

    blocking: ClassVar[bool]
    """False if no method ever waits: then both doors call it in place. True where it is not declared."""

    def login(
        self,
        user_id: str,
        digest: bytes,
        /,
        *,
        since: int | None,
        age: Callable[[], float],
        replaces: Session | None,
        expires_in: float,
        device: Device,
        methods: Sequence[str],
    ) -> Session:
        """Start a session for the token with this digest, under the user's lock.

        Refuses with ``StaleLogin`` by the first of these that applies: ``since`` is not the user's epoch; ``replaces``
        is a session of this user that is no longer live; the user's epoch was raised more recently than ``age()``
        seconds ago (asked under the lock). ``replaces`` ends in the same transaction, whoever's it is.
        ``expires_in`` is in seconds; ``methods`` name how the person proved who they are.
        """
        ...

    def begin(self, user_id: str, /) -> int:
        """The user's epoch, 0 for a user never seen. Writes nothing."""
        ...

    def end(self, session: Session, /) -> bool:
        """End this one session; whether it was live."""
        ...

    def end_all(self, user_id: str, /) -> int:
        """End all sessions of the user, also of one never seen, and raise the epoch; how many were live."""
        ...


class AsyncSignsIn(AsyncBackend, Protocol):
    """The async colour of :class:`SignsIn`."""

    blocking: ClassVar[bool]

    async def login(
        self,
        user_id: str,
        digest: bytes,
        /,
        *,
        since: int | None,
        age: Callable[[], float],
        replaces: Session | None,
        expires_in: float,
        device: Device,
        methods: Sequence[str],
    ) -> Session: ...

    async def begin(self, user_id: str, /) -> int: ...

    async def end(self, session: Session, /) -> bool: ...

    async def end_all(self, user_id: str, /) -> int: ...


class Companions(SignsIn, Protocol):
    """A backend that can keep companions of an application's own sessions (way 3); ``login`` takes ``link`` as well.

    Whatever ends a companion *closes* its user, for good and in the same transaction.
    """

    def standing(self, user_id: str, link: bytes, /) -> Standing:
        """How this user stands, and the application's session with this link. Writes nothing."""
        ...

    def adopt(self, user_id: str, digest: bytes, /, *, link: bytes, expires_in: float, device: Device) -> Session | None:
        """Start a companion for a login from before; None if the application's session may not have another one now.

        Decides under the user's lock. Raises ``StaleLogin`` if the user is closed.
        """
        ...

    def touch(self, session: Session, /, *, link: bytes | None, expires_in: float) -> bool:
        """Let a live session expire so much later, and go with this link if one is given; whether it was live."""
        ...


class AsyncCompanions(AsyncSignsIn, Protocol):
    """The async colour of :class:`Companions`."""

    async def standing(self, user_id: str, link: bytes, /) -> Standing: ...

    async def adopt(self, user_id: str, digest: bytes, /, *, link: bytes, expires_in: float, device: Device) -> Session | None: ...

    async def touch(self, session: Session, /, *, link: bytes | None, expires_in: float) -> bool: ...


class Watches(Backend, Protocol):
    """A backend over a store of the application's that may write ended sessions back, or that keeps an index of its own.

    Both operations are optional, each for itself. They make the door look at the traffic that carries the session cookie.
    """

    def ended(self, digests: Collection[bytes], /) -> Collection[bytes]:
        """Which of these digests of credentials are of sessions that were ended. Their cookies are taken out."""
        ...

    def saw(self, credential: Credential, /) -> None:
        """An answer has set the session cookie to this value. What is raised is logged and changes nothing."""
        ...


AnyBackend: TypeAlias = Backend | AsyncBackend

_OPERATIONS = ("find", "end_others", "login", "begin", "end", "end_all", "standing", "adopt", "touch", "ended", "saw")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a backend declares about itself, looked at once when a door is built."""

    operations: frozenset[str]
    is_async: bool
    blocks: bool
    carriers: Sequence[Carrier]
    """Empty: our own, CONTRACT.md 2."""

    @property
    def signs_in(self) -> bool:
        return "login" in self.operations

    @property
    def keeps_companions(self) -> bool:
        return {"login", "end", "standing", "adopt", "touch"} <= self.operations

    @classmethod
    def of(cls, backend: object) -> Abilities:
        """Raises :class:`ConfigurationError` for something that is not a backend, or has two colours."""
        if backend is None or isinstance(backend, (str, bytes)):
            raise ConfigurationError("backend: an object is needed, such as sessionward.backends.sql.SQLBackend('sqlite:///sessions.db')")
        if isinstance(backend, type):
            raise ConfigurationError(f"backend: {backend.__name__} is a class; pass an instance, {backend.__name__}(...)")
        methods = {name: method for name in _OPERATIONS if callable(method := getattr(backend, name, None))}
        missing = [name for name in ("find", "end_others") if name not in methods]
        if missing:
            raise ConfigurationError(f"backend: {type(backend).__name__} has no {' and no '.join(missing)}; see sessionward.Backend")
        colours = {inspect.iscoroutinefunction(method) for method in methods.values()}
        if len(colours) > 1:
            mixed = ", ".join(name for name, method in methods.items() if inspect.iscoroutinefunction(method))
            raise ConfigurationError(f"backend: {type(backend).__name__} mixes colours: only {mixed} are async; make all alike")
        carriers: Sequence[Carrier] = getattr(backend, "carriers", ())
        return cls(frozenset(methods), colours.pop(), getattr(backend, "blocking", True), tuple(carriers))


# --- the questions ----------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=True, unsafe_hash=True)  # not frozen: it is made for each request, and freezing costs half of it
class Find(Step[Session | None]):
    credential: Credential
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.find(self.credential)


@dataclass(frozen=True, slots=True)
class EndOthers(Step[int]):
    session: Session

    def ask(self, backend: Any) -> Any:
        return backend.end_others(self.session)


@dataclass(frozen=True, slots=True)
class Begin(Step[int]):
    user_id: str
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.begin(self.user_id)


@dataclass(frozen=True, slots=True)
class End(Step[bool]):
    session: Session

    def ask(self, backend: Any) -> Any:
        return backend.end(self.session)


@dataclass(frozen=True, slots=True)
class EndAll(Step[int]):
    user_id: str

    def ask(self, backend: Any) -> Any:
        return backend.end_all(self.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login(Step[Session]):
    user_id: str
    credential: Credential
    since: int | None
    age: Callable[[], float]
    replaces: Session | None
    expires_in: float
    device: Device
    methods: Sequence[str]
    link: bytes | None = field(default=None, repr=False)

    def ask(self, backend: Any) -> Any:
        companion: dict[str, Any] = {} if self.link is None else {"link": self.link}
        return backend.login(
            self.user_id,
            self.credential.digest,
            since=self.since,
            age=self.age,
            replaces=self.replaces,
            expires_in=self.expires_in,
            device=self.device,
            methods=self.methods,
            **companion,
        )


@dataclass(frozen=True, slots=True)
class FindStanding(Step[Standing]):
    user_id: str
    link: bytes = field(repr=False)
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.standing(self.user_id, self.link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt(Step[Session | None]):
    user_id: str
    credential: Credential
    link: bytes = field(repr=False)
    expires_in: float
    device: Device

    def ask(self, backend: Any) -> Any:
        return backend.adopt(self.user_id, self.credential.digest, link=self.link, expires_in=self.expires_in, device=self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch(Step[bool]):
    session: Session
    link: bytes | None = field(repr=False)
    expires_in: float

    def ask(self, backend: Any) -> Any:
        return backend.touch(self.session, link=self.link, expires_in=self.expires_in)


@dataclass(frozen=True, slots=True)
class FindEnded(Step[Collection[bytes]]):
    digests: Collection[bytes] = field(repr=False)
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.ended(self.digests)


@dataclass(frozen=True, slots=True)
class Saw(Step[None]):
    credential: Credential

    def ask(self, backend: Any) -> Any:
        return backend.saw(self.credential)
