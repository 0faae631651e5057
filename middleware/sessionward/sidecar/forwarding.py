"""One request on its way to the upstream, and its answer on the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from starlette.types import Receive, Send

from sessionward.sidecar.failures import ClientGone, Stalled, TooSlow, UpstreamError
from sessionward.sidecar.pool import Pool
from sessionward.sidecar.upstream import STALL, Answer, Connection

PATIENCE: Final = 0.1
"""Seconds after which somebody looks whether the client still waits. Most answers are there before."""
CONTINUE: Final = 1.0
"""Seconds that an upstream has to say 100 Continue before the body is sent anyway (RFC 9110, 10.1.1)."""

_WATCHING: Final[set[asyncio.Task[None]]] = set()
"""The event loop itself holds no task."""


class Cut(Exception):
    """The answer cannot be brought to its end: the listener cuts the client's connection, so that it can tell."""


class Forwarding:
    """A request that has been sent on one connection of the upstream's, as far as its head goes."""

    def __init__(self, connection: Connection, receive: Receive, send: Send, response_timeout: float) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send
        self._response_timeout = response_timeout
        self._failure: UpstreamError | None = None
        self._sent = True  # the whole request, as far as we send it
        self._watcher: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._grows_late)
        self._began = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether the head of the answer is going out."""
        return self._began.is_set()

    def watch(self, watching: Coroutine[Any, Any, None]) -> None:
        """Have somebody read what the client sends."""
        self._watcher = asyncio.get_running_loop().create_task(watching)
        _WATCHING.add(self._watcher)
        self._watcher.add_done_callback(_WATCHING.discard)

    async def again(self, pool: Pool) -> Connection:
        """A fresh connection for the same request. Raises :class:`UpstreamError`, also for what has ended it meanwhile."""
        self._connection = await pool.new()
        if self._failure is not None:
            raise self._failure
        return self._connection

    async def give(self, answer: Answer) -> None:
        """Hand the answer back to the client."""
        self._began.set()
        await give(self._connection, answer, self._send)

    async def pump(self, *, chunked: bool, expects: bool) -> None:
        """Send the request's body on, then go on to watch the client."""
        self._sent = False
        connection = self._connection
        if expects and not await connection.may_continue(CONTINUE):
            await self._began.wait()  # reading earlier would tell the client to send its body
            await self._until_gone()
            return
        more = True
        while more:
            try:
                async with asyncio.timeout(None if self.begun else STALL):
                    message = await self._receive()
            except TimeoutError:
                self._end(Stalled("the client has stopped sending"))
                return
            if message["type"] == "http.disconnect":
                self._end(ClientGone("it has gone away"))
                return
            data: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            if chunked:
                framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
                await connection.write(framed if more else framed + b"0\r\n\r\n")
            else:
                await connection.write(data)
        self._sent = True
        await self._until_gone()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(ClientGone("it has gone away"))

    def _grows_late(self) -> None:
        if self._watcher is None:
            self.watch(self._until_gone())
        self._timer = asyncio.get_running_loop().call_later(max(0.0, self._response_timeout - PATIENCE), self._is_late)

    def _is_late(self) -> None:
        if self.begun:
            return
        if self._sent:
            self._end(TooSlow("no answer in time"))
        else:  # the time for the answer begins when the request is there
            self._timer = asyncio.get_running_loop().call_later(self._response_timeout, self._is_late)

    def _end(self, failure: UpstreamError) -> None:
        self._failure = failure
        self._connection.abort(failure)

    def over(self, pool: Pool) -> None:
        """Whatever the end was: nothing of this goes on."""
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._sent:
            pool.keep(self._connection)
        else:
            self._connection.abort()


async def give(connection: Connection, answer: Answer, send: Send, *, prefix: str = "http.response") -> None:
    """Send an answer on, part by part, as it comes."""
    start, part = f"{prefix}.start", f"{prefix}.body"
    await send({"type": start, "status": answer.status, "headers": answer.fields, "reason": answer.reason})
    if not connection.ready:  # so that the head does not wait for the first part
        await send({"type": part, "body": b"", "more_body": True})
    more = True
    while more:
        data, more = await connection.body()
        await send({"type": part, "body": data, "more_body": more})
