"""What a door and the object that the application holds share of one request."""

# What belongs to the doors is private on the object that users hold, so that their editor does not offer it.
# pyright: reportPrivateUsage=false

from __future__ import annotations

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
"""PEP 3333: an environ key of ours that holds more than text has a dot in it."""


@dataclass(frozen=True, slots=True)
class Door:
    """What a handle needs of the WSGI middleware that made it."""

    mode: Mode[Any]
    driver: SyncDriver


@dataclass(frozen=True, slots=True)
class AsyncDoor:
    """What a handle needs of the ASGI middleware that made it. ``sync``: for blocking verbs; None over an async backend."""

    mode: Mode[Any]
    driver: AsyncDriver
    sync: SyncDriver | None


class Handle:
    """What a handle knows before anyone asks it for something: next to nothing, since most requests never do.

    No slots: what most requests leave as it is costs nothing as an attribute of the class.
    """

    _head_is_out: bool = False
    """Too late for a cookie."""
    _context: Context | None = None
    _started: float
    _door: Any

    def __repr__(self) -> str:
        session = None if self._context is None else self._context.session
        return f"<{type(self).__name__.strip('_')}: {session!r}>"

    def _mode(self) -> Mode[Any]:
        raise NotImplementedError

    def _found(self) -> Fields:
        """The fields of the request that credentials travel in, as far as anybody may need them later."""
        raise NotImplementedError

    def _sender(self) -> Sender:
        """All that is kept of the request while the application works."""
        raise NotImplementedError


def context_of(handle: Handle, request: Request | None = None, found: Fields | None = None) -> Context:
    """The context of this request, made now if nobody has needed it yet."""
    context = handle._context
    if context is None:
        seen = handle._found() if found is None else found
        made: Context = handle._door.mode.context(request or handle._sender(), seen, partial(_since, handle._started), time)
        made.head_is_out = handle._head_is_out
        handle._context = context = made
    return context


def head_goes_out(handle: Handle) -> Context | None:
    """From now on it is too late for a cookie. Returns the context, if anyone has needed it."""
    handle._head_is_out = True
    context = handle._context
    if context is not None:
        context.head_is_out = True
    return context


def began(handle: Handle, moment: float) -> None:
    """The request had reached the server at this moment of the monotonic clock already (P3 a)."""
    handle._started = min(handle._started, moment)
    if handle._context is not None:
        handle._context.age = partial(_since, handle._started)


@lru_cache(maxsize=256)
def warn(message: str) -> None:
    """Tells the operator once in each process; again only after so many other warnings."""
    log.warning(message)


def _since(started: float) -> float:
    return monotonic() - started


def passed_on(middleware: Any, name: str) -> Any:
    """An attribute of the wrapped application, for code that looks for it at the place where the middleware stands now.

    Raises ``AttributeError`` in the application's own words, and for names that begin with ``__``: those are asked of the
    middleware's class.
    """
    if name.startswith("__") or name == "app":  # `app` itself is missing while a copy is being made
        raise AttributeError(f"{type(middleware).__name__!r} object has no attribute {name!r}")
    return getattr(middleware.app, name)
