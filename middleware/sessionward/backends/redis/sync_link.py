"""Connections of sync code to the servers of one backend, in one process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Any, TypeVar

from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sessionward.backends.redis.addresses import seconds_for_each
from sessionward.backends.redis.course import Course
from sessionward.backends.redis.failures import refusal
from sessionward.backends.redis.server import Server
from sessionward.backends.redis.socket_state import Readable, shut_down
from sessionward.backends.redis.startup import Startup
from sessionward.backends.redis.wire import Lost, Node, Pause, Result, Send, Step
from sessionward.backends.watchdog import watchdog
from sessionward.errors import ConfigurationError

R = TypeVar("R")


class SyncLink:
    """One connection. It is blocking, so that a read is one system call; the watchdog limits the time."""

    __slots__ = ("_connection", "_readable", "_socket")

    def __init__(self, connection: Any) -> None:
        connection.connect()
        self._connection = connection
        self._socket = connection._sock
        self._socket.settimeout(None)
        self._readable = Readable(self._socket.fileno())

    def is_usable(self) -> bool:
        """Returns whether it is as we have left it. The server may have closed it since."""
        return not self._readable()

    def exchange(self, send: Send) -> list[Any]:
        """Sends the commands and returns the replies."""
        self.send(send)
        return self.receive(send)

    def send(self, send: Send) -> None:
        send.is_sent = True
        try:
            self._connection.send_packed_command((send.payload,), check_health=False)
        except RedisError:
            send.is_sent = send.replies > 1  # the end of the last command has not left this machine, so it cannot run
            raise

    def receive(self, send: Send) -> list[Any]:
        replies: list[Any] = []
        while len(replies) < send.replies:
            try:
                replies.append(self._connection.read_response())
            except ResponseError as error:
                replies.append(error)
            except (BusyLoadingError, AuthenticationError) as error:  # redis-py has closed the connection; the server has run nothing
                return [error] * send.replies
        return replies

    def abort(self) -> None:
        """Has the thread that waits on it fail at once. Another thread may call it."""
        shut_down(self._socket.fileno())

    def close(self) -> None:
        self._connection.disconnect()


class SyncLinks:
    """The connections of one process, those that are idle. Each caller has a permit, so there are never more than the pool allows."""

    def __init__(self, server: Server, startup: Startup) -> None:
        self._server = server
        self._startup = startup
        self._idle: dict[Node, deque[SyncLink]] = {}
        self._checked: set[Node] = set()
        self._closed = False

    def run(self, course: Course[R], timeout: float, ends_at: float) -> R:
        """Returns the answer of the course. ``ends_at``: by ``time.monotonic``; ``timeout``: for messages."""
        try:
            step = course.go_on()
            while step is not None:
                try:
                    result = self._done(course, step, timeout, ends_at)
                except ConfigurationError as mistake:
                    raise course.refused(mistake) from None
                step = course.go_on(result)
            return course.answer
        finally:
            course.close()

    def close(self) -> None:
        """Closes the idle connections, and from now on each one that is given back."""
        self._closed = True
        for idle in list(self._idle.values()):
            while (link := _taken(idle)) is not None:
                link.close()

    def _done(self, course: Course[Any], step: Step, timeout: float, ends_at: float) -> Result | list[Result] | None:
        left = ends_at - monotonic()
        if left <= 0 or (isinstance(step, Pause) and step.seconds >= left):
            raise course.late(timeout)
        if isinstance(step, Send):
            return self._sent(step, *((timeout, ends_at) if step.seconds is None else _shorter(step.seconds, timeout, ends_at)))
        if isinstance(step, Pause):
            time.sleep(step.seconds)  # by its module: gevent patches it there
            return None
        return self._sent_at_once(step, timeout, ends_at)

    def _sent(self, send: Send, timeout: float, ends_at: float) -> Result:
        link = self._take(send, timeout, ends_at)
        if isinstance(link, Lost):
            return link
        watching = watchdog()
        key = watching.watch(ends_at, link.abort)
        try:
            replies = link.exchange(send)
        except BaseException as failure:
            in_time = watching.cancel(key)
            link.close()
            if not isinstance(failure, RedisError):
                raise
            return self._lost(send.node, failure, in_time, timeout)
        self._give_back(send.node, link, in_time=watching.cancel(key))
        return replies

    def _sent_at_once(self, sends: Sequence[Send], timeout: float, ends_at: float) -> list[Result]:
        """Sends to several servers before it reads the replies of the first."""
        under_way = [_UnderWay(send, self._take(send, timeout, ends_at)) for send in sends]
        try:
            for each in under_way:
                each.begin(ends_at)
            return [self._received(each, timeout) for each in under_way]
        finally:
            for each in under_way:
                each.drop()

    def _received(self, each: _UnderWay, timeout: float) -> Result:
        link = each.link
        if isinstance(link, Lost):
            return link
        failure, replies = each.failure, []
        if failure is None:
            try:
                replies = link.receive(each.send)
            except RedisError as error:
                failure = error
        in_time = each.is_over()
        if failure is not None:
            link.close()
            return self._lost(each.send.node, failure, in_time, timeout)
        self._give_back(each.send.node, link, in_time=in_time)
        return replies

    def _lost(self, node: Node, failure: RedisError, in_time: bool, timeout: float) -> Lost:
        if not in_time:
            return Lost(f"Redis at {node} did not answer within {timeout:g} s")
        while (link := _taken(self._idle.get(node, deque()))) is not None:  # as old as the one that broke
            link.close()
        return Lost(f"the connection to Redis at {node} broke ({type(failure).__name__})")

    # --- connections

    def _take(self, send: Send, timeout: float, ends_at: float) -> SyncLink | Lost:
        node = send.node
        idle = self._idle.get(node)
        if idle is None:
            idle = self._idle.setdefault(node, deque())
        while (link := _taken(idle)) is not None:
            if link.is_usable():
                break
            link.close()
        if link is None:
            connected: Future[SyncLink] = Future()
            left = max(0.0, ends_at - monotonic())
            thread = threading.Thread(
                target=self._connect, args=(connected, node, left or timeout), name="sessionward connect", daemon=True
            )
            thread.start()  # a look-up of a name or a handshake has no timeout that we could trust
            try:
                link = connected.result(left)
            except (TimeoutError, RedisTimeoutError):
                connected.add_done_callback(_close_late)
                return Lost(f"no connection to Redis at {node} within {timeout:g} s")
            except (RedisError, OSError) as error:
                return Lost(f"no connection to Redis at {node}: {_first_line(error)}")
        if node not in self._checked and not send.is_lookup:
            return self._looked_at(node, link, timeout, ends_at)
        return link

    def _looked_at(self, node: Node, link: SyncLink, timeout: float, ends_at: float) -> SyncLink | Lost:
        """Looks at the settings of a server before its first script in this process."""
        send = self._startup.questions(node)
        key = watchdog().watch(ends_at, link.abort)
        try:
            replies = link.exchange(send)
        except RedisError as error:
            link.close()
            return self._lost(node, error, watchdog().cancel(key), timeout)
        except BaseException:
            link.close()
            raise
        watchdog().cancel(key)
        if refused := refusal(replies):
            link.close()
            return Lost(f"Redis at {node} refused to answer: {refused}")
        try:
            self._startup.judge(node, replies)
        except ConfigurationError:
            link.close()
            raise
        self._checked.add(node)
        return link

    def _connect(self, connected: Future[SyncLink], node: Node, seconds: float) -> None:
        try:
            connection = self._server.connection(node, seconds)
            connection.socket_connect_timeout = seconds_for_each(node, seconds)
            connected.set_result(SyncLink(connection))
        except BaseException as failure:
            connected.set_exception(failure)

    def _give_back(self, node: Node, link: SyncLink, *, in_time: bool) -> None:
        if not in_time:
            link.close()  # the watchdog has shut its socket down
            return
        self._idle[node].append(link)
        if self._closed and (late := _taken(self._idle[node])) is not None:
            late.close()


class _UnderWay:
    """A send whose replies are still to be read."""

    __slots__ = ("_key", "failure", "link", "send")

    def __init__(self, send: Send, link: SyncLink | Lost) -> None:
        self.send = send
        self.link = link
        self.failure: RedisError | None = None
        self._key = 0

    def begin(self, ends_at: float) -> None:
        if isinstance(self.link, SyncLink):
            self._key = watchdog().watch(ends_at, self.link.abort)
            try:
                self.link.send(self.send)
            except RedisError as failure:
                self.failure = failure

    def is_over(self) -> bool:
        """Returns whether it was over in time."""
        key, self._key = self._key, 0
        return watchdog().cancel(key)

    def drop(self) -> None:
        """Closes the connection if its replies were not read."""
        if self._key and isinstance(self.link, SyncLink):
            self.is_over()
            self.link.close()


def _taken(idle: deque[SyncLink]) -> SyncLink | None:
    try:
        return idle.pop()  # if we looked first, another thread could take it meanwhile
    except IndexError:
        return None


def _shorter(seconds: float, timeout: float, ends_at: float) -> tuple[float, float]:
    """Returns the timeout and the deadline of a step that has a limit of its own."""
    ends_sooner = monotonic() + seconds
    return (seconds, ends_sooner) if ends_sooner < ends_at else (timeout, ends_at)


def _close_late(connected: Future[SyncLink]) -> None:
    if connected.exception() is None:
        connected.result().close()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]
