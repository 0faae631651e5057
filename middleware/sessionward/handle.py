"""What the application holds: ``sessionward.of(request)``.

Under ASGI the verbs are awaited, and plain functions that run in another thread use ``ward.blocking``. Under WSGI they
are plain. All of them carry on the same flows.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from functools import cache, partial
from time import monotonic, time
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast, overload
from uuid import UUID

from sessionward import flow
from sessionward.context import Policy, Visit
from sessionward.drive import AsyncDriver, SyncDriver
from sessionward.errors import UsageError
from sessionward.request.request import Fields, Mapping, Peer, Request, Sender, joined
from sessionward.session.session import Session
from sessionward.session.step import Flow

T = TypeVar("T")

log = logging.getLogger("sessionward")

UserID: TypeAlias = str | int | UUID
"""A user's id; an ``int`` or ``UUID`` is kept, and comes back, as its text."""

ASGI_KEY: Final = "sessionward"
WSGI_KEY: Final = "sessionward.ward"
"""PEP 3333: an environ key of ours that holds more than text has a dot in it."""


@dataclass(frozen=True, slots=True)
class Door:
    """What a ward needs of the WSGI door that made it."""

    policy: Policy
    driver: SyncDriver


@dataclass(frozen=True, slots=True)
class AsyncDoor:
    """What a ward needs of the ASGI door that made it. ``plain``: for blocking verbs; None over an async backend."""

    policy: Policy
    driver: AsyncDriver
    plain: SyncDriver | None


class _Held:
    """What a ward knows before anyone asks it for something: next to nothing, since most requests never do.

    No slots: what most requests leave as it is costs nothing as an attribute of the class.
    """

    head_is_out: bool = False
    """Too late for a cookie."""
    _visit: Visit | None = None
    _started: float

    @property
    def session(self) -> Session | None:
        """The live session of the caller; changes at once with ``login()``, ``logout()`` and ``revoke_all()``."""
        return None if self._visit is None else self._visit.session

    def __repr__(self) -> str:
        return f"<{type(self).__name__.strip('_')}: {self.session!r}>"

    def visit(self, request: Request | None = None) -> Visit:
        """For the door and the verbs: the visit of this request, made now if nobody has needed it yet."""
        if self._visit is None:
            self._visit = Visit(self._policy(), request or self.sender(), partial(_since, self._started), time)
            self._visit.head_is_out = self.head_is_out
        return self._visit

    def began(self, moment: float) -> None:
        """For a door's server: the request had reached it at this moment of the monotonic clock already (P3 a)."""
        self._started = min(self._started, moment)

    def head_goes_out(self) -> Visit | None:
        """For the door: from now on it is too late for a cookie. The visit, if anyone has needed it."""
        self.head_is_out = True
        visit = self._visit
        if visit is not None:
            visit.head_is_out = True
        return visit

    @abstractmethod
    def _policy(self) -> Policy: ...

    @abstractmethod
    def sender(self) -> Sender: ...


@cache
def warn(message: str) -> None:
    """For the doors: say once in each process what whoever runs this should know."""
    log.warning(message)


def _since(started: float) -> float:
    return monotonic() - started


class Ward(_Held):
    """The session of a WSGI request and what may be done with it.

    Every verb raises ``BackendUnavailable`` if the backend cannot answer, and ``UsageError`` if this backend cannot do
    it at all or if it is too late for a cookie.
    """

    def __init__(self, door: Door, environ: Mapping) -> None:
        self._door = door
        self._peer: str | None = environ.get("REMOTE_ADDR")
        self._agent: str | None = environ.get("HTTP_USER_AGENT")
        self._started = monotonic()

    def login(self, user_id: UserID, *, since: str | None = None, methods: Sequence[str] = ("password",), persistent: bool = True) -> str:
        """Start a session for the user, set its cookie, and end the session that this browser had.

        Returns the token, for clients that are not browsers. Call it after the credentials have been checked, with the
        id from the user's row, not with what was typed: to a database ``ANN`` may be Ann, here it is somebody else.
        ``since``: the ticket of :meth:`begin_login`, for sign-ins over several requests. ``persistent=False``: the cookie
        goes when the browser closes. Raises ``StaleLogin`` if the user's sessions were ended after this sign-in began.
        """
        return self._run(flow.login(self.visit(), user_id, since=since, methods=methods, persistent=persistent))

    def begin_login(self, user_id: UserID) -> str:
        """A ticket for ``login(since=...)``: take it before the password is checked. Writes nothing."""
        return self._run(flow.begin_login(self.visit(), user_id))

    def logout(self) -> None:
        """End the caller's session and clear the cookie. Idempotent."""
        self._run(flow.logout(self.visit()))

    def revoke_others(self) -> int:
        """End the caller's other sessions, as the endpoint does; how many were live.

        To change a password: store the new one, commit, then call this. Raises ``NotSignedIn`` without a session, and
        ``SessionRevoked`` if another session of the user has just ended this one: that other one lives, and whose it is
        nobody knows, so answer with ``revoke_all()``. After ``BackendUnavailable`` others may live; repeating is safe.
        """
        return self._run(flow.revoke_others(self.visit()))

    def revoke_all(self, user_id: UserID) -> int:
        """End all sessions of a user, the caller's included; how many were live.

        A ``login()`` of this user in the same request is accepted afterwards: forgot password. Sign-ins of other
        requests that are under way are not. With ``identify`` the caller, if it is this user, has to sign in again: its
        login cookies are not renewed by this answer.
        """
        return self._run(flow.revoke_all(self.visit(), user_id))

    def _run(self, asked: Flow[T]) -> T:
        return self._door.driver(asked)

    def _policy(self) -> Policy:
        return self._door.policy

    def sender(self) -> Sender:
        """For the door: all that is kept of the request while the application works."""
        return Sender(self._peer, None if self._agent is None else self._agent.encode("latin-1", "replace"))


