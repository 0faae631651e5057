"""The side that strangers speak to: uvicorn's protocol on httptools, and what it leaves undecided.

uvicorn parses; here stands what a proxy must not let pass (notes: trailers that become header fields, several Hosts, heads
without end, targets that the next server reads otherwise), an answer written as it came, and a WebSocket handed over as
the bytes it is.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any, ClassVar, Final
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from sessionward.credential.carriers import BLANKS
from sessionward.request.request import Location
from sessionward.response.answer import Response, refused
from sessionward.sidecar.exchange import Exchange
from sessionward.sidecar.problems import SidecarProblem
from sessionward.sidecar.proxy import TARGET
from sessionward.sidecar.straight import Straight, StraightChecks
from sessionward.sidecar.tunnel import TUNNEL, Tunnel

log = logging.getLogger("sessionward")

MAX_TARGET: Final = 8_192
"""Bytes."""
MAX_HEAD: Final = 65_536
"""Bytes of a request's head."""
MAX_FIELDS: Final = 128
HEAD_TIME: Final = 10.0
"""Seconds that a head may take from its first byte on."""
LINGER: Final = 2.0
"""Seconds that a client may go on sending what nobody reads, so that it can read its answer."""

_TARGET: Final = re.compile(rb"[\x21\x22\x24-\x7e]+")
"""Visible ASCII without ``#``: a fragment has no business in a request (RFC 9112, 3.2)."""
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class _Refused(Exception):
    """Raised inside of the parser's callbacks, which wrap it."""

    def __init__(self, problem: SidecarProblem) -> None:
        super().__init__(problem.id)
        self.problem = problem


def _never() -> bool:
    return False


class _NoRequest:
    """What is known of a request that could not be read."""

    def header(self, name: bytes, /) -> bytes | None:  # noqa: ARG002
        return None

    def route(self) -> bytes:
        return b""

    def client(self) -> str | None:
        return None

    def location(self) -> Location:
        return Location("", "/")


