"""Answers the authorization sub-requests of a proxy that is already there.

=========================  =========================================================================
``/authz``                 passes with 204 where a live session is proven
``/authz/optional``        passes visitors as well, without an identity
``.../200``                the same with 200, for engines that take nothing else (Envoy)
=========================  =========================================================================

Below these an engine may append the path that it was asked for. No other status leaves than 204 (200), 401 and 503: what
is malformed, ambiguous or from a stranger is refused, and a proxy that is set up wrongly lets nobody in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from sessionward.drive import AsyncDriver
from sessionward.flow import current, on_request
from sessionward.modes.mode import Mode
from sessionward.request.request import ASGIRequest, Fields, Mapping, joined
from sessionward.response.answer import Problem, Response, refused
from sessionward.session.session import Session
from sessionward.session.step import Flow
from sessionward.sidecar.fields import identity
from sessionward.sidecar.peers import PEER, Peers
from sessionward.sidecar.problems import SidecarProblem
from sessionward.sidecar.proxy import Signs, answer
from sessionward.sidecar.record import RECORD

ROUTE: Final = "/authz"
OPTIONAL: Final = "optional"
EXACTLY_200: Final = "200"

log = logging.getLogger("sessionward")


class Rules:
    """How checks are answered. ``clock``: seconds since 1970, for assertions."""

    def __init__(self, mode: Mode[Any], peers: Peers, *, signer: Signs | None, clock: Callable[[], float]) -> None:
        self._mode = mode
        self._peers = peers
        self._signer = signer
        self._clock = clock

    def answer(self, scope: Mapping, words: tuple[str, ...]) -> Flow[Response]:
        """A check: passed only if the backend says that the caller has a live session, or visitors may pass."""
        request = ASGIRequest(scope)
        if PEER not in scope and scope.get("client") not in self._peers:
            client = scope.get("client")
            _warn(client[0] if client else "a unix socket")
            return _inactive(request)
        mode, headers = self._mode, scope["headers"]
        context = mode.context(request, [field for field in headers if field[0] in mode.names], float)
        answer = yield from on_request(mode, context)
        if isinstance(answer, Response):
            return answer if answer.status is HTTPStatus.SERVICE_UNAVAILABLE else _inactive(request)
        try:
            session = yield from current(mode, context)
        except Exception:  # the driver has logged it
            return refused(Problem.UNAVAILABLE, request, frozenset())
        if session is not None and RECORD in scope:
            scope[RECORD].session = session.id
        if session is None and OPTIONAL not in words:
            return _inactive(request)
        fields = headers if answer is None else [*(field for field in headers if field[0] not in mode.names), *answer]
        status = _OK if EXACTLY_200 in words else _NO_CONTENT
        return Response(status, self._fields(fields, session, status), b"")

    def _fields(self, fields: Fields, session: Session | None, status: HTTPStatus) -> list[tuple[bytes, bytes]]:
        """Who is calling, and the credentials as they may go on: always all of them, so that an engine can put them in place."""
        user, public = (b"", b"") if session is None else identity(session.user_id, session.id)
        stated = b"" if session is None or self._signer is None else self._signer.sign(session, self._clock())
        found = [
            (b"cache-control", b"no-store"),
            (b"x-session-user", user),
            (b"x-session-id", public),
            (b"x-session-assertion", stated),  # also an empty one: Caddy 2.6 would put a text of its own in its place
            (b"cookie", joined(fields, b"cookie") or b""),
            (b"authorization", joined(fields, b"authorization") or b""),
            (b"x-session-token", joined(fields, b"x-session-token") or b""),
        ]
        if status is _OK:
            found.append((b"content-length", b"0"))
        return found


_OK, _NO_CONTENT = HTTPStatus.OK, HTTPStatus.NO_CONTENT


def _inactive(request: ASGIRequest) -> Response:
    return refused(Problem.INACTIVE, request, frozenset(), (b"www-authenticate", b"Bearer"))


@lru_cache(maxsize=256)
def _warn(host: str) -> None:
    """Once for each host, so that nobody floods the log."""
    log.warning("checks from %s are refused, since it is not on the list of --trusted-proxy", host)


@lru_cache(maxsize=1024)
def words_of(path: str) -> tuple[str, ...] | None:
    """What stands behind ``/authz`` in the path of a check; None if it is no check."""
    if path != ROUTE and not path.startswith(ROUTE + "/"):
        return None
    parts = path[len(ROUTE) + 1 :].split("/")
    words = tuple(part for part in parts[:1] if part in (OPTIONAL, EXACTLY_200))
    return words + tuple(part for part in parts[1:2] if words == (OPTIONAL,) and part == EXACTLY_200)


class Checks:
    """Answers checks, and leaves everything else to the door: the endpoint is on the same port."""

    def __init__(self, door: ASGIApp, rules: Rules, driver: AsyncDriver) -> None:
        self._door = door
        self._rules = rules
        self._driver = driver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        words = words_of(scope["path"]) if scope["type"] == "http" else None
        if words is None:
            await self._door(scope, receive, send)
        else:
            if RECORD in scope:
                scope[RECORD].is_check = True
            await answer(await self._driver(self._rules.answer(scope, words)), scope, send)


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind the door of this service: there is none."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await answer(refused(SidecarProblem.NOT_FOUND, ASGIRequest(scope), frozenset()), scope, send)
