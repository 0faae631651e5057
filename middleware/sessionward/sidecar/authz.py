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
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sessionward.request import ASGIRequest, joined
from sessionward.response import Problem, Response, refused
from sessionward.session import Session
from sessionward.sidecar.peers import PEER
from sessionward.sidecar.problems import SidecarProblem
from sessionward.sidecar.proxy import Signs
from sessionward.ward import ASGI_KEY, AsyncWard

ROUTE: Final = "/authz"
OPTIONAL: Final = "optional"
EXACTLY_200: Final = "200"
_PASSING: Final = frozenset({200, 204, 401, 503})

log = logging.getLogger("sessionward")


class Authorization:
    """The application inside of the door: by then the credential has been judged, and taken out if it is dead."""

    def __init__(self, *, signer: Signs | None, clock: Callable[[], float]) -> None:
        self._signer = signer
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        words = _words(scope)
        if words is None:
            await _answer(refused(SidecarProblem.NOT_FOUND, ASGIRequest(scope), frozenset()), send)
            return
        ward: AsyncWard | None = scope.get(ASGI_KEY)
        session = None if ward is None else ward.session
        if session is None and OPTIONAL not in words:
            await _answer(refused(Problem.INACTIVE, ASGIRequest(scope), frozenset(), (b"www-authenticate", b"Bearer")), send)
            return
        status = 200 if EXACTLY_200 in words else 204
        fields = self._fields(scope, session)
        if status == 200:
            fields.append((b"content-length", b"0"))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b""})

    def _fields(self, scope: Scope, session: Session | None) -> list[tuple[bytes, bytes]]:
        """Who is calling, and the credentials as they may go on: always all of them, so that an engine can put them in place."""
        fields = scope["headers"]
        found = [
            (b"cache-control", b"no-store"),
            (b"x-session-user", b"" if session is None else quote(session.user_id, safe="").encode()),
            (b"x-session-id", b"" if session is None else str(session.id).encode()),
            (b"cookie", joined(fields, b"cookie") or b""),
            (b"authorization", joined(fields, b"authorization") or b""),
            (b"x-session-token", joined(fields, b"x-session-token") or b""),
        ]
        stated = b"" if session is None or self._signer is None else self._signer.sign(session, self._clock())
        found.append((b"x-session-assertion", stated))  # also an empty one: Caddy 2.6 would put a text of its own in its place
        return found


def _words(scope: Scope) -> tuple[str, ...] | None:
    """What stands behind ``/authz`` in the path; None if it is no check."""
    path: str = scope["path"]
    if path != ROUTE and not path.startswith(ROUTE + "/"):
        return None
    parts = path[len(ROUTE) + 1 :].split("/")
    words = tuple(part for part in parts[:1] if part in (OPTIONAL, EXACTLY_200))
    return words + tuple(part for part in parts[1:2] if words == (OPTIONAL,) and part == EXACTLY_200)


class Checks:
    """Stands around the door: only trusted peers may ask, and no check is answered otherwise than 2xx, 401 or 503."""

    def __init__(self, door: ASGIApp, is_trusted: Callable[[Any], bool]) -> None:
        self._door = door
        self._is_trusted = is_trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _words(scope) is None:
            await self._door(scope, receive, send)
            return
        if PEER not in scope and not self._is_trusted(scope.get("client")):
            _warn(f"a check from {scope.get('client')} is refused, since it is not on the list of --trusted-proxy")
            await _answer(refused(Problem.INACTIVE, ASGIRequest(scope), frozenset(), (b"www-authenticate", b"Bearer")), send)
            return
        refusing = False

        async def narrowed(message: Message) -> None:
            nonlocal refusing
            if message["type"] == "http.response.start" and message["status"] not in _PASSING:
                refusing = True
                await _answer(refused(Problem.INACTIVE, ASGIRequest(scope), frozenset(), (b"www-authenticate", b"Bearer")), send)
            elif not refusing:
                await send(message)

        await self._door(scope, receive, narrowed)


@cache
def _warn(message: str) -> None:
    log.warning(message)


async def _answer(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": int(response.status), "headers": list(response.headers)})
    await send({"type": "http.response.body", "body": response.body})
