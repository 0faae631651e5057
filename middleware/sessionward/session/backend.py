"""The protocols of a backend: the operations that it must have, and those that it may have.

To write a backend, write a class with ``find`` and ``revoke_others``, both sync or both ``async`` (:class:`Backend`,
:class:`AsyncBackend`). Add the methods of the other protocols that it can support: those of this file, those of
:class:`~sessionward.session.use.SupportsSeen` and :class:`~sessionward.session.era.SupportsEverybody`. Leave out a method that it
cannot support: never write one that does nothing. ``sessionward.testing`` has the tests that a backend must pass.

Rules for every backend:

* If you cannot answer, raise :class:`~sessionward.errors.BackendUnavailable`, or :class:`~sessionward.errors.OutcomeUnknown`
  after you have sent a commit. The client gets 503 (P7). Any other exception counts as ``BackendUnavailable``.
* Return ``None`` from ``find``, or raise ``SessionRevoked``, only if you know that the session is not live.
* ``revoke_others`` must lock what every change of this user's sessions locks, and then look at the caller's own session again.
  If it checks before it locks, two callers at once revoke each other (P2).
* Revoke all sessions or none (P4). Count the sessions that were live before and that this call revokes (P5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol, TypeAlias
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.session.session import Checked, CompanionStatus, NewSession, Position, Session, SessionList, Terms


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
    - ``judges_recent``, ``judges_rate: bool`` (default True for a backend with ``revoke_others_quietly``): whether it judges these two
      of the terms. If not, the settings ``recent`` and ``rate_limit`` are refused at start.
    - ``judges_limit: bool`` (default False): whether ``login`` knows ``AtLimit.REFUSE``. If not, ``at_limit="refuse"`` is refused at start.
    - ``revoke_own(user_id, id)``: ``revoke`` for a session that signs itself out. Without it we call ``revoke``.
    - ``close()``: closes idle connections, when the application ends. ``create_tables()``: creates those that are missing.
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
        """Starts a session under the user's lock and returns it. Revokes ``new.replaces``, and those beyond ``new.max_sessions``.

        Raises ``StaleLogin``, and then, by ``new.at_limit``, ``TooManySessions``. For ``StaleLogin`` one of these rules decides, the
        first that applies: if ``new.generation`` is given, it must be the user's generation; if ``new.replaces`` is a session of this
        user, it must be live; otherwise the user's sessions must not have been revoked within the last ``new.age()`` seconds. If that
        revocation is in the future, because the clock was set back, the backend records it again with the present time, and refuses
        only this login.
        """
        ...

    def begin_login(self, user_id: str, /) -> int:
        """Returns the user's generation, 0 for an unknown user before the first ``revoke_everybody``. Writes nothing."""
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
    """A backend that knows the terms on which a client may revoke (:class:`~sessionward.session.session.Terms`)."""

    def revoke_others_quietly(self, session: Session, terms: Terms = ..., /) -> int:
        """Does what ``revoke_others`` does, for a call of the endpoint. ``sessions.revoke_others()`` always calls ``revoke_others``.

        It spares sessions of kind ``impersonation`` unless the terms include them. If it revokes nothing, it does not raise the
        generation when the last raise was 0 <= t < ``RAISE_PAUSE`` seconds ago, or when this session has raised it ``MAX_RAISES``
        times within an hour without revoking anything (``next_raise`` decides): so a stolen session cannot keep its owner from
        signing in (P3). Raises ``SignInTooOld`` by the terms, and ``RateLimited`` if it would revoke one; it revokes nothing
        then. Without this method the endpoint calls ``revoke_others``. A subclass that overrides one of the two must override both.
        """
        ...


class AsyncSupportsQuietRevocation(AsyncSupportsLogin, Protocol):
    """Like :class:`SupportsQuietRevocation`, but async."""

    async def revoke_others_quietly(self, session: Session, terms: Terms = ..., /) -> int: ...


