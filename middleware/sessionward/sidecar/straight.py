"""The straight way through: for a request that is nobody's, has no body, and is answered in one piece.

Such a request needs no task, no ASGI scope that anybody looks at, and no messages: it goes from one parser to the other
connection, and its answer back. Whatever turns out not to be so simple (the answer is long or late, signs somebody in, or
fails) goes on as any other request does, on the connection where it has been asked. What is gained is in the README.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Protocol

from sessionward.asgi import ASGIMiddleware
from sessionward.drive import run_sync
from sessionward.session.step import Step
from sessionward.sidecar.authz.asgi import ASGICheck, path_of
from sessionward.sidecar.authz.routes import route_of
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.exchange import Client, Exchange, Head
from sessionward.sidecar.forwarding import PATIENCE
from sessionward.sidecar.peers import Believing, Peers
from sessionward.sidecar.proxy import Proxy
from sessionward.sidecar.record import ASKED
from sessionward.sidecar.upstream import Connection

SHORT: Final = 16_384
"""Bytes of a body for whose last one the head waits, for as long as :data:`PATIENCE`."""

Seen = Callable[[Any, int, int, float], None]
"""Told the scope, the status, the bytes of the body and the seconds of each request that has gone straight through."""


class Reader(Client, Protocol):
    """The connection of a client that has just read the head of a request."""

    loop: asyncio.AbstractEventLoop
    scope: Any
    cycle: Any
    running: Any
    framed: bool

    def start(self, exchange: Exchange, /) -> None: ...


class Straight:
    """Decides which requests go straight, and sends them."""

    def __init__(
        self, door: ASGIMiddleware, proxy: Proxy, believing: Believing, seen: Seen | None, busy: Callable[[float], None] | None = None
    ) -> None:
        """``busy``: told how many more requests are under way here, or less."""
        self._door = door
        self._proxy = proxy
        self._believing = believing
        self.seen = seen
        self._busy = busy
        self._under_way: dict[_Passage, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def takes(self, listener: Reader, *, keep_alive: bool) -> bool:
        """Send the request on that the listener has just read; False if it is not one for here, and nothing has been done."""
        scope: Any = listener.scope
        if listener.framed or self._door.looks_at(scope):
            return False
        connection = self._proxy.pool.kept()
        if connection is None:
            return False
        self._believing.believe(scope)
        onward = self._proxy.fields.onward(scope, self._proxy.nobody)
        passage = _Passage(self, listener, scope, connection, keep_alive=keep_alive)
        listener.cycle = listener.running = passage
        self._under_way[passage] = passage.began
        if self._busy is not None:
            self._busy(1.0)
        if self._timer is None:
            self._timer = listener.loop.call_later(PATIENCE, self._look, listener.loop)
        connection.ask(scope["method"].encode("ascii"), self._proxy.head(scope, onward), then=passage.answered)
        return True

    def done(self, passage: _Passage) -> None:
        """It is under way no more."""
        if self._under_way.pop(passage, None) is not None and self._busy is not None:
            self._busy(-1.0)

    def keep(self, connection: Connection) -> None:
        self._proxy.pool.keep(connection)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """What is late goes on the long way, where somebody minds the client and the time."""
        late = monotonic() - PATIENCE
        for passage in [passage for passage, began in self._under_way.items() if began < late]:
            passage.goes_the_long_way()
        self._timer = loop.call_later(PATIENCE, self._look, loop) if self._under_way else None


class StraightChecks:
    """Checks, where the backend never waits: judged and answered as soon as they are read."""

    def __init__(self, rules: Rules, peers: Peers, backend: Any, believing: Believing, seen: Seen | None) -> None:
        self._rules = rules
        self._peers = peers
        self._backend = backend
        self._believing = believing
        self._seen = seen

    def takes(self, listener: Reader, *, keep_alive: bool) -> bool:
        """Answer the request that the listener has just read; False if it is not one for here."""
        scope: Any = listener.scope
        route = route_of(path_of(scope))
        if route is None or listener.framed:
            return False
        began = monotonic()
        if self._seen is not None:
            self._believing.believe(scope)
        response = run_sync(self._rules.answer(ASGICheck(scope, self._peers), route), self._ask)
        keep_alive = keep_alive and not listener.draining()
        head = Head.of(int(response.status), None, response.headers, len(response.body), scope, keep_alive=keep_alive)
        listener.transport.write(head.data + head.framed(response.body, more=False))
        listener.cycle = listener.running = _ANSWERED
        if not head.keep_alive:
            listener.transport.close()
        if self._seen is not None:
            self._seen(scope, int(response.status), len(response.body), monotonic() - began)
        listener.on_response_complete()
        return True

    def _ask(self, step: Step[Any]) -> Any:
        return step.ask(self._backend)


class _Nobody:
    """In the place of an event that nobody waits for."""

    def set(self) -> None:
        pass


class _Passage:
    """A request on the straight way. To the listener it is what an :class:`Exchange` is."""

    message_event: Final = _Nobody()
    more_body = True
    response_started = False
    response_complete = False
    disconnected = False

    def __init__(self, way: Straight, listener: Reader, scope: Any, connection: Connection, *, keep_alive: bool) -> None:
        self._way = way
        self._listener = listener
        self._scope = scope
        self._connection = connection
        self.keep_alive = keep_alive
        self.began = monotonic()

    def answered(self) -> None:
        """The head of the answer is there, or the upstream has failed."""
        listener, connection = self._listener, self._connection
        whole = connection.whole()
        if whole is None and connection.is_short(SHORT):
            connection.call(self.answered)  # many servers send the head by itself
            return
        if whole is None or self.disconnected or listener.flow.write_paused:
            self.goes_the_long_way()
            return
        answer, body = whole
        if answer.login is not None or answer.logout:
            self.goes_the_long_way()
            return
        way = self._way
        way.done(self)
        keep_alive = self.keep_alive and not listener.draining()
        head = Head.of(answer.status, answer.reason, answer.fields, answer.length, self._scope, keep_alive=keep_alive)
        listener.transport.write(head.data + head.framed(body, more=False))
        way.keep(connection)
        self.response_complete = True
        if not head.keep_alive:
            listener.transport.close()
        if way.seen is not None:
            way.seen(self._scope, answer.status, len(body), monotonic() - self.began)
        listener.on_response_complete()

    def goes_the_long_way(self) -> None:
        """Go on as an ordinary request, from where it is now."""
        listener, scope = self._listener, self._scope
        self._way.done(self)
        self._connection.call(None)
        scope[ASKED] = self.began, self._connection
        exchange = Exchange(listener, scope, keep_alive=self.keep_alive)
        exchange.more_body = False
        exchange.message_event.set()
        exchange.disconnected = self.disconnected
        if listener.cycle is self:  # else another request waits behind it already
            listener.cycle = exchange
        listener.start(exchange)


class _Answered:
    """To the listener, an exchange that is over."""

    message_event: Final = _Nobody()
    more_body = False
    response_started = True
    response_complete = True
    disconnected = False
    keep_alive = True


_ANSWERED: Final = _Answered()
