"""Finds the handle of a request: ``sessionward.of(request)``."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import Any, Final, Protocol, cast, overload

from sessionward.door.parts import ASGI_KEY, WSGI_KEY, AsyncDoor, Door
from sessionward.errors import UsageError
from sessionward.handle.sessions import AsyncSessions, Sessions
from sessionward.request.request import Mapping


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
    """Returns the handle of a request. ``request``: an ASGI scope, a WSGI environ, or any framework's request that has one.

    It is an :class:`AsyncSessions` for Starlette, FastAPI, Litestar, Quart and Django under ASGI, and a :class:`Sessions` for
    Flask, Django under WSGI, Pyramid, Bottle, Falcon, CherryPy, and for a WSGI application that a2wsgi mounts in an ASGI one.
    For a bare scope or environ a type checker cannot know the class, so annotate the variable. For a FastAPI dependency,
    wrap it: ``def sessions(request: Request) -> AsyncSessions: return sessionward.of(request)``.

    Raises ``UsageError`` if the request did not pass through our middleware.
    """
    carried = [request, *(getattr(request, name, None) for name in _CARRIED)]
    mappings = [cast("AnyMapping[str, Any]", mapping) for mapping in carried if isinstance(mapping, AnyMapping)]
    if not mappings:
        raise UsageError(f"{type(request).__name__}: it carries neither an ASGI scope nor a WSGI environ; pass the request")
    # A bridge that mounts an application of the other kind passes on the scope or environ that it got.
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
    """Makes the handle of a request that the middleware has passed on unchanged."""
    made = Sessions(door, mapping) if isinstance(door, Door) else AsyncSessions(door, mapping)
    mapping[key] = made
    return made


_CARRIED: Final = ("scope", "environ", "env", "wsgi_environ")
