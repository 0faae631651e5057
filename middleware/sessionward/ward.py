"""What the application holds: ``sessionward.of(request)``.

Under ASGI the verbs are awaited, and plain functions that run in another thread use ``ward.blocking``. Under WSGI they
are plain. All of them carry on the same flows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final, Protocol, TypeAlias, TypeVar, overload
from uuid import UUID

from sessionward import flow
from sessionward.drive import AsyncDriver, PlainDriver, finish, finish_async
from sessionward.errors import UsageError
from sessionward.request import ASGIRequest, Mapping, Request, WSGIRequest
from sessionward.session import Session
from sessionward.step import Flow
from sessionward.visit import Policy, Visit

T = TypeVar("T")

UserID: TypeAlias = str | int | UUID
"""A user's id; an ``int`` or ``UUID`` is kept as its text."""

ASGI_KEY: Final = "sessionward"
WSGI_KEY: Final = "sessionward.ward"
"""PEP 3333: an environ key of ours that holds more than text has a dot in it."""


class _Held:
    """What a ward knows before anyone asks it for something: next to nothing, since most requests never do."""

    __slots__ = ("_mapping", "_out", "_policy", "_started", "_visit")

    def __init__(self, policy: Policy, mapping: Mapping) -> None:
        self._policy = policy
        self._mapping = mapping
        self._started = monotonic()
        self._visit: Visit | None = None
        self._out = False

    @property
    def session(self) -> Session | None:
        """The live session of the caller; changes at once with ``login()``, ``logout()`` and ``end_all()``."""
        return None if self._visit is None else self._visit.session

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.session!r}>"

    def _age(self) -> float:
        return monotonic() - self._started

    def _request(self) -> Request:
        return WSGIRequest(self._mapping)

    def _begun(self) -> Visit:
        if self._visit is None:
            self._visit = Visit(self._policy, self._request(), self._age)
            self._visit.head_is_out = self._out
        return self._visit


class Ward(_Held):
    """The session of a WSGI request and what may be done with it.

    Every verb raises ``BackendUnavailable`` if the backend cannot answer, and ``UsageError`` if this backend cannot do
    it at all or if it is too late for a cookie.
    """

    __slots__ = ("_driver",)

    def __init__(self, policy: Policy, mapping: Mapping, driver: PlainDriver) -> None:
        super().__init__(policy, mapping)
        self._driver = driver

    def login(
        self, user_id: UserID, *, since: str | None = None, methods: Sequence[str] = ("password",), persistent: bool = True
    ) -> str:
        """Start a session for the user, set its cookie, and end the session that this browser had.

        Returns the token, for clients that are not browsers. Call it after the credentials have been checked.
        ``since``: the ticket of :meth:`begin`, for sign-ins over several requests. ``persistent=False``: the cookie
        goes when the browser closes. Raises ``StaleLogin`` if the user's sessions were ended after this sign-in began.
        """
        return self._carry(flow.login(self._begun(), user_id, since=since, methods=methods, persistent=persistent))

    def begin(self, user_id: UserID) -> str:
        """A ticket for ``login(since=...)``: take it before the password is checked. Writes nothing."""
        return self._carry(flow.begin(self._begun(), user_id))

    def logout(self) -> None:
        """End the caller's session and clear the cookie. Idempotent."""
        self._carry(flow.logout(self._begun()))

    def end_others(self) -> int:
        """End the caller's other sessions, as the endpoint does; how many were live.

        Raises ``NotSignedIn`` without a session, ``SessionEnded`` if the caller's own was ended at this moment.
        To change a password: store the new one, commit, then call this.
        """
        return self._carry(flow.end_my_others(self._begun()))

    def end_all(self, user_id: UserID) -> int:
        """End all sessions of a user, the caller's included; how many were live."""
        return self._carry(flow.end_all(self._begun(), user_id))

    def _carry(self, asked: Flow[T]) -> T:
        return finish(self._driver, asked)


