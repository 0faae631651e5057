"""The application that a sidecar's door stands around: it hands every request on, and the answer back.

Nothing is buffered, in either direction: each side is read only as fast as the other one takes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, cast
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope, Send

from sessionward.door import ASGI_KEY, began, context_of
from sessionward.errors import BackendUnavailable, OutcomeUnknown, StaleLogin, UsageError
from sessionward.handle import AsyncSessions, of
from sessionward.request.request import ASGIRequest
from sessionward.response.answer import Problem, Refusal, Response, refused
from sessionward.session.session import Session
from sessionward.sidecar.failures import ClientGone, Invalid, Stalled, TooSlow, UpstreamError
from sessionward.sidecar.fields import NOBODY, SESSION_ASSERTION, TOKEN_REQUEST, Onward, RequestFields, identity_lines
from sessionward.sidecar.forwarding import Cut, Forwarding, give
from sessionward.sidecar.pool import Pool
from sessionward.sidecar.problems import SidecarProblem
from sessionward.sidecar.record import ASKED, RECORD
from sessionward.sidecar.tunnel import TUNNEL, Tunnel
from sessionward.sidecar.upstream import SWITCHING, Answer, Connection

log = logging.getLogger("sessionward")

TARGET: Final = "sessionward.target"
"""The key of a scope that holds the request target exactly as it came."""

_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""What may be asked again (RFC 9110, 9.2.2) if a connection that was kept has ended before anything came back."""


class Signs(Protocol):
    """What makes assertions: :class:`sessionward.session.assertion.Signer`."""

    def sign(self, session: Session, now: float, /) -> bytes: ...


