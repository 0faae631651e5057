"""What a backend is: the protocols, and what each backend declares about itself.

To keep sessions somewhere of your own, write a class with ``find`` and ``revoke_others``, both sync or both ``async``
(:class:`Backend`, :class:`AsyncBackend`), and add what else it can do (:class:`SupportsLogin`, :class:`SupportsCompanions`,
:class:`SupportsRecord`). What a backend cannot do it leaves out: a missing method is a declared limit, a method that does
nothing is a lie. ``sessionward.testing`` has the contract as tests.

Rules for every backend:

* Raise an exception for *I could not answer*: the client gets 503 (P7). Raise
  :class:`~sessionward.errors.BackendUnavailable`, or :class:`~sessionward.errors.OutcomeUnknown` once a commit has been
  sent; any other exception counts as the first.
* ``None`` from ``find``, and :class:`~sessionward.errors.SessionRevoked`, mean *I know that it is not live*: never guess.
* ``revoke_others`` decides under a lock that every change of this user's sessions takes, after a second look at the
  caller's own session. Check-then-act leaves nobody signed in when two callers meet (P2).
* All or nothing (P4). The count is of sessions that were live before and are revoked by this call (P5).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from uuid import UUID

from sessionward.credential.carriers import Carrier
from sessionward.credential.token import Credential
from sessionward.errors import ConfigurationError
from sessionward.session.session import CompanionStatus, NewSession, Session


class Backend(Protocol):
    """Where sessions live; sync. Two operations are required.

    A backend may also have these, which the doors, the drivers and the command look for:

    - ``blocking: bool`` (default True): False if no method ever waits; then both doors call it in place.
    - ``carriers``: where its credentials travel (:class:`~sessionward.backends.Carrier` values, in order of precedence),
      if they are the application's own and not those of CONTRACT.md 2.
    - ``within(seconds)``: returns a view of the backend that answers or gives up within so many seconds. A backend
      without it is given the whole ``backend_timeout`` for each question.
    - ``pool_size: int``: how many questions can be under way at once; the ASGI door gives a sync backend so many threads.
    - ``for_sidecar()``: returns a view of the backend for a sidecar, whose application changes its sessions in another process.
    - ``close()``: closes what is idle when the application ends. Not final: the next question opens again.
    - ``create_tables()``: creates what is missing. ``sessionward serve --create-tables`` calls it.
    """

    def find(self, credential: Credential, /) -> Session | None:
        """Returns the live session that the credential proves, or None if it proves none."""
        ...

    def revoke_others(self, session: Session, /) -> int:
        """Revokes the user's other sessions and returns how many were live.

        Raises ``SessionRevoked`` if ``session`` itself is not live any more.
        """
        ...


class AsyncBackend(Protocol):
    """Where sessions live; async. The same two operations as :class:`Backend`."""

    async def find(self, credential: Credential, /) -> Session | None: ...

    async def revoke_others(self, session: Session, /) -> int: ...


class SupportsLogin(Backend, Protocol):
    """A backend that owns its sessions: it starts and revokes them as well."""

    def login(self, new: NewSession, /) -> Session:
        """Starts a session under the user's lock.

        Raises ``StaleLogin`` by the first of these that applies: ``new.generation`` is not the user's; ``new.replaces`` is a
        session of this user that is not live; the user's sessions were revoked more recently than ``new.age()`` seconds ago.
        """
        ...

    def begin_login(self, user_id: str, /) -> int:
        """Returns the user's generation, 0 for a user never seen. Writes nothing."""
        ...

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        """Revokes this one session of this user; returns whether it was live."""
        ...

    def revoke_all(self, user_id: str, /) -> int:
        """Revokes all sessions of the user, also of one never seen, and raises the generation; returns how many were live."""
        ...


class AsyncSupportsLogin(AsyncBackend, Protocol):
    """The async form of :class:`SupportsLogin`."""

    async def login(self, new: NewSession, /) -> Session: ...

    async def begin_login(self, user_id: str, /) -> int: ...

    async def revoke(self, user_id: str, id: UUID, /) -> bool: ...

    async def revoke_all(self, user_id: str, /) -> int: ...


