"""The parts of a middleware: its keys, its drivers, its routes, and what it does for the application behind it."""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sessionward.api.routes import Routes
from sessionward.drive import AsyncDriver, SyncDriver, async_driver
from sessionward.modes.mode import Mode

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


def routes_of(mode: Mode[Any]) -> Routes:
    """Returns our routes. Logs what the operator should know about them."""
    routes = Routes(mode.settings)
    if routes.warning is not None:
        warn(routes.warning)
    return routes


@lru_cache(maxsize=256)
def warn(message: str) -> None:
    """Logs a warning once in each process, and again only after 256 other warnings."""
    log.warning(message)


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
