"""The protocols of a backend, and what each backend declares about itself.

To write a backend, write a class with ``find`` and ``revoke_others``, both sync or both ``async`` (:class:`Backend`,
:class:`AsyncBackend`). Add the methods of :class:`SupportsLogin`, :class:`SupportsCompanions` or :class:`SupportsRecord` that it
can support. Leave out a method that it cannot support: never write one that does nothing. ``sessionward.testing`` has the tests
that a backend must pass.

Rules for every backend:

* If you cannot answer, raise :class:`~sessionward.errors.BackendUnavailable`, or :class:`~sessionward.errors.OutcomeUnknown`
  after you have sent a commit. The client gets 503 (P7). Any other exception counts as ``BackendUnavailable``.
* Return ``None`` from ``find``, or raise :class:`~sessionward.errors.SessionRevoked`, only if you know that the session is not
  live.
* ``revoke_others`` must lock what every change of this user's sessions locks, and then look at the caller's own session again.
  If it checks before it locks, two callers at once revoke each other (P2).
* Revoke all sessions or none (P4). Count the sessions that were live before and that this call revokes (P5).
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
    """Keeps sessions; sync. The two methods are required.

    A backend may also have these attributes and methods, which the middlewares and the commands use:

    - ``blocking: bool`` (default True): False if no method ever waits. Then both middlewares call it without a thread.
    - ``carriers``: the cookies and headers that carry its credentials, as :class:`~sessionward.backends.Carrier` values in
      order of precedence, if the credentials are the application's own. Without it, those of CONTRACT.md 2.
    - ``cookie_caches``: the names of cookies in which the application keeps a copy of a session, and trusts it without asking its
      table (``session_data`` of better-auth). The middleware removes them from requests whose session is not live.
    - ``within(seconds)``: returns a view of the backend whose methods answer or raise within so many seconds. Without it,
      each call may take the whole ``backend_timeout``.
    - ``pool_size: int``: how many calls can run at once. The ASGI middleware gives a sync backend so many threads.
    - ``for_sidecar()``: returns a view of the backend for a sidecar, whose application changes its sessions in another process.
    - ``close()``: closes idle connections; the middleware calls it when the application ends. The next call opens new ones.
    - ``create_tables()``: creates the tables that are missing. ``sessionward serve --create-tables`` calls it.
    """

    def find(self, credential: Credential, /) -> Session | None:
        """Returns the live session that the credential proves, or None if it proves none."""
        ...

    def revoke_others(self, session: Session, /) -> int:
        """Revokes the other sessions of the user of ``session``. Returns how many were live.

        Raises ``SessionRevoked`` if ``session`` itself is not live any more; then it revokes nothing.
        """
        ...


class AsyncBackend(Protocol):
    """Keeps sessions; async. It has the methods and attributes of :class:`Backend`."""

    async def find(self, credential: Credential, /) -> Session | None: ...

    async def revoke_others(self, session: Session, /) -> int: ...


class SupportsLogin(Backend, Protocol):
    """A backend that also starts sessions."""

    def login(self, new: NewSession, /) -> Session:
        """Starts a session under the user's lock and returns it. Revokes ``new.replaces``, and the oldest beyond ``new.max_sessions``.

        Raises ``StaleLogin``. One of these rules decides, the first that applies: if ``new.generation`` is given, it must be
        the user's generation; if ``new.replaces`` is a session of this user, it must be live; otherwise the user's sessions
        must not have been revoked within the last ``new.age()`` seconds. If that revocation is in the future, because the clock
        was set back, the backend records it again with the present time, and refuses only this login.
        """
        ...

    def begin_login(self, user_id: str, /) -> int:
        """Returns the user's generation, 0 for an unknown user. Writes nothing."""
        ...

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        """Revokes one session of this user. Returns whether it was live."""
        ...

    def revoke_all(self, user_id: str, /) -> int:
        """Revokes all sessions of the user, and raises the generation, even of an unknown user. Returns how many were live."""
        ...


class AsyncSupportsLogin(AsyncBackend, Protocol):
    """Like :class:`SupportsLogin`, but async."""

    async def login(self, new: NewSession, /) -> Session: ...

    async def begin_login(self, user_id: str, /) -> int: ...

    async def revoke(self, user_id: str, id: UUID, /) -> bool: ...

    async def revoke_all(self, user_id: str, /) -> int: ...


class SupportsQuietRevocation(SupportsLogin, Protocol):
    """A backend in which a stolen session cannot keep its owner from signing in (P3)."""

    def revoke_others_quietly(self, session: Session, /) -> int:
        """Does what ``revoke_others`` does, for a call of the endpoint. ``sessions.revoke_others()`` always calls ``revoke_others``.

        If it revokes nothing, it does not raise the generation when the last raise was 0 <= t < ``RAISE_PAUSE`` seconds ago, or
        when this session has raised it ``MAX_RAISES`` times within an hour without revoking anything (``next_raise`` decides).
        Without this method the endpoint calls ``revoke_others``. A subclass that overrides one of the two must override both.
        """
        ...


