"""What the application holds: ``sessionward.of(request)``.

Under ASGI the verbs are awaited, and sync functions that run in another thread use ``sessions.blocking``. Under WSGI they
are sync. All of them run the same flows.
"""

# What belongs to the doors is private on the object that users hold, so that their editor does not offer it.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast, overload
from uuid import UUID

from sessionward import flow
from sessionward.door import ASGI_KEY, WSGI_KEY, AsyncDoor, Door, Handle, context_of
from sessionward.errors import UsageError
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, Mapping, Peer, Sender, fields_in, joined
from sessionward.session.session import Session
from sessionward.session.step import Flow

T = TypeVar("T")

UserID: TypeAlias = str | int | UUID
"""A user's id; an ``int`` or ``UUID`` is kept, and returned, as its text."""


class Sessions(Handle):
    """The sessions of the caller of a WSGI request, and what may be done with them.

    Every verb raises ``BackendUnavailable`` if the backend cannot answer, and ``UsageError`` if this backend cannot do
    it at all or if it is too late for a cookie.
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
        """The live session of the caller, or None. Changes at once with ``login()``, ``logout()`` and ``revoke_all()``.

        Over sessions of the application's own the backend is asked when this is read first; then it raises
        ``BackendUnavailable`` if it cannot answer.
        """
        return self._run(flow.current(self._mode(), context_of(self)))

    def login(self, user_id: UserID, *, ticket: str | None = None, methods: Sequence[str] = ("password",), persistent: bool = True) -> str:
        """Starts a session for the user, sets its cookie, and revokes the session that this browser had.

        Returns the token, for clients that are not browsers. Call it after the credentials have been checked, with the
        id from the user's row, not with what was typed: to a database ``ANN`` may be Ann, here it is another user.
        ``ticket``: of :meth:`begin_login`, for sign-ins over several requests. ``methods``: how the person proved who they
        are. ``persistent=False``: the browser forgets the cookie when it is closed. Raises ``StaleLogin`` if the user's
        sessions were revoked after this sign-in began.
        """
        return self._run(flow.login(self._mode(), context_of(self), user_id, ticket=ticket, methods=methods, persistent=persistent))

    def begin_login(self, user_id: UserID) -> str:
        """Returns a ticket for ``login(ticket=...)``: take it before the password is checked. Writes nothing."""
        return self._run(flow.begin_login(self._mode(), user_id))

    def logout(self) -> None:
        """Revokes the caller's session and clears the cookie. Idempotent."""
        self._run(flow.logout(self._mode(), context_of(self)))

    def revoke_others(self) -> int:
        """Revokes the caller's other sessions, as the endpoint does; returns how many were live.

        To change a password: store the new one, commit, then call this. Raises ``NotSignedIn`` without a session, and
        ``SessionRevoked`` if another session of the user has just revoked this one: that other one lives, and nobody knows
        whose it is, so answer with ``revoke_all()``. After ``BackendUnavailable`` others may live; repeating is safe.
        """
        return self._run(flow.revoke_others(self._mode(), context_of(self)))

    def revoke_all(self, user_id: UserID) -> int:
        """Revokes all sessions of a user, the caller's included; returns how many were live.

        A ``login()`` of this user in the same request is accepted afterwards: forgot password. Sign-ins of other
        requests that are under way are not. With ``identify`` the caller, if it is this user, has to sign in again: this
        answer does not renew its login cookies.
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
    """The sessions of the caller of an ASGI request; :class:`Sessions` says what each verb does."""

    _loop: asyncio.AbstractEventLoop | None = None

    _door: AsyncDoor

    def __init__(self, door: AsyncDoor, scope: Mapping) -> None:
        self._door = door
        self._peer: Peer = scope.get("client")
        self._headers: Fields = scope["headers"]
        self._started = monotonic()
        if door.sync is None:
            self._loop = _running_loop()

    @property
    def current(self) -> Session | None:
        """The live session of the caller, or None: :attr:`Sessions.current`.

        Over sessions of the application's own, where nobody has asked yet and the backend has to be waited for, it raises
        ``UsageError``, since an attribute cannot be awaited: ``await sessions.revoke_others()`` asks by itself, and
        ``sessions.blocking.current`` asks in another thread.
        """
        if self._door.sync is not None and not self._mode().blocks:
            return self._door.sync(flow.current(self._mode(), context_of(self)))
        known = _known(self)
        if known is not _UNKNOWN:
            return cast("Session | None", known)
        raise UsageError(
            "sessions.current has to ask the backend, and an attribute cannot be awaited; use await sessions.revoke_others(), which asks"
            " by itself, or read sessions.blocking.current in a function that runs in another thread"
        )

    async def login(
        self, user_id: UserID, *, ticket: str | None = None, methods: Sequence[str] = ("password",), persistent: bool = True
    ) -> str:
        """Starts a session for the user: :meth:`Sessions.login`."""
        asked = flow.login(self._mode(), context_of(self), user_id, ticket=ticket, methods=methods, persistent=persistent)
        return await self._door.driver(asked)

    async def begin_login(self, user_id: UserID) -> str:
        """Returns a ticket for ``login(ticket=...)``: :meth:`Sessions.begin_login`."""
        return await self._door.driver(flow.begin_login(self._mode(), user_id))

    async def logout(self) -> None:
        """Revokes the caller's session and clears the cookie: :meth:`Sessions.logout`."""
        await self._door.driver(flow.logout(self._mode(), context_of(self)))

    async def revoke_others(self) -> int:
        """Revokes the caller's other sessions: :meth:`Sessions.revoke_others`."""
        return await self._door.driver(flow.revoke_others(self._mode(), context_of(self)))

    async def revoke_all(self, user_id: UserID) -> int:
        """Revokes all sessions of a user: :meth:`Sessions.revoke_all`."""
        return await self._door.driver(flow.revoke_all(self._mode(), context_of(self), user_id))

    @property
    def blocking(self) -> Sessions:
        """The same verbs for sync functions that run in another thread: FastAPI ``def``, Django's sync views.

        A verb called on the event loop's own thread raises ``UsageError``: it would wait for itself.
        """
        return _BlockingSessions(self, self._door, self._loop)

    def _mode(self) -> Mode[Any]:
        return self._door.mode

    def _found(self) -> Fields:
        names = self._mode().names
        return [field for field in self._headers if field[0] in names]

    def _sender(self) -> Sender:
        return Sender(self._peer[0] if self._peer else None, joined(self._headers, b"user-agent"))


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
        if _running_loop() is not None:
            asked.close()
            raise UsageError("sessions.blocking is for functions in another thread; on the event loop, await the verb of sessions itself")
        if door.sync is not None:
            return door.sync(asked)
        if self._loop is None:
            asked.close()
            raise UsageError("sessions.blocking over an async backend needs a server that runs on asyncio")
        return asyncio.run_coroutine_threadsafe(door.driver(asked), self._loop).result()


