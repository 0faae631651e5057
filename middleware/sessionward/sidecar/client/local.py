"""A request that the sidecar answers itself, perhaps after a wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sessionward.response.answer import Problem, Response
from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.client.phase import Handler
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.errors import refusal_of

log = logging.getLogger("sessionward")

_WORKING: Final[set[asyncio.Task[None]]] = set()
"""The event loop itself holds no task."""


def result_of(response: Response) -> str:
    """Returns what became of a request that we have answered, for the counters."""
    status = int(response.status)
    return "passed" if status < 400 else "refused" if status < 500 else "failed"


class Local:
    """Serves a request with a response of our own: :meth:`give` it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Channel) -> None:
        self._connection: Channel | None = connection

    def give(self, response: Response) -> None:
        """Sends the response, if the client is still there."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.respond(response, result_of(response))

    def body(self, data: bytes, /) -> None:
        """Drops the body, which changes nothing."""

    def whole(self) -> None:
        """Does nothing: the response does not depend on the body."""

    def gone(self) -> None:
        """Forgets the client."""
        self._connection = None

    def client_is_full(self) -> None:
        """Does nothing: the response is one piece."""

    def client_has_room(self) -> None:
        """Does nothing: the response is one piece."""

    def check(self, now: float, /) -> None:
        """Does nothing: the backend has its own timeout."""


class LocalService:
    """Serves all requests of an address with responses of our own. ``answer``: makes them."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._answer = answer

    def begin(self, connection: Channel, request: Request, /) -> Handler:
        """Begins to make the response."""
        local = Local(connection)
        task = connection.loop.create_task(self._give(request, local))
        _WORKING.add(task)
        task.add_done_callback(_WORKING.discard)
        return local

    async def _give(self, request: Request, local: Local) -> None:
        try:
            response = await self._answer(request)
        except Exception:
            log.exception("request %s could not be served", request.id)
            response = refusal_of(Problem.UNAVAILABLE, request)
        local.give(response)