class Proxy:
    """Hands every request on to the upstream. Stands inside of :class:`sessionward.ASGIMiddleware`.

    ``failed`` is told the kind of each failure of the upstream. ``clock``: seconds since 1970, for assertions.
    """

    def __init__(
        self,
        pool: Pool,
        fields: RequestFields,
        *,
        signer: Signs | None,
        clock: Callable[[], float],
        response_timeout: float,
        failed: Callable[[str], None],
        who: Callable[[AsyncSessions], Awaitable[Session | None]],
    ) -> None:
        self.pool = pool
        self.fields = fields
        self._signer = signer
        self.nobody = NOBODY if signer is None else (*NOBODY, SESSION_ASSERTION + b": ")
        """The lines for a visitor."""
        self._clock = clock
        self.response_timeout = response_timeout
        self.failed = failed
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            await (self._serve if scope["type"] == "http" else self._tunnelled)(scope, receive, send)
        except BackendUnavailable:  # logged where it was raised; nothing has been asked of the upstream
            await refuse(Problem.UNAVAILABLE, scope, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _identity(self, scope: Scope) -> Sequence[bytes]:
        """The lines that tell the upstream who is calling. Raises what the backend raises."""
        session = await self._who(_sessions(scope))
        if session is not None and RECORD in scope:
            scope[RECORD].session = session.id
        if session is None:
            return self.nobody
        lines = identity_lines(session)
        return lines if self._signer is None else (*lines, SESSION_ASSERTION + b": " + self._signer.sign(session, self._clock()))

    def head(self, scope: Scope, onward: Onward) -> bytes:
        """The head of a request, as the upstream gets it."""
        return b"".join((scope["method"].encode("ascii"), b" ", target(scope), b" HTTP/1.1\r\n", b"\r\n".join(onward.lines), b"\r\n\r\n"))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: bytes = scope["method"].encode("ascii")
        asked: tuple[float, Connection] | None = scope.get(ASKED)
        if asked is not None:
            began(_sessions(scope), asked[0])  # before anybody needs to know the age of the request
        onward = self.fields.onward(scope, await self._identity(scope))
        has_body = onward.chunked or _has_length(scope)
        if onward.chunked:
            onward.lines.append(b"transfer-encoding: chunked")
        if onward.expects and has_body:
            onward.lines.append(b"expect: 100-continue")
        head = self.head(scope, onward)
        try:
            if asked is None:
                connection = self.pool.kept() or await self.pool.new()
                connection.ask(method, head)
            else:
                connection = asked[1]
        except UpstreamError as failure:
            return await self._fail(failure, scope, send)
        forwarding = Forwarding(connection, receive, send, self.response_timeout)
        if has_body:
            forwarding.watch(forwarding.pump(chunked=onward.chunked, expects=onward.expects))
        try:
            try:
                answer = await connection.head()
            except UpstreamError as failure:
                if type(failure) is not UpstreamError or connection.fresh or has_body or connection.heard or method not in _IDEMPOTENT:
                    raise
                connection = await forwarding.again(self.pool)
                connection.ask(method, head)
                answer = await connection.head()
            if (answer.login is None and not answer.logout) or await self._signed(scope, send, answer):
                if RECORD in scope:
                    scope[RECORD].answered = True
                await forwarding.give(answer)
        except ClientGone:
            pass
        except UpstreamError as failure:
            if forwarding.begun:
                self.failed(failure.kind)
                log.warning("the upstream broke off its answer: %s", failure)
                raise Cut from failure
            await self._fail(failure, scope, send)
        finally:
            forwarding.over(self.pool)

    async def _tunnelled(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket: the handshake is a request like any other, what follows it are bytes."""
        await receive()  # websocket.connect
        tunnel: Tunnel = scope[TUNNEL]
        connection = None
        try:
            connection = await self.pool.new()
            onward = self.fields.onward(scope, (*(await self._identity(scope)), b"connection: Upgrade", b"upgrade: websocket"))
            connection.ask(
                b"GET", b"".join((b"GET ", target(scope), b" HTTP/1.1\r\n", b"\r\n".join(onward.lines), b"\r\n\r\n")), upgrades="websocket"
            )
            tunnel.waits_for(connection)
            async with asyncio.timeout(self.response_timeout):
                answer = await connection.head()
            if answer.status == SWITCHING:
                answer.fields += ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
                if RECORD in scope:
                    scope[RECORD].answered = True
                await send({"type": "websocket.accept", "headers": answer.fields, "reason": answer.reason})
                joined, connection = connection, None
                await tunnel.join(joined)
            else:
                await give(connection, answer, send, prefix="websocket.http.response")
        except TimeoutError:
            await self._fail(TooSlow("no answer to a WebSocket handshake in time"), scope, send)
        except ClientGone:
            pass
        except UpstreamError as failure:
            await self._fail(failure, scope, send)
        finally:
            if connection is not None:
                connection.abort()

    async def _signed(self, scope: Scope, send: Send, answer: Answer) -> bool:
        """Do what the upstream says of the login. False if it could not be done, and the client has been told."""
        sessions = _sessions(scope)
        request = ASGIRequest(scope)
        try:
            if answer.login is None:
                await sessions.logout()
                return True
            token = await sessions.login(_user(answer.login))
            if request.header(TOKEN_REQUEST) == b"1":
                context_of(sessions).cookie = None
                answer.fields = [field for field in answer.fields if field[0].lower() != b"cache-control"]
                answer.fields += [(b"Cache-Control", b"no-store"), (b"X-Session-Token", token.encode())]
        except StaleLogin:
            await refuse(SidecarProblem.STALE_LOGIN, scope, send)
        except OutcomeUnknown:
            await refuse(Problem.UNKNOWN, scope, send)
        except BackendUnavailable:
            await refuse(Problem.UNAVAILABLE, scope, send)
        except UsageError as error:
            log.error("what the upstream says of a login cannot be done: %s", error)
            self.failed(Invalid.kind)
            await refuse(SidecarProblem.UPSTREAM_INVALID, scope, send)
        else:
            return True
        return False

    async def _fail(self, failure: UpstreamError, scope: Scope, send: Send) -> None:
        self.failed(failure.kind)
        log.warning("the upstream does not answer: %s", failure)
        await refuse(problem_of(failure), scope, send)


def target(scope: Scope) -> bytes:
    """The request target, byte for byte as it came where the listener tells it."""
    exact: bytes | None = scope.get(TARGET)
    if exact is not None:
        return exact
    query: bytes = scope.get("query_string", b"")
    return cast("bytes", scope["raw_path"]) + (b"?" + query if query else b"")


def _sessions(scope: Scope) -> AsyncSessions:
    """The handle that the door has attached; where nobody can sign in, it is made when it is asked for."""
    attached: object = scope[ASGI_KEY]
    return attached if isinstance(attached, AsyncSessions) else of(scope)


def _has_length(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return bool(value != b"0")
    return False


def _user(values: Sequence[bytes]) -> str:
    """The user's id in ``Session-Login``. Raises UsageError for what is none."""
    try:
        (value,) = set(values)
        return unquote_to_bytes(value.strip()).decode()
    except ValueError:
        raise UsageError("Session-Login must be one user id, percent-encoded UTF-8") from None


def problem_of(failure: UpstreamError) -> SidecarProblem:
    """What the client is told of a failure of the upstream."""
    if isinstance(failure, Stalled):
        return SidecarProblem.REQUEST_TIMEOUT
    if isinstance(failure, TooSlow):
        return SidecarProblem.UPSTREAM_TIMEOUT
    return SidecarProblem.UPSTREAM_INVALID if isinstance(failure, Invalid) else SidecarProblem.UPSTREAM_FAILED


async def refuse(problem: Refusal, scope: Scope, send: Send) -> None:
    """Answer in the error form of CONTRACT.md 1."""
    await answer(refused(problem, ASGIRequest(scope), frozenset()), scope, send)


async def answer(response: Response, scope: Scope, send: Send) -> None:
    """Send an answer of our own."""
    prefix = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    await send({"type": f"{prefix}.start", "status": int(response.status), "headers": list(response.headers)})
    await send({"type": f"{prefix}.body", "body": response.body})
