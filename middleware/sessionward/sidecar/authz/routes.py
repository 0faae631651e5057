"""Reads what a check asks: which route it took, and what the client asked of the engine.

==================================  ====================  ===================================================================
Route                               Passes with           Reads the method and the URI of the client from
==================================  ====================  ===================================================================
``/authz``                          204                   nothing: no path is exempt, and nothing is a preflight
``/authz/200``, ``/authz/200/...``  200                   nothing
``/authz/nginx``                    204                   ``X-Original-Method`` and ``X-Original-URI``
``/authz/haproxy``                  204                   ``X-Original-Method`` and ``X-Original-URI``
``/authz/forward``                  204                   ``X-Forwarded-Method`` and ``X-Forwarded-Uri`` (Caddy, Traefik)
``/authz/envoy/...``                200                   the request line: Envoy appends the path of the client to this one
==================================  ====================  ===================================================================

``/authz/optional`` in place of ``/authz`` passes an anonymous user too. The fixed part of a route decides; a path that an engine
appends never continues it. Any other path below ``/authz/`` is refused, so no engine works that appends its path to ``/authz``:
a client of such an engine could choose the route.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from sessionward.request.request import Fields, Request

ROOT: Final = b"/authz"
OPTIONAL: Final = b"/optional"


class CheckRequest(Request, Protocol):
    """The parts of a check that its rules read, and the public id of the live session that they find."""

    session: UUID | None

    @property
    def method(self) -> bytes: ...

    @property
    def target(self) -> bytes:
        """The request target in origin form, byte for byte."""
        ...

    @property
    def path(self) -> bytes:
        """The target before its query."""
        ...

    @property
    def fields(self) -> Fields: ...

    @property
    def is_trusted(self) -> bool:
        """Whether the peer is on the list of ``--trusted-proxy``."""
        ...


class Source(enum.Enum):
    """Where an engine puts the method and the URI of the client."""

    NOWHERE = enum.auto()
    ORIGINAL = enum.auto()
    FORWARDED = enum.auto()
    REQUEST_LINE = enum.auto()


class Redirect(enum.Enum):
    """How an engine gets the URL of a sign-in page."""

    STATUS = enum.auto()
    """It hands our 302 to the client."""
    FIELD = enum.auto()
    """It accepts 401 alone, and makes a 302 of its ``Location`` field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route of a check. ``fixed``: its path, without what an engine appends."""

    fixed: bytes
    status: HTTPStatus
    is_optional: bool
    source: Source
    redirect: Redirect


class Asked(NamedTuple):
    """What the client asked of the engine: its method, and its path with the query."""

    method: bytes
    target: bytes

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]


def route_of(path: bytes) -> Route | None:
    """Returns the route of a check, :data:`UNKNOWN` for a path below ``/authz/`` that is none, or None for any other path."""
    exact = _EXACT.get(path)
    if exact is not None:
        return exact
    if not path.startswith(ROOT + b"/"):
        return None
    return next((route for start, route in _CONTINUED.items() if path.startswith(start)), UNKNOWN)


def asked_of(request: CheckRequest, route: Route) -> Asked | None:
    """Returns what the client asked, from the one place that the engine of this route sets, or None where it sets none."""
    if route.source is Source.REQUEST_LINE:
        return Asked(request.method, request.target[len(route.fixed) :])
    names = _FIELDS.get(route.source)
    if names is None:
        return None
    method, target = (_only(request.fields, name) for name in names)
    return Asked(method, target) if method and target else None


_FIELDS: Final[Mapping[Source, tuple[bytes, bytes]]] = {
    Source.ORIGINAL: (b"x-original-method", b"x-original-uri"),
    Source.FORWARDED: (b"x-forwarded-method", b"x-forwarded-uri"),
}


def _only(fields: Fields, name: bytes) -> bytes | None:
    """Returns the value of a field that occurs once, or None."""
    values = [value for key, value in fields if key == name]
    return values[0] if len(values) == 1 else None


# --- the table --------------------------------------------------------------------------------------------------------

_OK, _NO_CONTENT = HTTPStatus.OK, HTTPStatus.NO_CONTENT
_KINDS: Final = (
    (b"", _NO_CONTENT, Source.NOWHERE, Redirect.FIELD),
    (b"/200", _OK, Source.NOWHERE, Redirect.FIELD),
    (b"/nginx", _NO_CONTENT, Source.ORIGINAL, Redirect.FIELD),
    (b"/haproxy", _NO_CONTENT, Source.ORIGINAL, Redirect.FIELD),
    (b"/forward", _NO_CONTENT, Source.FORWARDED, Redirect.STATUS),
    (b"/envoy", _OK, Source.REQUEST_LINE, Redirect.STATUS),
)


def _routes() -> Iterator[tuple[bytes, Route]]:
    for prefix, is_optional in ((ROOT, False), (ROOT + OPTIONAL, True)):
        for name, status, source, redirect in _KINDS:
            fixed = prefix + name
            yield name, Route(fixed=fixed, status=status, is_optional=is_optional, source=source, redirect=redirect)


_EXACT: Final = {route.fixed: route for name, route in _routes() if name != b"/envoy"}
_CONTINUED: Final = {route.fixed + b"/": route for name, route in _routes() if name in (b"/200", b"/envoy")}
UNKNOWN: Final = Route(fixed=b"", status=HTTPStatus.UNAUTHORIZED, is_optional=False, source=Source.NOWHERE, redirect=Redirect.FIELD)
"""A path below ``/authz/`` that is no route: it lets nothing pass."""