class SupportsCompanions(SupportsLogin, Protocol):
    """A backend that can keep companions of an application's own sessions.

    Whatever revokes a companion makes companions compulsory for its user, for good and in the same transaction.
    """

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        """Returns what decides about this session of the application. Writes nothing."""
        ...

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        """Whether a companion of this session of the application has been revoked. Writes nothing."""
        ...

    def adopt(self, new: NewSession, /) -> Session | None:
        """Starts a companion for a login that was there before, under the user's lock.

        Returns None if the application's session may not have another one now. Raises ``StaleLogin`` if companions are
        compulsory for the user.
        """
        ...

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None) -> bool:
        """Lets a live companion expire ``lifetime`` seconds from now, never sooner than before, and moves it to another
        session of the application if one is given. Returns whether it was live.
        """
        ...


class AsyncSupportsCompanions(AsyncSupportsLogin, Protocol):
    """The async form of :class:`SupportsCompanions`."""

    async def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus: ...

    async def is_revoked_app_session(self, app_session: bytes, /) -> bool: ...

    async def adopt(self, new: NewSession, /) -> Session | None: ...

    async def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None) -> bool: ...


class SupportsRecord(Backend, Protocol):
    """A backend over a store of the application's that may write revoked sessions back, or that keeps an index of its own.

    The operations are optional, each for itself. They make the door look at the traffic that carries the session's key.
    """

    def which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        """Returns those whose sessions were revoked. The door takes their cookies out of the request."""
        ...

    def note(self, credential: Credential, /) -> None:
        """Records that an answer has set the session cookie to this value. What it raises is logged and changes nothing."""
        ...

    def renewed(self, new: Credential, old: Collection[Credential], age: Callable[[], float], /) -> bool:
        """Records, in place of ``note``, that an answer sets the session cookie to ``new``, which its request did not bring.

        ``old``: the credentials that the request brought. Returns False if one of them was revoked in the last ``age()``
        seconds, since the request began, and both sessions are the same user's: then the request has taken its login along,
        so ``new`` is revoked too. Noting and looking are one transaction under the user's lock. The door drops the cookie,
        as it does where this raises and ``old`` is not empty.
        """
        ...


AnyBackend: TypeAlias = Backend | AsyncBackend

_REQUIRED = ("find", "revoke_others")
_LOGIN = ("login", "begin_login", "revoke", "revoke_all")
_COMPANIONS = ("companion_status", "is_revoked_app_session", "adopt", "extend")
_RECORD = ("which_revoked", "note", "renewed")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend declares about itself, looked at once when a door is built. ``backend`` is its class's name."""

    backend: str
    operations: frozenset[str]
    is_async: bool
    blocks: bool
    carriers: Sequence[Carrier]
    """Empty: our own, CONTRACT.md 2."""

    @property
    def supports_login(self) -> bool:
        return "login" in self.operations

    @property
    def supports_companions(self) -> bool:
        return {"login", "revoke", *_COMPANIONS} <= self.operations

    @property
    def supports_record(self) -> bool:
        return not self.operations.isdisjoint(_RECORD)

    @classmethod
    def of(cls, backend: object) -> Capabilities:
        """Raises :class:`ConfigurationError` for an object that is not a backend, or that mixes sync and async methods."""
        if backend is None or isinstance(backend, (str, bytes)):
            raise ConfigurationError("backend: pass an object, such as sessionward.backends.sql.SQLBackend('sqlite:///sessions.db')")
        if isinstance(backend, type):
            raise ConfigurationError(f"backend: {backend.__name__} is a class; pass an instance, {backend.__name__}(...)")
        name = type(backend).__name__
        known = (*_REQUIRED, *_LOGIN, *_COMPANIONS, *_RECORD)
        methods = {operation: method for operation in known if callable(method := getattr(backend, operation, None))}
        missing = [operation for operation in _REQUIRED if operation not in methods]
        if missing:
            raise ConfigurationError(f"backend: {name} has no {' and no '.join(missing)}; see sessionward.backends.Backend")
        asynchronous = [operation for operation, method in methods.items() if inspect.iscoroutinefunction(method)]
        if asynchronous and len(asynchronous) < len(methods):
            raise ConfigurationError(f"backend: {name} mixes sync and async: only {', '.join(asynchronous)} are async; make all alike")
        carriers: Sequence[Carrier] = getattr(backend, "carriers", ())
        return cls(name, frozenset(methods), bool(asynchronous), bool(getattr(backend, "blocking", True)), tuple(carriers))