class AsyncSupportsQuietRevocation(AsyncSupportsLogin, Protocol):
    """Like :class:`SupportsQuietRevocation`, but async."""

    async def revoke_others_quietly(self, session: Session, /) -> int: ...


class SupportsCompanions(SupportsLogin, Protocol):
    """A backend that also keeps companions of an application's own sessions.

    Each method that revokes a companion makes companions compulsory for its user, permanently and in the same transaction.
    """

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        """Returns the status that decides whether this session of the application needs a companion. Writes nothing."""
        ...

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        """Returns whether a companion of this session of the application has been revoked. Writes nothing."""
        ...

    def adopt(self, new: NewSession, /) -> Session | None:
        """Starts a companion for a login that the application had before, under the user's lock. ``new.max_sessions``: as for ``login``.

        Returns the companion, or None if the application's session may not have another one now. Raises ``StaleLogin`` if
        companions are compulsory for the user.
        """
        ...

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None) -> bool:
        """Sets a live companion to expire ``lifetime`` seconds from now, but never sooner than before.

        ``app_session``: if given, the companion now belongs to this session of the application. Returns whether it was live.
        """
        ...


class AsyncSupportsCompanions(AsyncSupportsLogin, Protocol):
    """Like :class:`SupportsCompanions`, but async."""

    async def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus: ...

    async def is_revoked_app_session(self, app_session: bytes, /) -> bool: ...

    async def adopt(self, new: NewSession, /) -> Session | None: ...

    async def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None) -> bool: ...


class SupportsRecord(Backend, Protocol):
    """A backend over an application's store that may write revoked sessions back, or a backend that needs to see new sessions.

    A backend may have some of these methods or all. With any, the middleware checks the requests and responses that carry the
    session's key.
    """

    def which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        """Returns the credentials whose sessions were revoked. The middleware removes them from the request."""
        ...

    def note(self, credential: Credential, /) -> None:
        """Records that a response sets the session cookie to this value. The middleware logs what it raises, and continues."""
        ...

    def renewed(self, new: Credential, old: Collection[Credential], age: Callable[[], float], /) -> bool:
        """Records that a response sets the session cookie to ``new``. The middleware calls it instead of ``note`` for a new value.

        ``old``: the credentials of the request. ``age()``: the seconds since the request began. Revokes ``new`` and returns False
        if one of ``old`` was revoked in that time, and both have the same user: the request has copied a revoked login. It checks
        and records in one transaction under the user's lock. The middleware drops the cookie if this returns False, and also if
        it raises and ``old`` is not empty.
        """
        ...


AnyBackend: TypeAlias = Backend | AsyncBackend

_REQUIRED = ("find", "revoke_others")
_LOGIN = ("login", "begin_login", "revoke", "revoke_all")
_COMPANIONS = ("companion_status", "is_revoked_app_session", "adopt", "extend")
_QUIET = ("revoke_others_quietly",)
_RECORD = ("which_revoked", "note", "renewed")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend declares about itself, read once when a middleware is made. ``backend``: the name of its class."""

    backend: str
    operations: frozenset[str]
    is_async: bool
    blocks: bool
    carriers: Sequence[Carrier]
    """Empty for those of CONTRACT.md 2."""
    caches: Sequence[str] = ()
    """The cookies in which the application keeps a copy of a session."""

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
        """Returns the capabilities of a backend. Raises :class:`ConfigurationError` if it is none, or mixes sync and async methods."""
        if backend is None or isinstance(backend, (str, bytes)):
            raise ConfigurationError("backend: pass an object, such as sessionward.backends.sql.SQLBackend('sqlite:///sessions.db')")
        if isinstance(backend, type):
            raise ConfigurationError(f"backend: {backend.__name__} is a class; pass an instance, {backend.__name__}(...)")
        name = type(backend).__name__
        known = (*_REQUIRED, *_LOGIN, *_COMPANIONS, *_QUIET, *_RECORD)
        methods = {operation: method for operation in known if callable(method := getattr(backend, operation, None))}
        missing = [operation for operation in _REQUIRED if operation not in methods]
        if missing:
            raise ConfigurationError(f"backend: {name} has no {' and no '.join(missing)}; see sessionward.backends.Backend")
        asynchronous = [operation for operation, method in methods.items() if inspect.iscoroutinefunction(method)]
        if asynchronous and len(asynchronous) < len(methods):
            raise ConfigurationError(
                f"backend: {name} mixes sync and async: only {', '.join(asynchronous)} are async; make all sync or all async"
            )
        carriers: Sequence[Carrier] = getattr(backend, "carriers", ())
        caches: Sequence[str] = getattr(backend, "cookie_caches", ())
        return cls(name, frozenset(methods), bool(asynchronous), bool(getattr(backend, "blocking", True)), tuple(carriers), tuple(caches))
