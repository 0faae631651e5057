"""What an ASGI application is given with a request: the handle, and with it its ``receive`` and ``send``."""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Awaitable
from time import monotonic
from typing import Any, Final, cast

from starlette.types import Message, Receive, Scope, Send

from sessionward.context import Context
from sessionward.credential.token import Credential
from sessionward.door.handle import head_goes_out, tell
from sessionward.door.parts import AsyncDoor
from sessionward.handle.sessions import AsyncSessions, running_loop
from sessionward.request.request import Fields
from sessionward.streams.asgi import ASGIStream
from sessionward.streams.registry import Registry

HEADS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that carry the head of a response, and with it cookies."""

ENDS: Final = frozenset({"http.response.pathsend", "websocket.close"})
"""Messages behind which nothing follows, apart from the last part of a body."""


class Answering(AsyncSessions):
    """A handle whose ``_send`` the application gets. A closure in its place would cost 0.1 us more for each request.

    It is an open stream from the head of a response to its last byte, and a WebSocket from its accept to its close. So a request
    that is no stream costs two operations on a set. ``_due``, ``_proof``, ``_cut``: see ``OpenStream``.
    """

    _registry: Registry | None = None
    _stream: ASGIStream | None = None
    _task: Task[Any] | None = None
    _is_socket = False
    _has_trailers = False
    _is_complete = False
    """Whether the last byte of the response has been sent."""
    _client: Receive

    def __init__(self, door: AsyncDoor, scope: Scope, send: Send) -> None:
        self._door = door
        self._headers = scope["headers"]
        try:  # costs half as much as get()
            self._peer = scope["client"]
        except KeyError:
            self._peer = None
        self._started = monotonic()
        self._server = send
        if door.sync is None:
            self._loop = running_loop()

    def _watch(self, registry: Registry, scope: Scope, receive: Receive) -> None:
        """Prepares for a stream. The task is that of the application: a part of it may send from another one."""
        self._registry = registry
        self._client = receive
        self._task = asyncio.current_task(registry.loop)
        if scope["type"] == "websocket":
            self._is_socket = True

    @property
    def _due(self) -> float:
        assert self._registry is not None
        return self._started if self._is_socket else self._started + self._registry.watching.recheck

    @property
    def _proof(self) -> Credential | None:
        # A verb that ends the session of the request leaves the stream without another one, but not without this one.
        return self._credential if self._context is None else self._context.credential or self._credential

    def _cut(self) -> None:
        self._between().cut()

    def _between(self) -> ASGIStream:
        """Returns what wraps ``receive`` and ``send`` once that is needed: the application waits for the client, or the stream is cut."""
        if self._stream is None:
            assert self._registry is not None
            self._stream = ASGIStream(self._registry.loop, self._task, self._client, self._server, is_socket=self._is_socket)
        return self._stream

    def _receive(self) -> Awaitable[Message]:
        return self._between().receive()

    def _send(self, message: Message) -> Awaitable[None]:
        kind, registry = message["type"], self._registry
        if kind == "http.response.body":  # this first comparison spares bodies the second one, which costs twice as much
            if not message.get("more_body"):
                self._is_complete = not self._has_trailers
                if registry is not None:
                    registry.streams.discard(self)
        elif kind in HEADS:
            if "trailers" in message:
                self._has_trailers = bool(message["trailers"])
            if registry is not None:
                registry.streams.add(self)
                if not registry.is_waiting:
                    registry.wait()
            if self._context is None and self._session is None:
                self._head_is_out = True
            elif (context := head_goes_out(self, headers_of(message))) is not None:
                return self._send_head(context, message)
        elif registry is not None and kind in ENDS:
            registry.streams.discard(self)
        return self._server(message) if self._stream is None else self._stream.send(message)

    def _leave(self) -> None:
        """Lets go of the server if the response is complete, since the application has returned and nothing can follow.

        Servers hold the scope, and the scope holds this handle: the garbage collector would have to find each of these cycles.
        """
        if self._is_complete:
            self._server, self._client, self._stream = _ignore, _disconnected, None

    async def _send_head(self, context: Context, message: Message) -> None:
        headers = await self._door.driver(self._mode().on_response(context, headers_of(message)))
        tell(context)
        message = {**message, "headers": headers}
        await (self._server(message) if self._stream is None else self._stream.send(message))


async def _ignore(_message: Message) -> None:
    """Ignores what an application sends behind a complete response, as ASGI says."""


async def _disconnected() -> Message:
    return {"type": "http.disconnect"}


def headers_of(message: Message) -> Fields:
    """Returns the fields of a head. ASGI allows an iterator; we replace it by a list, since we read it twice."""
    fields = message.get("headers") or ()
    if not isinstance(fields, (list, tuple)):
        message["headers"] = fields = list(fields)
    return cast("Fields", fields)
