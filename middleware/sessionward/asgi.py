"""The middleware of an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, Unpack, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sessionward.context import Context
from sessionward.credential.carriers import holds_own
from sessionward.door import ASGI_KEY, AsyncDoor, context_of, head_goes_out, warn
from sessionward.drive import SyncDriver, async_driver
from sessionward.errors import ConfigurationError
from sessionward.flow import on_request, revoke_others_endpoint
from sessionward.handle import AsyncSessions
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.request.request import ASGIRequest, Fields, spellings
from sessionward.response.answer import Response
from sessionward.session.backend import AnyBackend
from sessionward.settings import Options

HEADS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that carry the head of a response, and with it cookies."""

POLICY_VIOLATION: Final = 1008
"""RFC 6455, 7.4.1. Before the handshake is accepted, servers turn it into 403."""


class ASGIMiddleware:
    """Answers ``DELETE /auth/sessions`` in front of an ASGI application and guards the rest.

    ``backend`` keeps the sessions; a sync one that waits runs in threads. The keyword settings are those of
    :class:`sessionward.settings.Settings`, which says what each means. Raises :class:`sessionward.ConfigurationError` that
    names everything wrong with them.
    """

    def __init__(self, app: ASGIApp, backend: AnyBackend, **settings: Unpack[Options]) -> None:
        if hasattr(app, "wsgi_app"):
            raise ConfigurationError("app: this is a WSGI application; put sessionward.WSGIMiddleware around its wsgi_app")
        self.app = app
        self._backend = backend
        self._mode: Mode[Any] = choose(backend, settings)
        self._door = door_of(self._mode, backend)
        self._routes = spellings(self._mode.settings.path)
        self._needles = self._mode.needles
        self._looks_always = self._mode.looks_always
        self._can_set_cookies = self._mode.can_set_cookies
        self._door_for_of = None if self._door.sync is None else self._door
        self._names = self._mode.names
        self._outer_key = self._mode.outer_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            if scope["method"] == "DELETE" and (request := ASGIRequest(scope)).route() in self._routes:
                return await self._endpoint(request, scope, receive, send)
        elif kind != "websocket":
            return await self.app(scope, receive, self._closing(send) if kind == "lifespan" else send)
        if self._looks_always:
            return await self._guarded(scope, receive, send)
        needles = self._needles
        for name, value in scope["headers"]:
            if name in needles and value.find(needles[name]) >= 0 and (name != b"authorization" or holds_own(name, value)):
                return await self._guarded(scope, receive, send)
        if not self._can_set_cookies:
            # of() makes a handle of the door, if anybody asks; over an async backend a handle needs the loop, so it is made here
            scope[ASGI_KEY] = self._door_for_of or AsyncSessions(self._door, scope)
            return await self.app(scope, receive, send)
        scope[ASGI_KEY] = sessions = AsyncSessions(self._door, scope)
        return await self.app(scope, receive, self._wrapped(sessions, send))

    def looks_at(self, scope: Scope) -> bool:
        """For a server of ours: whether this request, or its answer, has to be looked at. If not, it may go past this door."""
        if self._looks_always or (scope["method"] == "DELETE" and ASGIRequest(scope).route() in self._routes):
            return True
        needles = self._needles
        for name, value in scope["headers"]:
            if name in needles and value.find(needles[name]) >= 0 and (name != b"authorization" or holds_own(name, value)):
                return True
        return False

    async def _endpoint(self, request: ASGIRequest, scope: Scope, receive: Receive, send: Send) -> None:
        context = self._opened(AsyncSessions(self._door, scope), request, scope)
        response = await self._door.driver(revoke_others_endpoint(self._mode, context))
        await self._refuse(response, context, scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        sessions = AsyncSessions(self._door, scope)
        context = self._opened(sessions, ASGIRequest(scope), scope)
        answer = await self._door.driver(on_request(self._mode, context))
        if answer is not None:
            if isinstance(answer, Response):
                return await self._refuse(answer, context, scope, receive, send)
            scope = self._with_fields(scope, answer)
        scope[ASGI_KEY] = sessions
        return await self.app(scope, receive, self._wrapped(sessions, send))

    def _opened(self, sessions: AsyncSessions, request: ASGIRequest, scope: Scope) -> Context:
        names = self._names
        context = context_of(sessions, request, [field for field in scope["headers"] if field[0] in names])
        if self._outer_key is not None:
            context.is_misplaced = self._outer_key in scope
        return context

    def _with_fields(self, scope: Scope, fields: Fields) -> Scope:
        """A copy of a scope with these fields in place of those that credentials travel in, each where it stood."""
        names, new = self._names, [*fields]
        headers: list[tuple[bytes, bytes]] = []
        for field in scope["headers"]:
            if field[0] not in names:
                headers.append(field)
            elif new and new[0][0] == field[0]:
                headers.append(new.pop(0))
        return {**scope, "headers": [*headers, *new]}

    def _wrapped(self, sessions: AsyncSessions, send: Send) -> Send:
        """The ``send`` of the application. (Not in ``__call__``: a closure's cells would slow all of it.)"""

        def wrapped(message: Message) -> Awaitable[None]:
            if message["type"] in HEADS:
                context = head_goes_out(sessions)
                if context is not None and self._mode.touches(context, _headers(message)):
                    return self._send_head(context, message, send)
            return send(message)

        return wrapped

    async def _send_head(self, context: Context, message: Message, send: Send) -> None:
        headers = await self._door.driver(self._mode.on_response(context, _headers(message)))
        if context.warning is not None:
            warn(context.warning)
        await send({**message, "headers": headers})

    async def _refuse(self, response: Response, context: Context, scope: Scope, receive: Receive, send: Send) -> None:
        if context.warning is not None:
            warn(context.warning)
        if scope["type"] == "http":
            await _send_response(response, send)
            return
        await receive()  # websocket.connect
        if "websocket.http.response" in (scope.get("extensions") or {}):
            await _send_response(response, send, "websocket.http.response")
        else:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})

    def _closing(self, send: Send) -> Send:
        """The send of the lifespan: the backend closes when the application has."""

        async def closing(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await _close(self._backend)
            await send(message)

        return closing


def door_of(mode: Mode[Any], backend: AnyBackend) -> AsyncDoor:
    """The drivers that suit a mode and its backend."""
    timeout, capabilities = mode.settings.backend_timeout, mode.capabilities
    driver = async_driver(backend, timeout, is_async=mode.is_async, blocks=mode.blocks)
    return AsyncDoor(mode, driver, None if capabilities.is_async else SyncDriver(backend, timeout, blocks=mode.blocks))


async def _close(backend: AnyBackend) -> None:
    close = getattr(backend, "close", None)
    closed = close() if callable(close) else None
    if isinstance(closed, Awaitable):
        await closed


async def _send_response(response: Response, send: Send, prefix: str = "http.response") -> None:
    await send({"type": f"{prefix}.start", "status": int(response.status), "headers": list(response.headers)})
    await send({"type": f"{prefix}.body", "body": response.body})


def _headers(message: Message) -> Fields:
    """The fields of a head. ASGI allows an iterator: it is replaced by a list, since it is looked at twice."""
    fields = message.get("headers") or ()
    if not isinstance(fields, (list, tuple)):
        message["headers"] = fields = list(fields)
    return cast("Fields", fields)