class Listener(HttpToolsProtocol):
    """One connection of a client."""

    tunnels: ClassVar[bool] = True
    """Whether WebSockets are carried; else an Upgrade field means nothing."""

    # What uvicorn leaves for later, or knows by narrower types.
    app: Any
    scope: Any
    url: bytes
    cycle: Any
    parser: httptools.HttpRequestParser
    transport: asyncio.Transport

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._in_head = False
        self._head_size = self._fields_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._over = False
        self._idle_since = 0.0
        self.running: Any = None
        """What is being answered: the first of those that were read and have no answer yet."""
        self._has_body = False
        self.framed = False
        """Whether the request has a body, or wants to become something else than a request."""
        self._straight: Straight | StraightChecks | None = getattr(config, "straight", None)
        self._unreadable: Callable[[tuple[str, int] | None, int], None] | None = getattr(config, "unreadable", None)
        self.draining: Callable[[], bool] = getattr(config, "draining", _never)
        self.tunnel: Tunnel | None = None

    # --- reading ---

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.near_received(data)
            return
        if self._over:
            return
        size = len(data)
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, _Refused):
                log.error("a request could not be read", exc_info=cause)
            self._refuse(cause.problem if isinstance(cause, _Refused) else SidecarProblem.BAD_REQUEST)
        except httptools.HttpParserError:
            self._refuse(SidecarProblem.BAD_REQUEST)
        else:
            if self._in_head:
                self._head_goes_on(size)

    def _feed(self, data: bytes) -> None:
        """Have it parsed. An upgrade that we do not make ends nothing: what follows it is the next request."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self.tunnel is not None:
                    self.tunnel.near_received(data)
                    return
            else:
                return

    def _head_goes_on(self, more: int) -> None:
        self._head_size += more
        if self._head_size > MAX_HEAD:
            self._refuse(SidecarProblem.TARGET_TOO_LONG if len(self.url) > MAX_TARGET else SidecarProblem.HEAD_TOO_LARGE)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIME, self._refuse, SidecarProblem.REQUEST_TIMEOUT)

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": self.headers,
        }
        self._in_head = True
        self._head_size = self._fields_size = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > MAX_TARGET:
            raise _Refused(SidecarProblem.TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer: uvicorn would take it for a header field
            return
        self.headers.append((name.lower(), value.strip(BLANKS)))
        self._fields_size += len(name) + len(value)
        if len(self.headers) > MAX_FIELDS or self._fields_size > MAX_HEAD:
            raise _Refused(SidecarProblem.HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = method = parser.get_method().decode("ascii")
        if version != "1.1":
            if version != "1.0":
                raise _Refused(SidecarProblem.VERSION)
            scope["http_version"] = version
        if method in ("CONNECT", "TRACE"):
            raise _Refused(SidecarProblem.METHOD)
        self._read_target(self._read_fields(version))
        if parser.should_upgrade() and self._has_body:
            # The parser takes the body for what follows the upgrade, so it would be read as the next request.
            raise _Refused(SidecarProblem.BAD_REQUEST)
        before = self.cycle
        keep_alive = version == "1.1" and parser.should_keep_alive()
        waits = before is not None and not before.response_complete
        if self._straight is not None and not waits and self._straight.takes(self, keep_alive=keep_alive):
            return
        exchange = Exchange(self, scope, keep_alive=keep_alive)
        if parser.should_upgrade() and self.tunnels and self._get_upgrade() == b"websocket" and method == "GET":
            self._open_tunnel(exchange)
        self.cycle = exchange
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
        else:
            self.start(exchange)

    def start(self, exchange: RequestResponseCycle) -> None:
        """Have the application serve it."""
        self.running = exchange
        self._start_asgi_task(exchange, self.app)

    def _open_tunnel(self, exchange: Exchange) -> None:
        scope = self.scope
        self.tunnel = Tunnel(self.transport)
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if self.scheme == "https" else "ws"
        scope["subprotocols"] = []
        scope["extensions"] = {"websocket.http.response": {}}
        scope[TUNNEL] = self.tunnel
        exchange.keep_alive = False
        exchange.more_body = False

    def _read_fields(self, version: str) -> int:
        """Looks at the fields that frame a request; answers where Host is. (llhttp has refused what contradicts itself.)"""
        host = -1
        self.framed = self._has_body = False
        for place, (name, value) in enumerate(self.headers):
            if name == b"host":
                if host >= 0 or not _HOST.fullmatch(value):
                    raise _Refused(SidecarProblem.BAD_HOST)
                host = place
            elif name == b"transfer-encoding":
                if version == "1.0":
                    raise _Refused(SidecarProblem.BAD_REQUEST)
                if value.lower() != b"chunked":
                    raise _Refused(SidecarProblem.CODING)
                self.framed = self._has_body = True
            elif name == b"content-length":
                self.framed, self._has_body = True, bool(value.strip(b"0"))
            elif name == b"upgrade":
                self.framed = True
            elif name == b"expect":
                if value.lower() != b"100-continue":
                    raise _Refused(SidecarProblem.EXPECTATION)
                self.expect_100_continue = version == "1.1"
        if host < 0:
            if version == "1.1":
                raise _Refused(SidecarProblem.BAD_HOST)
            self.headers.append((b"host", b""))
            host = len(self.headers) - 1
        return host

    def _read_target(self, host: int) -> None:
        target, scope = self.url, self.scope
        if not _TARGET.fullmatch(target):
            raise _Refused(SidecarProblem.BAD_TARGET)
        if target[:1] != b"/" and not (target == b"*" and scope["method"] == "OPTIONS"):
            absolute = _ABSOLUTE.fullmatch(target)
            if absolute is None or not absolute[1] or not _HOST.fullmatch(absolute[1]):
                raise _Refused(SidecarProblem.BAD_TARGET)
            self.headers[host] = (b"host", absolute[1])  # which decides over the field (RFC 9112, 3.2.2)
            rest = absolute[2]
            target = rest if rest[:1] == b"/" else b"/" + rest
        path, _, query = target.partition(b"?")
        text = path.decode("ascii")
        scope["path"] = unquote(text) if "%" in text else text
        scope["raw_path"] = path
        scope["query_string"] = query
        scope[TARGET] = target

    # --- ends ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idles()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self.start(self.pipeline.pop()[0])
        else:
            self._idles()

    def _idles(self) -> None:
        """Nothing is asked at the moment. The timer is left to run where there is one: most connections are soon busy again."""
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        busy = self.tunnel is not None or self._in_head or (self.cycle is not None and not self.cycle.response_complete)
        if left > 0.001 and not busy:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        elif not busy and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, problem: SidecarProblem) -> None:
        """Answer what cannot be read, and close.

        Behind a request that is whole already it only ends the connection, once that one has been answered.
        """
        self._in_head = False
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            self._over = True
        elif cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()
        elif not self._over:
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True  # so that nobody takes half of its body for the whole
                cycle.message_event.set()
            response = refused(problem, _NoRequest(), frozenset())
            self.transport.write(head_of(response) + response.body)
            if self._unreadable is not None and (cycle is None or cycle.response_complete):
                self._unreadable(self.client, int(response.status))
            self.linger()

    def linger(self) -> None:
        """Close, but not at once on a client that still sends: a reset would take the answer from it."""
        self._over = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        if self.tunnel is not None:
            self.tunnel.near_lost()
        self._tell_those_who_answer()
        super().connection_lost(exc)

    def _tell_those_who_answer(self) -> None:
        """The request that is being answered and those behind it, of which uvicorn knows the last one only."""
        waiting = [exchange for exchange, _ in self.pipeline]
        self.pipeline.clear()
        for exchange in (self.running, *waiting):
            if exchange is not None and not exchange.response_complete:
                exchange.disconnected = True
                exchange.message_event.set()

    def shutdown(self) -> None:
        if self.tunnel is None:
            super().shutdown()

    # --- the tunnel ---

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.tunnel is not None:
            self.tunnel.near_is_full()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.tunnel is not None:
            self.tunnel.near_has_room()


def head_of(response: Response) -> bytes:
    """The head of an answer of ours behind which the connection closes."""
    lines = [b"HTTP/1.1 %d %b" % (response.status, response.status.phrase.encode())]
    lines += (name + b": " + value for name, value in response.headers)
    return b"\r\n".join((*lines, b"connection: close\r\n\r\n"))
