"""The parts that a middleware and the handle of a request share."""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from time import monotonic, time
from typing import Any, Final, TypeAlias

from sessionward.api.routes import Routes
from sessionward.context import Context
from sessionward.credential.token import Credential
from sessionward.deadline import Asked, Now, checking_now
from sessionward.drive import AsyncDriver, SyncDriver, async_driver
from sessionward.lease import NoLeases
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, Request, Sender
from sessionward.session.session import Checked, Session

log = logging.getLogger("sessionward")

ASGI_KEY: Final = "sessionward"
WSGI_KEY: Final = "sessionward.sessions"
"""PEP 3333: a key for a value that is not a ``str`` must contain a dot."""


@dataclass(frozen=True, slots=True)
class Door:
    """The parts of a WSGI middleware that its handles need."""

    mode: Mode[Any]
    driver: SyncDriver


@dataclass(frozen=True, slots=True)
class AsyncDoor:
    """The parts of an ASGI middleware that its handles need. ``sync``: for blocking verbs; None over an async backend."""

    mode: Mode[Any]
    driver: AsyncDriver
    sync: SyncDriver | None


def door_of(mode: Mode[Any], backend: Any) -> AsyncDoor:
    """Returns the drivers for a mode and its backend."""
    timeout, capabilities = mode.settings.backend_timeout, mode.capabilities
    driver = async_driver(backend, timeout, is_async=mode.is_async, blocks=mode.blocks)
    return AsyncDoor(mode, driver, None if capabilities.is_async else SyncDriver(backend, timeout, blocks=mode.blocks))


class Handle:
    """The base class of the handles. It makes the context only when it is needed, since most requests never need it.

    It has no slots: a default on the class costs nothing for each request.
    """

    _head_is_out: bool = False
    """Whether the response head has been sent, so that we cannot set a cookie any more."""
    _context: Context | None = None
    _session: Session | None = None
    """The live session of a request that was recalled, and ``_credential`` what proves it. A context takes them over."""
    _credential: Credential | None = None
    _started: float
    _door: Any

    def __repr__(self) -> str:
        session = self._session if self._context is None else self._context.session
        return f"<{type(self).__name__.strip('_')}: {session!r}>"

    def _recalled(self) -> Session | None:
        """Returns the session of a request that was recalled, until a context takes it over."""
        return self._session if self._context is None else None

    def _mode(self) -> Mode[Any]:
        raise NotImplementedError

    def _found(self) -> Fields:
        """Returns the fields of the request that can carry credentials."""
        raise NotImplementedError

    def _sender(self) -> Sender:
        """Returns what we keep of the request while the application works."""
        raise NotImplementedError


def context_of(handle: Handle, request: Request | None = None, found: Fields | None = None) -> Context:
    """Returns the context of this request, and makes it at the first call."""
    context = handle._context
    if context is None:
        seen = handle._found() if found is None else found
        made: Context = handle._door.mode.context(request or handle._sender(), seen, partial(_since, handle._started), time)
        made.head_is_out, made.session, made.credential = handle._head_is_out, handle._session, handle._credential
        handle._context = context = made
    return context


def credential_of(handle: Handle) -> Credential | None:
    """Returns what proves the session of this request now."""
    return handle._credential if handle._context is None else handle._context.credential


def routes_of(mode: Mode[Any]) -> Routes:
    """Returns our routes. Logs what the operator should know about them."""
    routes = Routes(mode.settings)
    if routes.warning is not None:
        warn(routes.warning)
    return routes


# --- the short way ----------------------------------------------------------------------------------------------------

Recalled: TypeAlias = tuple[Session, Credential] | Asked | None
"""A live session and the credential that proves it, or what the backend has said otherwise, or None if it was not asked."""
Recall: TypeAlias = Callable[[bytes], Recalled]
"""Decides about a request by the one Cookie field that has our cookie. It builds no flow and calls no driver: they cost
more than all the rest of such a request. It finds what they would find, and if that is no live
session, it leaves the decision to them."""
AsyncRecall: TypeAlias = Callable[[bytes], Awaitable[Recalled]]
Prove: TypeAlias = Callable[[bytes], Credential | None]


def recalling(mode: Mode[Any], backend: Any, *, may_wait: bool = False) -> Recall | None:
    """Returns the short way of a mode, or None if it has none.

    ``backend``: with the timeout of the middleware. ``may_wait``: whether the request has a thread of its own, as under WSGI. Then
    the backend is asked here even if it waits.
    """
    prove = mode.recall
    if prove is None:
        return None
    if not mode.capabilities.supports_leases:
        return None if (mode.is_async or mode.blocks) and not may_wait else _finding(prove, backend.find)
    if mode.settings.lease:
        return _within_lease(prove, mode.leases)
    now, later = checking_now(backend), backend.check if may_wait else None
    check = later if now is None else _now_or_later(now, later)
    return None if check is None else _checking(prove, mode.leases, check)


