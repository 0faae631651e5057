"""The handle that the application gets from ``sessionward.of(request)``, with the verbs ``login()``, ``logout()``, ...

Under ASGI the verbs are async, and sync functions in another thread use ``sessions.blocking``. Under WSGI they are sync. All of
them run the same flows.
"""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast
from uuid import UUID

from sessionward import flow
from sessionward.api import verbs
from sessionward.door.handle import Handle, context_of
from sessionward.door.parts import AsyncDoor, Door
from sessionward.errors import UsageError
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, Mapping, Peer, Sender, address_of, fields_in, joined
from sessionward.session.impersonation import Acting
from sessionward.session.session import Session, SessionList
from sessionward.session.step import Flow
from sessionward.settings import Duration

T = TypeVar("T")

UserID: TypeAlias = str | int | UUID
"""A user's id. An ``int`` or ``UUID`` becomes a ``str``."""
Kind: TypeAlias = Literal["", "impersonation"]
"""The kind of a session; empty for an ordinary sign-in."""


class Sessions(Handle):
    """The sessions of the caller of a WSGI request, and the verbs that change them.

    Every verb raises ``BackendUnavailable`` if the backend cannot answer, and ``UsageError`` if the backend does not support the
    verb, or if the verb sets a cookie and the response head has been sent.
    """

    _door: Door

    def __init__(self, door: Door, environ: Mapping) -> None:
        self._door = door
        self._fields = fields_in(environ, door.mode.names)
        self._peer: str | None = environ.get("REMOTE_ADDR")
        self._agent: str | None = environ.get("HTTP_USER_AGENT")
        self._started = monotonic()

    @property
    def current(self) -> Session | None:
        """The live session of the caller, or None. ``login()``, ``logout()`` and ``revoke_all()`` change it at once.

        Over the application's own sessions, the first read asks the backend, and raises ``BackendUnavailable`` if the backend
        cannot answer.
        """
        return self._recalled() or self._run(flow.current(self._mode(), context_of(self)))

    def login(
        self,
        user_id: UserID,
        *,
        ticket: str | None = None,
        methods: Sequence[str] = ("password",),
        persistent: bool = True,
        kind: Kind = "",
        actor: UserID | None = None,
        lifetime: Duration | None = None,
    ) -> str:
        """Starts a session for the user, sets its cookie, and revokes the session that this browser had.

        Returns the token, for clients that are not browsers. Call this after you have checked the password, with the id from
        the user's row, not with what the user typed: your database may find Ann for ``ANN``, but to us they are two users.

        ``ticket``: the ticket of :meth:`begin_login`, for a sign-in over several requests. ``methods``: how the user was
        authenticated: lower-case letters, digits and underscores. An empty list: the user was remembered, so this is no ``recent``
        sign-in. ``persistent=False``: the cookie lasts until the browser closes.

        ``kind="impersonation"``: ``actor``, an administrator, acts as the user for ``lifetime`` (an hour by default). Whatever signs
        in by this browser before it has logged out is an impersonation by the same actor with the same end, except the actor.

        Raises ``StaleLogin`` if the user's sessions were revoked after this sign-in began, and with ``at_limit="refuse"``
        ``TooManySessions``, whose ``ticket`` revokes the sessions used longest ago.
        """
        acting = Acting(kind, actor, lifetime)
        asked = flow.login(self._mode(), context_of(self), user_id, ticket=ticket, methods=methods, persistent=persistent, acting=acting)
        return self._run(asked)

    def begin_login(self, user_id: UserID) -> str:
        """Returns a ticket for ``login(ticket=...)``. Call this before you check the password. Writes nothing."""
        return self._run(flow.begin_login(self._mode(), user_id))

    def logout(self) -> None:
        """Revokes the caller's session and clears the cookie. Without a session it only clears the cookie."""
        self._run(flow.logout(self._mode(), context_of(self)))

    def revoke_others(self) -> int:
        """Revokes the caller's other sessions, as the endpoint does. Returns how many were live.

        After a change of the password: store the new password, commit, then call this.

        Raises ``NotSignedIn`` without a live session. Raises ``SessionRevoked`` if another session of the user has just revoked
        this one; you do not know whether that session is the user's own, so call ``revoke_all()``. After ``BackendUnavailable``
        other sessions may still be live; you may repeat the call.
        """
        return self._run(flow.revoke_others(self._mode(), context_of(self)))

    def list(self, *, after: Session | None = None, limit: int | None = None) -> SessionList:
        """Returns the caller's live sessions, its own among them, the newest sign-in first.

        ``limit``: at most so many. ``after``: the last session of the list before this one. The list has ``total``, how many there
        are in all. Raises ``NotSignedIn`` without a live session.
        """
        return self._run(verbs.list_own(self._mode(), context_of(self), after=after, limit=limit))

    def revoke(self, session_id: UUID | str) -> bool:
        """Revokes one of the caller's other sessions. Returns whether it was live: False for an unknown id, and for that of another user.

        Raises ``NotSignedIn`` without a live session, ``SessionRevoked`` as :meth:`revoke_others` does, and ``UsageError`` for the
        caller's own session: use :meth:`logout`.
        """
        return self._run(verbs.revoke_one(self._mode(), context_of(self), session_id))

    def revoke_all(self, user_id: UserID) -> int:
        """Revokes all sessions of a user, including the caller's. Returns how many were live.

        Afterwards ``login()`` accepts this user in the same request, as after a forgotten password. It refuses sign-ins of other
        requests that are under way. With ``identify`` the caller, if it is this user, must sign in again: this response does
        not renew the login cookies.
        """
        return self._run(flow.revoke_all(self._mode(), context_of(self), user_id))

    def _run(self, asked: Flow[T]) -> T:
        return self._door.driver(asked)

    def _mode(self) -> Mode[Any]:
        return self._door.mode

    def _found(self) -> Fields:
        return self._fields

    def _sender(self) -> Sender:
        return Sender(self._peer, None if self._agent is None else self._agent.encode("latin-1", "replace"))


