"""Decides the answer to a check: it passes where a live session is proven, and names the user to the application.

No status leaves but 204 or 200, 401, 503, and 302 to a sign-in page on the routes whose engine hands it on. A check that is
malformed, ambiguous or from a stranger is refused, so that an engine that is set up wrongly lets no request pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, Protocol

from sessionward.flow import current, on_request
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields
from sessionward.response.answer import Problem, Response
from sessionward.seen.notes import Seen
from sessionward.session.session import Session
from sessionward.session.step import Flow
from sessionward.sidecar.authz.expiry import FIELD, NEVER, expires, with_expiry
from sessionward.sidecar.authz.routes import UNKNOWN, Asked, CheckRequest, Redirect, Route, asked_of
from sessionward.sidecar.authz.settings import AuthzSettings
from sessionward.sidecar.errors import refusal_of
from sessionward.sidecar.upstream.headers import identity

log = logging.getLogger("sessionward")


class Signs(Protocol):
    """Signs who is calling (:class:`sessionward.session.assertion.Signer`)."""

    def sign(self, session: Session, now: float, /) -> bytes: ...


class Rules:
    """The rules by which checks are answered. ``clock``: returns seconds since 1970, for assertions and for caches.

    ``seen``: notes the sessions that are used, as a check is a request to the application.

    ``mode`` is made without ``exempt_paths``: the path of a check is not the path that the client asked for.
    """

    def __init__(
        self, mode: Mode[Any], settings: AuthzSettings, *, signer: Signs | None, clock: Callable[[], float], seen: Seen | None = None
    ) -> None:
        self._mode = mode
        self._settings = settings
        self._reads_target = settings.reads_target
        self._signer = signer
        self._clock = clock
        self._seen = seen
        self._has_lease = mode.settings.lease > 0
        self._may_be_kept = self._has_lease and not mode.asks_application

    def answer(self, request: CheckRequest, route: Route) -> Flow[Response]:
        """Returns the answer to one check, and notes the live session in ``request.session``. With a lease, it says when it expires.

        With an identifier it has expired at once: the application's login can end, or change its user, before the lease does.
        """
        answer = yield from self._decided(request, route)
        return with_expiry(answer, NEVER) if self._has_lease and answer.headers[0][0] != FIELD else answer

    def _decided(self, request: CheckRequest, route: Route) -> Flow[Response]:
        if not request.is_trusted:
            _warn_of_stranger(request.client())
            return _refusal(request)
        if route is UNKNOWN:
            _warn_of_path()
            return _refusal(request)
        mode, settings = self._mode, self._settings
        asked = asked_of(request, route) if self._reads_target else None
        if asked is not None and settings.is_preflight(asked, request):
            return self._passed((), None, route)  # a browser sends no credential with a preflight
        names = mode.names
        context = mode.context(request, [field for field in request.fields if field[0] in names], float)
        if asked is not None and settings.is_exempt(asked):
            kept = mode.exempt(context)
            return self._passed(self._onward(request, kept), None, route)
        answer = yield from on_request(mode, context)
        if isinstance(answer, Response):
            is_down = answer.status is HTTPStatus.SERVICE_UNAVAILABLE
            return answer if is_down else self._inactive(request, route, asked)
        try:
            session = yield from current(mode, context)
        except Exception:  # the driver has logged it
            return refusal_of(Problem.UNAVAILABLE, request)
        if session is None and not route.is_optional:
            return self._inactive(request, route, asked)
        request.session = None if session is None else session.id
        if self._seen is not None:
            self._seen.note_in(context, monotonic())
        passed = self._passed(self._onward(request, answer), session, route)
        if session is None or not self._may_be_kept:
            return passed
        return with_expiry(passed, expires(mode.leases, context.credential, self._clock()))

    def _onward(self, request: CheckRequest, kept: Fields | None) -> Fields:
        """Returns the fields of a request with those that the mode keeps of its credentials. ``None``: it keeps all."""
        names = self._mode.names
        return request.fields if kept is None else [*(field for field in request.fields if field[0] not in names), *kept]

    def _passed(self, fields: Fields, session: Session | None, route: Route) -> Response:
        """Returns the answer that lets a request pass. It has every field, so that an engine replaces each one of the client."""
        user, public = (b"", b"") if session is None else identity(session)
        stated = b"" if session is None or self._signer is None else self._signer.sign(session, self._clock())
        cookie, authorization, token = _carriers(fields)
        headers = [
            _NO_STORE,
            (b"x-session-user", user),
            (b"x-session-id", public),
            (b"x-session-assertion", stated),
            (b"cookie", cookie),
            (b"authorization", authorization),
            (b"x-session-token", token),
        ]
        if route.status is _OK:
            headers.append((b"content-length", b"0"))
        return Response(route.status, headers, b"")

    def _inactive(self, request: CheckRequest, route: Route, asked: Asked | None) -> Response:
        """Returns the 401, or what sends a browser to the sign-in page."""
        location = None if asked is None else self._settings.sign_in(asked, request)
        if location is None:
            return _refusal(request)
        if route.redirect is Redirect.FIELD:
            return _refusal(request, (b"location", location))
        headers = [(b"location", location), _NO_STORE, (b"content-length", b"0")]
        return Response(HTTPStatus.FOUND, headers, b"")


_OK: Final = HTTPStatus.OK
"""Looking up a member of an enum costs 0.2 us here, and each check needs this one."""
_NO_STORE: Final = (b"cache-control", b"no-store")


def _carriers(fields: Fields) -> tuple[bytes, bytes, bytes]:
    """Returns Cookie, Authorization and X-Session-Token, each joined, and empty where there is none, in one pass."""
    cookie = authorization = token = b""
    for name, value in fields:
        if name == b"cookie":
            cookie = value if not cookie else cookie + b"; " + value
        elif name == b"authorization":
            authorization = value if not authorization else authorization + b"," + value
        elif name == b"x-session-token":
            token = value if not token else token + b"," + value
    return cookie, authorization, token


def _refusal(request: CheckRequest, *extra: tuple[bytes, bytes]) -> Response:
    return refusal_of(Problem.INACTIVE, request, (b"www-authenticate", b"Bearer"), *extra)


_STRANGER: Final = "checks from %s are refused, since it is not on the list of --trusted-proxy"
_PATH: Final = (
    "a check is refused, since its path is no route of sessionward authz: use the path that `sessionward snippet` prints for your"
    " proxy. A proxy that appends the path of the client, such as Envoy, needs /authz/envoy"
)


@lru_cache(maxsize=256)
def _warn_of_stranger(host: str | None) -> None:
    """Warns once of each host, so that a stranger cannot flood the log."""
    log.warning(_STRANGER, host or "a unix socket")


@lru_cache(maxsize=1)
def _warn_of_path() -> None:
    """Warns once: the path is the client's, and it can choose any number of them."""
    log.warning(_PATH)
