"""One request to an ASGI application that may become a stream, and how it ends with its session.

A cut stream gets nothing more: ``receive`` returns the disconnect, also to a call that waits already, and ``send`` raises
``OSError`` (ASGI 2.4). Then the application has some seconds to return, before we cancel it. The response stays unfinished, so that
servers close the connection and the client can tell (a table in the manual says which do). A WebSocket is closed with 1008.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, CancelledError, Task, TimerHandle
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from errno import EPIPE
from typing import Any, Final, cast

from starlette.types import Message, Receive, Send

GRACE: Final = 5.0
"""Seconds that an application has to return after the disconnect."""
POLICY_VIOLATION: Final = 1008
"""RFC 6455, 7.4.1."""
FOR_DAPHNE: Final = 4001
"""Autobahn, below Daphne, sends 1000 and codes from 3000 on, and 1011 in place of any other."""


class StreamCutError(OSError):
    """What ``send`` raises once the stream has been cut."""


class ASGIStream:
    """Wraps the ``receive`` and ``send`` of one request, and can cut it from another task.

    ``task``: runs the application.
    """

    is_cut = False
    _waits = True
    """Whether ``receive`` after the cut waits for a turn of the event loop: each second call does, since a poll cannot wait."""
    _reader: Task[Any] | None = None
    _interrupts = False
    _cancelled = 0
    """How often we have cancelled the application."""
    _grace: TimerHandle | None = None
    _closing: Task[None] | None = None

    def __init__(self, loop: AbstractEventLoop, task: Task[Any] | None, receive: Receive, send: Send, *, is_socket: bool) -> None:
        self._loop = loop
        self._task = task
        self._is_socket = is_socket
        self._receive = receive
        self._send = send

    def absorbs(self, failure: BaseException) -> bool:
        """Returns whether an exception of the application only says that its stream was cut."""
        if isinstance(failure, CancelledError):
            task = self._task
            return task is not None and self._uncancelled(task) and not task.cancelling()
        return isinstance(failure, Exception) and any(isinstance(each, StreamCutError) for each in _causes(failure))

    async def over(self) -> None:
        """Ends the stream, since the application has returned."""
        task, self._task = self._task, None
        if self.is_cut:
            if task is not None:
                self._uncancelled(task)
            await self._settled()

    async def receive(self) -> Message:
        """Implements ``receive`` for the application. There is never a second call of the server's while one waits."""
        if self.is_cut:
            self._waits = not self._waits
            if self._waits:  # an application that ignores the disconnect would hold the loop
                await asyncio.sleep(0)
            return self._disconnect()
        task = self._reader = asyncio.current_task(self._loop)
        assert task is not None
        cancelling = task.cancelling()
        try:
            return await self._receive()
        except CancelledError:
            if not self._interrupts:
                raise
            self._interrupts = False
            if task.uncancel() > cancelling:  # another task has cancelled it too
                raise
            return self._disconnect()
        finally:
            self._reader = None

    def send(self, message: Message) -> Awaitable[None]:
        """Implements the ``send`` behind that of the middleware."""
        if self.is_cut:
            raise StreamCutError(EPIPE, "the stream was cut, since its session is not live any more")
        return self._send(message)

    def cut(self) -> None:
        """Ends the stream."""
        self.is_cut, loop = True, self._loop
        if self._is_socket:
            self._closing = loop.create_task(self._close())
        reader = self._reader
        if reader is not None:
            self._interrupts = True
            reader.cancel()
        self._grace = loop.call_later(GRACE, self._give_up)

    def _give_up(self) -> None:
        """Cancels an application that has not returned, again and again: it may wait in a ``send`` for a client that does not read."""
        if self._task is not None:
            self._cancelled += 1
            self._task.cancel()
            self._grace = self._loop.call_later(GRACE, self._give_up)

    async def _close(self) -> None:
        with suppress(Exception):  # the client was faster, or the server is closing
            await self._send({"type": "websocket.close", "code": self._code(), "reason": ""})

    async def _settled(self) -> None:
        """Waits until the close has been sent, or else the server would close in its own way when we return."""
        if self._grace is not None:
            self._grace.cancel()
        if self._closing is not None:
            await asyncio.wait({self._closing}, timeout=GRACE)
            self._closing.cancel()

    def _uncancelled(self, task: Task[Any]) -> bool:
        """Takes our own cancellations back. Returns whether there were any."""
        count, self._cancelled = self._cancelled, 0
        for _ in range(count):
            task.uncancel()
        return count > 0

    def _disconnect(self) -> Message:
        return {"type": "websocket.disconnect", "code": self._code(), "reason": ""} if self._is_socket else {"type": "http.disconnect"}

    def _code(self) -> int:
        function: Any = getattr(self._send, "func", self._send)  # Daphne hands out a partial of a method of its own
        return FOR_DAPHNE if str(getattr(function, "__module__", "")).partition(".")[0] == "daphne" else POLICY_VIOLATION


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """Yields an exception and all that it was raised for. Frameworks raise another one when ``send`` raises ``OSError``."""
    found, waiting = set[int](), [failure]
    while waiting:
        each = waiting.pop()
        if id(each) not in found:
            found.add(id(each))
            yield each
            waiting += [other for other in (each.__cause__, each.__context__) if other is not None]
            if isinstance(each, BaseExceptionGroup):
                waiting += cast("BaseExceptionGroup[BaseException]", each).exceptions