class AsyncWard(_Held):
    """The session of an ASGI request and what may be done with it; :class:`Ward` says what each verb does."""

    __slots__ = ("_driver", "_loop", "_plain")

    def __init__(self, policy: Policy, mapping: Mapping, driver: AsyncDriver, plain: PlainDriver | None) -> None:
        super().__init__(policy, mapping)
        self._driver = driver
        self._plain = plain
        self._loop = asyncio.get_running_loop() if plain is None else None

    async def login(
        self, user_id: UserID, *, since: str | None = None, methods: Sequence[str] = ("password",), persistent: bool = True
    ) -> str:
        """Start a session for the user: :meth:`Ward.login`."""
        asked = flow.login(self._begun(), user_id, since=since, methods=methods, persistent=persistent)
        return await finish_async(self._driver, asked)

    async def begin(self, user_id: UserID) -> str:
        """A ticket for ``login(since=...)``: :meth:`Ward.begin`."""
        return await finish_async(self._driver, flow.begin(self._begun(), user_id))

    async def logout(self) -> None:
        """End the caller's session and clear the cookie: :meth:`Ward.logout`."""
        await finish_async(self._driver, flow.logout(self._begun()))

    async def end_others(self) -> int:
        """End the caller's other sessions: :meth:`Ward.end_others`."""
        return await finish_async(self._driver, flow.end_my_others(self._begun()))

    async def end_all(self, user_id: UserID) -> int:
        """End all sessions of a user: :meth:`Ward.end_all`."""
        return await finish_async(self._driver, flow.end_all(self._begun(), user_id))

    @property
    def blocking(self) -> Ward:
        """The same verbs for plain functions that run in another thread: FastAPI ``def``, Django's sync views.

        A verb called on the event loop's own thread raises ``UsageError``: it would wait for itself.
        """
        return _BlockingWard(self)

    def _request(self) -> Request:
        return ASGIRequest(self._mapping)


class _BlockingWard(Ward):
    """The plain verbs over an async ward."""

    __slots__ = ("_ward",)

    def __init__(self, ward: AsyncWard) -> None:
        self._ward = ward

    @property
    def session(self) -> Session | None:
        return self._ward.session

    def _begun(self) -> Visit:
        return self._ward._begun()

    def _carry(self, asked: Flow[T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            asked.close()
            raise UsageError("ward.blocking is for functions in another thread; here, on the event loop, await the verb of the ward itself")
        ward = self._ward
        if ward._plain is not None:
            return finish(ward._plain, asked)
        assert ward._loop is not None
        return asyncio.run_coroutine_threadsafe(finish_async(ward._driver, asked), ward._loop).result()


# --- for the doors ----------------------------------------------------------------------------------------------------


def begun(ward: _Held) -> Visit:
    """The visit of this request, made now if nobody has needed it yet."""
    return ward._begun()


def head_goes_out(ward: _Held) -> Visit | None:
    """From now on it is too late for a cookie; the visit, if anyone has needed it."""
    ward._out = True
    visit = ward._visit
    if visit is not None:
        visit.head_is_out = True
    return visit


def is_head_out(ward: _Held) -> bool:
    """Whether the application has given the head of its response."""
    return ward._out


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
    Bottle, Falcon, CherryPy: a :class:`Ward`. Raises ``UsageError`` if no door stands around the application.
    """
    candidates = [request] if isinstance(request, AnyMapping) else [getattr(request, name, None) for name in _CARRIED]
    for mapping in candidates:
        if isinstance(mapping, AnyMapping):
            for key in (ASGI_KEY, WSGI_KEY):
                ward = mapping.get(key)
                if isinstance(ward, (Ward, AsyncWard)):
                    return ward
    if not any(isinstance(mapping, AnyMapping) for mapping in candidates):
        raise UsageError(f"a {type(request).__name__} carries neither an ASGI scope nor a WSGI environ")
    raise UsageError(
        "no door of sessionward has attached anything to this request: put sessionward.ASGIMiddleware or WSGIMiddleware around the"
        " application (around all of it, so that it comes first); a backend that cannot sign users in attaches itself only to requests"
        " with a live session"
    )


_CARRIED: Final = ("scope", "environ", "env", "wsgi_environ")