class AsyncSessions(Handle):
    """The sessions of the caller of an ASGI request, with async verbs. :class:`Sessions` says what each does."""

    _loop: asyncio.AbstractEventLoop | None = None
    _door: AsyncDoor

    def __init__(self, door: AsyncDoor, scope: Mapping) -> None:
        self._door = door
        self._peer: Peer = scope.get("client")
        self._headers: Fields = scope["headers"]
        self._started = monotonic()
        if door.sync is None:
            self._loop = running_loop()

    @property
    def current(self) -> Session | None:
        """The live session of the caller, or None. See :attr:`Sessions.current`.

        Over the application's own sessions the first read must ask the backend, and an attribute cannot be awaited. So it raises
        ``UsageError`` if the backend waits. Use ``await sessions.revoke_others()``, which asks, or read
        ``sessions.blocking.current`` in another thread.
        """
        if self._door.sync is not None and not self._mode().blocks:
            return self._recalled() or self._door.sync(flow.current(self._mode(), context_of(self)))
        known = self._recalled() or _known(self)
        if known is not _UNKNOWN:
            return cast("Session | None", known)
        raise UsageError(
            "sessions.current must ask the backend, and an attribute cannot be awaited; use await sessions.revoke_others(), which asks,"
            " or read sessions.blocking.current in a function that runs in another thread"
        )

    async def login(
        self,
        user_id: UserID,
        *,
        ticket: str | None = None,
        methods: Sequence[str] = ("password",),
        persistent: bool = True,
        kind: Kind = "",
        actor: UserID | None = None,
        lifetime: Duration | None = None,
    ) -> str:
        """Starts a session for the user. See :meth:`Sessions.login`."""
        acting = Acting(kind, actor, lifetime)
        asked = flow.login(self._mode(), context_of(self), user_id, ticket=ticket, methods=methods, persistent=persistent, acting=acting)
        return await self._door.driver(asked)

    async def begin_login(self, user_id: UserID) -> str:
        """Returns a ticket for ``login(ticket=...)``. See :meth:`Sessions.begin_login`."""
        return await self._door.driver(flow.begin_login(self._mode(), user_id))

    async def logout(self) -> None:
        """Revokes the caller's session and clears the cookie. See :meth:`Sessions.logout`."""
        await self._door.driver(flow.logout(self._mode(), context_of(self)))

    async def revoke_others(self) -> int:
        """Revokes the caller's other sessions. See :meth:`Sessions.revoke_others`."""
        return await self._door.driver(flow.revoke_others(self._mode(), context_of(self)))

    async def list(self, *, after: Session | None = None, limit: int | None = None) -> SessionList:
        """Returns the caller's live sessions. See :meth:`Sessions.list`."""
        return await self._door.driver(verbs.list_own(self._mode(), context_of(self), after=after, limit=limit))

    async def revoke(self, session_id: UUID | str) -> bool:
        """Revokes one of the caller's other sessions. See :meth:`Sessions.revoke`."""
        return await self._door.driver(verbs.revoke_one(self._mode(), context_of(self), session_id))

    async def revoke_all(self, user_id: UserID) -> int:
        """Revokes all sessions of a user. See :meth:`Sessions.revoke_all`."""
        return await self._door.driver(flow.revoke_all(self._mode(), context_of(self), user_id))

    @property
    def blocking(self) -> Sessions:
        """The same verbs for sync functions that run in another thread: FastAPI ``def``, Django's sync views.

        On the event loop's own thread a verb raises ``UsageError``, since it would block the loop that must run it.
        """
        return _BlockingSessions(self, self._door, self._loop)

    def _mode(self) -> Mode[Any]:
        return self._door.mode

    def _found(self) -> Fields:
        names = self._mode().names
        return [field for field in self._headers if field[0] in names]

    def _sender(self) -> Sender:
        return Sender(address_of(self._peer), joined(self._headers, b"user-agent"))


class _BlockingSessions(Sessions):
    """The sync verbs over an async handle."""

    def __init__(self, sessions: AsyncSessions, door: AsyncDoor, loop: asyncio.AbstractEventLoop | None) -> None:
        self._sessions = sessions
        self._async_door = door
        self._loop = loop
        self._context = context_of(sessions)

    @property
    def current(self) -> Session | None:
        known = _known(self)
        return self._run(flow.current(self._mode(), context_of(self))) if known is _UNKNOWN else cast("Session | None", known)

    def _mode(self) -> Mode[Any]:
        return self._async_door.mode

    def _run(self, asked: Flow[T]) -> T:
        door = self._async_door
        if running_loop() is not None:
            asked.close()
            raise UsageError("sessions.blocking is for functions in another thread; on the event loop, await the verb of sessions itself")
        if door.sync is not None:
            return door.sync(asked)
        if self._loop is None:
            asked.close()
            raise UsageError("sessions.blocking over an async backend needs a server on asyncio; await the verb of sessions itself")
        return asyncio.run_coroutine_threadsafe(door.driver(asked), self._loop).result()


_UNKNOWN: Final = object()


def _known(handle: Handle) -> object:
    """Returns the current session if that takes no question, otherwise ``_UNKNOWN``."""
    asked = flow.current(handle._mode(), context_of(handle))
    try:
        asked.send(None)
    except StopIteration as end:
        return end.value
    asked.close()
    return _UNKNOWN


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Returns the event loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # another thread, or another kind of loop
        return None