class AsyncWard(_Held):
    """The session of an ASGI request and what may be done with it; :class:`Ward` says what each verb does."""

    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, door: AsyncDoor, scope: Mapping) -> None:
        self._door = door
        self._peer: Peer = scope.get("client")
        self._headers: Fields = scope["headers"]
        self._started = monotonic()
        if door.plain is None:
            self._loop = _running_loop()

    async def login(
        self, user_id: UserID, *, since: str | None = None, methods: Sequence[str] = ("password",), persistent: bool = True
    ) -> str:
        """Start a session for the user: :meth:`Ward.login`."""
        asked = flow.login(self.visit(), user_id, since=since, methods=methods, persistent=persistent)
        return await self._door.driver(asked)

    async def begin_login(self, user_id: UserID) -> str:
        """A ticket for ``login(since=...)``: :meth:`Ward.begin_login`."""
        return await self._door.driver(flow.begin_login(self.visit(), user_id))

    async def logout(self) -> None:
        """End the caller's session and clear the cookie: :meth:`Ward.logout`."""
        await self._door.driver(flow.logout(self.visit()))

    async def revoke_others(self) -> int:
        """End the caller's other sessions: :meth:`Ward.revoke_others`."""
        return await self._door.driver(flow.revoke_others(self.visit()))

    async def revoke_all(self, user_id: UserID) -> int:
        """End all sessions of a user: :meth:`Ward.revoke_all`."""
        return await self._door.driver(flow.revoke_all(self.visit(), user_id))

    @property
    def blocking(self) -> Ward:
        """The same verbs for plain functions that run in another thread: FastAPI ``def``, Django's sync views.

        A verb called on the event loop's own thread raises ``UsageError``: it would wait for itself.
        """
        return _BlockingWard(self.visit, self._door, self._loop)

    def _policy(self) -> Policy:
        return self._door.policy

    def sender(self) -> Sender:
        """For the door: all that is kept of the request while the application works."""
        return Sender(self._peer[0] if self._peer else None, joined(self._headers, b"user-agent"))


class _BlockingWard(Ward):
    """The plain verbs over an async ward."""

    def __init__(self, visit_of: Callable[[], Visit], door: AsyncDoor, loop: asyncio.AbstractEventLoop | None) -> None:
        self._visit_of = visit_of
        self._async_door = door
        self._loop = loop

    @property
    def session(self) -> Session | None:
        return self._visit_of().session

    def visit(self, request: Request | None = None) -> Visit:  # noqa: ARG002 - the async ward has it
        return self._visit_of()

    def _run(self, asked: Flow[T]) -> T:
        if _running_loop() is not None:
            asked.close()
            raise UsageError("ward.blocking is for functions in another thread; on the event loop, await the verb of the ward itself")
        door = self._async_door
        if door.plain is not None:
            return door.plain(asked)
        if self._loop is None:
            asked.close()
            raise UsageError("ward.blocking over an async backend needs a server that runs on asyncio")
        return asyncio.run_coroutine_threadsafe(door.driver(asked), self._loop).result()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # a plain thread, or another kind of loop
        return None


# --- for the application ----------------------------------------------------------------------------------------------


class _HasScope(Protocol):
    @property
    def scope(self) -> Any: ...


class _HasEnviron(Protocol):
    @property
    def environ(self) -> Any: ...


@overload
def of(request: _HasScope) -> AsyncWard: ...
@overload
def of(request: _HasEnviron) -> Ward: ...
@overload
def of(request: AnyMapping[str, Any] | object) -> Any: ...
def of(request: Any) -> Any:
    """The ward of a request: of an ASGI scope, a WSGI environ, or any framework's request that carries one.

    Starlette, FastAPI, Litestar, Quart, Django under ASGI: an :class:`AsyncWard`. Flask, Django under WSGI, Pyramid,
    Bottle, Falcon, CherryPy: a :class:`Ward`. Of a bare scope or environ a type checker cannot know which; annotate it.
    As a FastAPI dependency, wrap it: ``def ward(request: Request) -> AsyncWard: return sessionward.of(request)``.
    Raises ``UsageError`` if no door stands around the application.
    """
    mappings = _mappings(request)
    if not mappings:
        raise UsageError(f"{type(request).__name__}: this carries neither an ASGI scope nor a WSGI environ")
    for mapping in mappings:
        for key in (ASGI_KEY, WSGI_KEY):
            ward = mapping.get(key)
            if isinstance(ward, (Ward, AsyncWard)):
                return ward
    raise UsageError(
        "no door of sessionward has attached anything to this request: put sessionward.ASGIMiddleware or WSGIMiddleware around the"
        " application (around all of it, so that it comes first); a backend that cannot sign users in attaches itself only to requests"
        " with a live session"
    )


def _mappings(request: Any) -> list[AnyMapping[str, Any]]:
    found = [request, *(getattr(request, name, None) for name in _CARRIED)]
    return [cast("AnyMapping[str, Any]", mapping) for mapping in found if isinstance(mapping, AnyMapping)]


_CARRIED: Final = ("scope", "environ", "env", "wsgi_environ")