def recalling_async(mode: Mode[Any], backend: Any) -> AsyncRecall | None:
    """Returns the short way to an async backend that keeps the timeout itself, or None if the mode has none."""
    if mode.recall is None or mode.settings.lease or not mode.is_async or not mode.capabilities.supports_leases:
        return None
    if not hasattr(backend, "within") or checking_now(backend) is not None:
        return None
    return _awaiting(mode.recall, mode.leases, backend.check)


def _within_lease(prove: Prove, leases: NoLeases) -> Recall:
    """Returns a way that asks nothing, and knows what this worker may trust."""
    trusted = leases.recall

    def recall(cookie: bytes) -> Recalled:
        credential = prove(cookie)
        if credential is not None:
            session = trusted(credential.digest)
            if session is not None:
                return session, credential
        return None

    return recall


def _finding(prove: Prove, find: Callable[[Credential], Session | None]) -> Recall:
    """Returns a way that asks a backend without leases."""

    def recall(cookie: bytes) -> Recalled:
        credential = prove(cookie)
        if credential is None:
            return None
        began = monotonic()
        try:
            session = find(credential)
        except Exception as failure:
            return Asked(credential, began, None, failure)
        return Asked(credential, began, None) if session is None else (session, credential)

    return recall


def _checking(prove: Prove, leases: NoLeases, check: Callable[[Credential], Checked | None]) -> Recall:
    """Returns a way that asks a backend with leases, unless this worker knows that the session has ended."""
    has_ended = leases.has_ended

    def recall(cookie: bytes) -> Recalled:
        credential = prove(cookie)
        if credential is None or has_ended(credential.digest):
            return None
        began = monotonic()
        try:
            checked = check(credential)
        except Exception as failure:
            return Asked(credential, began, None, failure)
        if checked is None:
            return None
        return Asked(credential, began, checked) if checked.session is None else (checked.session, credential)

    return recall


def _awaiting(prove: Prove, leases: NoLeases, check: Callable[[Credential], Awaitable[Checked]]) -> AsyncRecall:
    """Returns what :func:`_checking` returns, for an async backend."""
    has_ended = leases.has_ended

    async def recall(cookie: bytes) -> Recalled:
        credential = prove(cookie)
        if credential is None or has_ended(credential.digest):
            return None
        began = monotonic()
        try:
            checked = await check(credential)
        except Exception as failure:
            return Asked(credential, began, None, failure)
        return Asked(credential, began, checked) if checked.session is None else (checked.session, credential)

    return recall


def _now_or_later(now: Now, later: Callable[[Credential], Checked] | None) -> Now:
    """Returns what checks without waiting, and then asks in the ordinary way, if there is a thread for it."""

    def checked(credential: Credential) -> Checked | None:
        try:
            at_once = now(credential)
        except Exception:  # whatever it is, the ordinary way meets it again and reports it
            at_once = None
        return at_once if at_once is not None or later is None else later(credential)

    return checked


# --- the response head ------------------------------------------------------------------------------------------------


def head_goes_out(handle: Handle, head: Fields) -> Context | None:
    """Records that the response head is sent, so that we cannot set a cookie any more. Returns the context if the head needs a look."""
    handle._head_is_out = True
    context, mode = handle._context, handle._door.mode
    if context is None:
        if handle._session is None or not mode.touches_recalled(head):
            return None
        context = context_of(handle)
    context.head_is_out = True
    return context if mode.touches(context, head) else None


def began(handle: Handle, moment: float) -> None:
    """Records that the server received the request as early as this moment of the monotonic clock (P3 a)."""
    handle._started = min(handle._started, moment)
    if handle._context is not None:
        handle._context.age = partial(_since, handle._started)


@lru_cache(maxsize=256)
def warn(message: str) -> None:
    """Logs a warning once in each process, and again only after 256 other warnings."""
    log.warning(message)


def tell(context: Context) -> None:
    """Logs what the operator should know about a request."""
    if context.warning is not None:
        warn(context.warning)
    if context.refusal is not None:
        log.warning("%s", context.refusal)
        context.refusal = None


def _since(started: float) -> float:
    return monotonic() - started


def passed_on(middleware: Any, name: str) -> Any:
    """Returns an attribute of the wrapped application, for code that expects the application where the middleware is now.

    Raises ``AttributeError`` as the application does, and for names that begin with ``__``.
    """
    if name.startswith("__") or name == "app":  # `app` itself is missing while a copy is being made
        raise AttributeError(f"{type(middleware).__name__!r} object has no attribute {name!r}")
    return getattr(middleware.app, name)


def takes(app: Any, count: int) -> bool:
    """Returns whether an application can be called with so many arguments, as far as it says so."""
    try:
        inspect.signature(app).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a built-in function without a signature
        return True
    return True