class SupportsSessionAPI(Backend, Protocol):
    """A backend that can list the sessions of a user, and revoke one: for ``api=True`` and the page (CONTRACT.md 6)."""

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        """Returns the live sessions of a user in the order of ``issued_at`` and ``id``, the newest first.

        ``after``: only those behind this place, whose session may be gone. ``limit``: at most so many. ``without``: neither
        returns nor counts this one. One statement reads the rows, their number and the clock.
        """
        ...

    def revoke_one(self, session: Session, id: UUID, terms: Terms, /) -> bool:
        """Revokes another session of the user of ``session``. Returns whether it was live; False also for an id of another user.

        Raises ``SessionRevoked`` if ``session`` itself is not live any more, ``SignInTooOld`` by the terms, and ``RateLimited``
        if it would revoke one. It does not raise the generation: no sign-in under way is refused. A session of kind
        ``impersonation`` stays unless the terms include it, and the method returns False.
        """
        ...


class AsyncSupportsSessionAPI(AsyncBackend, Protocol):
    """Like :class:`SupportsSessionAPI`, but async."""

    async def list(
        self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None
    ) -> SessionList: ...

    async def revoke_one(self, session: Session, id: UUID, terms: Terms, /) -> bool: ...


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

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None, idle_timeout: float | None = None) -> bool:
        """Sets a live companion to expire ``lifetime`` seconds from now, but never sooner than before.

        ``app_session``: if given, the companion now belongs to this session of the application. ``idle_timeout``:
        then ``ends_at`` is moved so, and the companion is used now, as by ``note_seen``. Returns whether it was live.
        """
        ...


class AsyncSupportsCompanions(AsyncSupportsLogin, Protocol):
    """Like :class:`SupportsCompanions`, but async."""

    async def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus: ...

    async def is_revoked_app_session(self, app_session: bytes, /) -> bool: ...

    async def adopt(self, new: NewSession, /) -> Session | None: ...

    async def extend(
        self, session: Session, /, *, lifetime: float, app_session: bytes | None, idle_timeout: float | None = None
    ) -> bool: ...


class SupportsLeases(SupportsLogin, Protocol):
    """A backend whose answers workers may trust for a while (CONTRACT.md 5). Its lease is kept beside its sessions.

    A verb of such a backend that is called directly, from a job or a shell, returns only when no worker can still trust the
    opposite. The view that ``within`` returns does not wait, since the middlewares wait themselves, without a thread or a connection.
    """

    def check(self, credential: Credential, /) -> Checked:
        """Does what ``find`` does, and says more. The lease is read in the same statement as the session."""
        ...

    def lease_wait(self) -> float:
        """Returns for how many seconds a worker may still trust what it read before this call: the largest lease of the last hour.

        Call it after the commit of a revocation. If another worker raises the lease meanwhile, no worker trusts a revoked session:
        a worker that reads the new lease also reads the revocation.
        """
        ...

    def raise_lease(self, seconds: float, /) -> None:
        """Sets the lease to ``seconds`` if it is shorter."""
        ...

    def set_lease(self, seconds: float, /) -> None:
        """Sets the lease, also to a shorter one, which ``lease_wait`` takes into account an hour later."""
        ...


class AsyncSupportsLeases(AsyncSupportsLogin, Protocol):
    """Like :class:`SupportsLeases`, but async."""

    async def check(self, credential: Credential, /) -> Checked: ...

    async def lease_wait(self) -> float: ...

    async def raise_lease(self, seconds: float, /) -> None: ...

    async def set_lease(self, seconds: float, /) -> None: ...


class SupportsNow(Protocol):
    """A backend with leases, sync or async, that can sometimes check in the calling thread, on an event loop too.

    ``answers_now``: False if ``check_now`` never answers, so that a caller need not try.
    """

    @property
    def answers_now(self) -> bool: ...

    def check_now(self, credential: Credential, /) -> Checked | None:
        """Does what ``check`` does without waiting. Sync in any case. Returns None if that is not possible now: then call ``check``."""
        ...


class SupportsMany(Backend, Protocol):
    """A backend that answers about many sessions at once, for the open streams of a worker."""

    def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        """Returns those of the credentials that prove a live session. It asks in few statements, whatever their number."""
        ...


class AsyncSupportsMany(AsyncBackend, Protocol):
    """Like :class:`SupportsMany`, but async."""

    async def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]: ...


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
        and records in one transaction under the user's lock. With ``which_revoked`` it returns False for any revoked ``old``. The
        middleware drops the cookie if this returns False, and also if it raises and ``old`` is not empty.
        """
        ...


AnyBackend: TypeAlias = Backend | AsyncBackend