_UNKNOWN: Final = object()


def _known(handle: Handle) -> object:
    """The current session, if nobody has to be asked for it; else ``_UNKNOWN``."""
    asked = flow.current(handle._mode(), context_of(handle))
    try:
        asked.send(None)
    except StopIteration as end:
        return end.value
    asked.close()
    return _UNKNOWN


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # another thread, or another kind of loop
        return None


# --- for the application ----------------------------------------------------------------------------------------------


class _HasScope(Protocol):
    @property
    def scope(self) -> Any: ...


class _HasEnviron(Protocol):
    @property
    def environ(self) -> Any: ...


@overload
def of(request: _HasScope) -> AsyncSessions: ...
@overload
def of(request: _HasEnviron) -> Sessions: ...
@overload
def of(request: AnyMapping[str, Any] | object) -> Any: ...
def of(request: Any) -> Any:
    """The sessions of a request: of an ASGI scope, a WSGI environ, or any framework's request that carries one.

    Starlette, FastAPI, Litestar, Quart, Django under ASGI: an :class:`AsyncSessions`. Flask, Django under WSGI, Pyramid,
    Bottle, Falcon, CherryPy: a :class:`Sessions`. Of a bare scope or environ a type checker cannot know which; annotate it.
    A WSGI application that a2wsgi mounts in an ASGI application gets a :class:`Sessions` too: its views run in a thread.
    As a FastAPI dependency, wrap it: ``def sessions(request: Request) -> AsyncSessions: return sessionward.of(request)``.
    Raises ``UsageError`` if no middleware of ours stands around the application.
    """
    mappings = _mappings(request)
    if not mappings:
        raise UsageError(f"{type(request).__name__}: this carries neither an ASGI scope nor a WSGI environ")
    # An application of the other kind is mounted by a bridge that hands on what it has been called with.
    outer = [mapping.get(key) for mapping in mappings for key in ("asgi.scope", "wsgi_environ")]
    for attached in filter(None, map(_attached, mappings)):
        return attached
    for attached in filter(None, map(_attached, filter(None, outer))):
        return attached.blocking if isinstance(attached, AsyncSessions) else attached
    raise UsageError(
        "sessionward has attached nothing to this request: put sessionward.ASGIMiddleware or WSGIMiddleware around the application"
        " (around all of it, so that it comes first)"
    )


def _attached(mapping: AnyMapping[str, Any]) -> Sessions | AsyncSessions | None:
    for key in (ASGI_KEY, WSGI_KEY):
        attached = mapping.get(key)
        if isinstance(attached, (Sessions, AsyncSessions)):
            return attached
        if isinstance(attached, (Door, AsyncDoor)):
            return _opened(attached, cast("Mapping", mapping), key)
    return None


def _opened(door: Door | AsyncDoor, mapping: Mapping, key: str) -> Sessions | AsyncSessions:
    """The handle of a request that has passed untouched, made when it is asked for first."""
    made = Sessions(door, mapping) if isinstance(door, Door) else AsyncSessions(door, mapping)
    mapping[key] = made
    return made


def _mappings(request: Any) -> list[AnyMapping[str, Any]]:
    found = [request, *(getattr(request, name, None) for name in _CARRIED)]
    return [cast("AnyMapping[str, Any]", mapping) for mapping in found if isinstance(mapping, AnyMapping)]


_CARRIED: Final = ("scope", "environ", "env", "wsgi_environ")
