"""Serves checks as an ASGI application, with the endpoint behind it on the same port."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from sessionward.drive import AsyncDriver
from sessionward.request.request import ASGIRequest, Fields
from sessionward.response.answer import refused
from sessionward.sidecar.authz.routes import route_of
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.peers import PEER, Peers
from sessionward.sidecar.problems import SidecarProblem
from sessionward.sidecar.proxy import answer
from sessionward.sidecar.record import RECORD


class ASGICheck(ASGIRequest):
    """A check as an ASGI scope has it."""

    __slots__ = ("fields", "is_trusted", "method", "path", "session", "target")

    def __init__(self, scope: Scope, peers: Peers) -> None:
        super().__init__(scope)
        query: bytes = scope["query_string"]
        self.fields: Fields = scope["headers"]
        self.method: bytes = scope["method"].encode("latin-1")
        self.path = path_of(scope)
        self.target = self.path + b"?" + query if query else self.path
        self.is_trusted = PEER in scope or scope.get("client") in peers
        self.session: object = None


def path_of(scope: Scope) -> bytes:
    """Returns the raw path of a request."""
    raw: bytes = scope["raw_path"]
    return raw.partition(b"?")[0]


class Checks:
    """Answers checks, and leaves every other request to the door."""

    def __init__(self, door: ASGIApp, rules: Rules, peers: Peers, driver: AsyncDriver) -> None:
        self._door = door
        self._rules = rules
        self._peers = peers
        self._driver = driver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = route_of(path_of(scope)) if scope["type"] == "http" else None
        if route is None:
            await self._door(scope, receive, send)
            return
        check = ASGICheck(scope, self._peers)
        response = await self._driver(self._rules.answer(check, route))
        if RECORD in scope:
            scope[RECORD].is_check = True
            scope[RECORD].session = check.session
        await answer(response, scope, send)


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 404: this service has no application behind its door."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await answer(refused(SidecarProblem.NOT_FOUND, ASGIRequest(scope), frozenset()), scope, send)
