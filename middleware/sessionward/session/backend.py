"""Those who keep sessions: the protocols of a backend, and what each declares about itself.

To keep sessions somewhere of your own, write a class with ``find`` and ``revoke_others``, both plain or both ``async``
(:class:`Backend`, :class:`AsyncBackend`), and add what else it can do (:class:`SupportsLogin`, :class:`AsyncSupportsLogin`). What
it cannot do it leaves out: a missing method is a declared limit, a method that does nothing is a lie.

Rules for every backend, tested by the contract class in ``tests/contract``:

* An exception means *I could not answer* and becomes 503 (P7). Raise :class:`~sessionward.errors.BackendUnavailable`,
  or :class:`~sessionward.errors.OutcomeUnknown` once a commit has been sent; whatever else is raised counts as the first.
* ``None`` from ``find`` and :class:`~sessionward.errors.SessionRevoked` mean *I know that it is dead*: never guess.
* ``revoke_others`` decides under a lock that every change of this user's sessions takes, after a second look at the
  caller's own session. Check-then-act leaves nobody signed in when two callers meet (P2).
* All or nothing (P4), and the count is of sessions that were live before and are ended by this call (P5).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from sessionward.credential.carriers import Carrier
from sessionward.credential.token import Credential
from sessionward.errors import ConfigurationError
from sessionward.session.session import Device, Session, CompanionStatus


class Backend(Protocol):
    """Where sessions live, in plain colour. Two operations are required."""

    def find(self, credential: Credential, /) -> Session | None:
        """The live session that the credential proves, or None if it proves none."""
        ...

    def revoke_others(self, session: Session, /) -> int:
        """End the user's other sessions; answer how many. Raises ``SessionRevoked`` if ``session`` died meanwhile."""
        ...


class AsyncBackend(Protocol):
    """Where sessions live, in async colour. The same two operations."""

    async def find(self, credential: Credential, /) -> Session | None: ...

    async def revoke_others(self, session: Session, /) -> int: ...


class SupportsLogin(Backend, Protocol):
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

        Refuses with ``StaleLogin`` by the first of these that applies: ``since`` is not the user's generation; ``replaces``
        is a session of this user that is no longer live; the user's generation was raised more recently than ``age()``
        seconds ago (asked under the lock). ``replaces`` ends in the same transaction, whoever's it is.
        ``expires_in`` is in seconds; ``methods`` name how the person proved who they are.
        """
        ...

    def begin_login(self, user_id: str, /) -> int:
        """The user's generation, 0 for a user never seen. Writes nothing."""
        ...

    def end(self, session: Session, /) -> bool:
        """End this one session; whether it was live."""
        ...

    def revoke_all(self, user_id: str, /) -> int:
        """End all sessions of the user, also of one never seen, and raise the generation; how many were live."""
        ...


class AsyncSupportsLogin(AsyncBackend, Protocol):
    """The async colour of :class:`SupportsLogin`."""

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

    async def begin_login(self, user_id: str, /) -> int: ...

    async def end(self, session: Session, /) -> bool: ...

    async def revoke_all(self, user_id: str, /) -> int: ...


class SupportsCompanions(SupportsLogin, Protocol):
    """A backend that can keep companions of an application's own sessions (way 3); ``login`` takes ``app_session`` as well.

    Whatever ends a companion *closes* its user, for good and in the same transaction.
    """

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        """How this user stands, and the application's session with this link. Writes nothing."""
        ...

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        """Whether a companion of the application's session with this link has been ended. Writes nothing."""
        ...

    def adopt(self, user_id: str, digest: bytes, /, *, app_session: bytes, expires_in: float, device: Device) -> Session | None:
        """Start a companion for a login from before; None if the application's session may not have another one now.

        Decides under the user's lock. Raises ``StaleLogin`` if the user is closed.
        """
        ...

    def touch(self, session: Session, /, *, app_session: bytes | None, expires_in: float) -> bool:
        """Let a live session expire so much later, and go with this link if one is given; whether it was live."""
        ...


class AsyncSupportsCompanions(AsyncSupportsLogin, Protocol):
    """The async colour of :class:`SupportsCompanions`."""

    async def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus: ...

    async def is_revoked_app_session(self, app_session: bytes, /) -> bool: ...

    async def adopt(self, user_id: str, digest: bytes, /, *, app_session: bytes, expires_in: float, device: Device) -> Session | None: ...

    async def touch(self, session: Session, /, *, app_session: bytes | None, expires_in: float) -> bool: ...


class SupportsRecord(Backend, Protocol):
    """A backend over a store of the application's that may write ended sessions back, or that keeps an index of its own.

    Both operations are optional, each for itself. They make the door look at the traffic that carries the session cookie.
    """

    def which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        """Which of these are of sessions that were ended. Their cookies are taken out."""
        ...

    def note(self, credential: Credential, /) -> None:
        """An answer has set the session cookie to this value. What is raised is logged and changes nothing."""
        ...


AnyBackend: TypeAlias = Backend | AsyncBackend

_OPERATIONS = ("find", "revoke_others", "login", "begin_login", "end", "revoke_all", "companion_status", "is_revoked_app_session", "adopt", "touch", "which_revoked", "note")


@dataclass(frozen=True, slots=True)
class Capabilities:
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
        return {"login", "end", "companion_status", "is_revoked_app_session", "adopt", "touch"} <= self.operations

    @classmethod
    def of(cls, backend: object) -> Capabilities:
        """Raises :class:`ConfigurationError` for something that is not a backend, or has two colours."""
        if backend is None or isinstance(backend, (str, bytes)):
            raise ConfigurationError("backend: an object is needed, such as sessionward.backends.sql.SQLBackend('sqlite:///sessions.db')")
        if isinstance(backend, type):
            raise ConfigurationError(f"backend: {backend.__name__} is a class; pass an instance, {backend.__name__}(...)")
        methods = {name: method for name in _OPERATIONS if callable(method := getattr(backend, name, None))}
        missing = [name for name in ("find", "revoke_others") if name not in methods]
        if missing:
            raise ConfigurationError(f"backend: {type(backend).__name__} has no {' and no '.join(missing)}; see sessionward.Backend")
        colours = {inspect.iscoroutinefunction(method) for method in methods.values()}
        if len(colours) > 1:
            mixed = ", ".join(name for name, method in methods.items() if inspect.iscoroutinefunction(method))
            raise ConfigurationError(f"backend: {type(backend).__name__} mixes colours: only {mixed} are async; make all alike")
        carriers: Sequence[Carrier] = getattr(backend, "carriers", ())
        return cls(frozenset(methods), colours.pop(), getattr(backend, "blocking", True), tuple(carriers))
