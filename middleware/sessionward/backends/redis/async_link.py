"""Connections of async code to the servers of one backend, on one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sessionward.backends.redis.addresses import connected
from sessionward.backends.redis.course import Course
from sessionward.backends.redis.failures import refusal
from sessionward.backends.redis.server import Server
from sessionward.backends.redis.socket_state import Readable
from sessionward.backends.redis.startup import Startup
from sessionward.backends.redis.wire import Lost, Node, Pause, Result, Send, Step
from sessionward.errors import ConfigurationError

R = TypeVar("R")


class AsyncLink:
    """One connection. It has no timeout of its own: its caller is cancelled at the deadline, and then closes it."""

    __slots__ = ("_connection", "_readable", "_transport")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._transport = connection._writer.transport
        self._readable = Readable(self._transport.get_extra_info("socket").fileno())

    def is_usable(self) -> bool:
        """Returns whether it is as we have left it. The server may have closed it since."""
        return not (self._transport.is_closing() or self._readable())

    async def exchange(self, send: Send) -> list[Any]:
        """Sends the commands and returns the replies."""
        send.is_sent = True  # from here on the transport has the bytes, and does not tell how many of them it still has
        await self._connection.send_packed_command((send.payload,), check_health=False)
        replies: list[Any] = []
        while len(replies) < send.replies:
            try:
                replies.append(await self._connection.read_response())
            except ResponseError as error:
                replies.append(error)
            except (BusyLoadingError, AuthenticationError) as error:  # redis-py has closed the connection; the server has run nothing
                return [error] * send.replies
        return replies

    def close(self) -> None:
        """Closes it at once: what has not been sent yet is not sent any more."""
        self._transport.abort()
        self._connection._close()


class AsyncLinks:
    """The connections of one loop, those that are idle. Each caller has a permit, so there are never more than the pool allows."""

    def __init__(self, server: Server, startup: Startup) -> None:
        self._server = server
        self._startup = startup
        self._idle: dict[Node, deque[AsyncLink]] = {}
        self._checked: set[Node] = set()
        self._closed = False

    async def run(self, course: Course[Any], timeout: float, ends_at: float, *, to_writes: bool) -> bool:
        """Does the steps of a course to its end, or with ``to_writes`` to the first call that may change something.

        Returns whether it is over. Its caller limits the time. ``ends_at``: by the clock of the loop; ``timeout``: for messages.
        """
        while course.step is not None:
            if to_writes and course.writes:
                return False
            try:
                result = await self._done(course.step, timeout, ends_at)
            except ConfigurationError as mistake:
                raise course.refused(mistake) from None
            course.go_on(result)
        return True

    def close(self) -> None:
        """Closes the idle connections, and from now on each one that is given back."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    async def _done(self, step: Step, timeout: float, ends_at: float) -> Result | list[Result] | None:
        if isinstance(step, Send):
            if step.seconds is None:
                return await self._sent(step, timeout, ends_at)
            ends_sooner = asyncio.get_running_loop().time() + step.seconds
            try:
                async with asyncio.timeout_at(ends_sooner):
                    return await self._sent(step, step.seconds, min(ends_at, ends_sooner))
            except TimeoutError:
                if not step.is_sent:
                    return _not_connected(step.node, step.seconds)
                return Lost(f"Redis at {step.node} did not answer within {step.seconds:g} s")
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        return await self._sent_at_once(step, timeout, ends_at)

    async def _sent_at_once(self, sends: Sequence[Send], timeout: float, ends_at: float) -> list[Result]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._sent(send, timeout, ends_at)) for send in sends]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _sent(self, send: Send, timeout: float, ends_at: float) -> Result:
        node = send.node
        link = self._taken(node)
        try:
            if link is None:
                link = await self._opened(node, ends_at)
            if not send.is_lookup and node not in self._checked:
                settings = await link.exchange(self._startup.questions(node))
                if refused := refusal(settings):
                    link.close()
                    return Lost(f"Redis at {node} refused to answer: {refused}")
                self._startup.judge(node, settings)
                self._checked.add(node)
            replies = await link.exchange(send)
        except BaseException as failure:
            if link is not None:
                link.close()
            if not isinstance(failure, (RedisError, OSError)):
                raise
            if isinstance(failure, RedisTimeoutError) and link is None:
                return _not_connected(node, timeout)
            return self._lost(node, failure, was_open=link is not None)
        self._give_back(node, link)
        return replies

    def _lost(self, node: Node, failure: RedisError | OSError, *, was_open: bool) -> Lost:
        if not was_open:
            return Lost(f"no connection to Redis at {node}: {(str(failure).splitlines() or [''])[0][:200]}")
        idle = self._idle.get(node, deque())
        while idle:  # as old as the one that broke
            idle.pop().close()
        return Lost(f"the connection to Redis at {node} broke ({type(failure).__name__})")

    async def _opened(self, node: Node, ends_at: float) -> AsyncLink:
        connection = self._server.connection(node, 0.0)
        opened = await connected(node, ends_at - asyncio.get_running_loop().time())
        try:
            if opened is not None:
                arguments = {**connection._connection_arguments(), "sock": opened}
                host, _ = arguments.pop("host"), arguments.pop("port")
                if "ssl" in arguments:
                    arguments["server_hostname"] = host
                connection._connection_arguments = lambda: arguments
            await connection.connect()
        except BaseException:
            connection._close()
            if opened is not None:
                opened.close()
            raise
        return AsyncLink(connection)

    def _taken(self, node: Node) -> AsyncLink | None:
        idle = self._idle.get(node)
        if idle is None:
            self._idle[node] = deque()
            return None
        while idle:
            link = idle.pop()
            if link.is_usable():
                return link
            link.close()
        return None

    def _give_back(self, node: Node, link: AsyncLink) -> None:
        if self._closed:
            link.close()
        else:
            self._idle[node].append(link)


def _not_connected(node: Node, seconds: float) -> Lost:
    return Lost(f"no connection to Redis at {node} within {seconds:g} s")
