"""The parts that a middleware and the handle of a request share."""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from functools import lru_cache, partial
from time import monotonic, time
from typing import Any, Final

from sessionward.context import Context
from sessionward.drive import AsyncDriver, SyncDriver
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, Request, Sender

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


class Handle:
    """The base class of the handles. It makes the context only when it is needed, since most requests never need it.

    It has no slots: a default on the class costs nothing for each request.
    """

    _head_is_out: bool = False
    """Whether the response head has been sent, so that we cannot set a cookie any more."""
    _context: Context | None = None
    _started: float
    _door: Any

    def __repr__(self) -> str:
        session = None if self._context is None else self._context.session
        return f"<{type(self).__name__.strip('_')}: {session!r}>"

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
        made.head_is_out = handle._head_is_out
        handle._context = context = made
    return context


def head_goes_out(handle: Handle) -> Context | None:
    """Records that the response head is sent, so that we cannot set a cookie any more. Returns the context, if there is one."""
    handle._head_is_out = True
    context = handle._context
    if context is not None:
        context.head_is_out = True
    return context


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
