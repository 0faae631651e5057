"""The middleware of an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Unpack, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sessionward.context import Context
from sessionward.credential.carriers import holds_own
from sessionward.door import ASGI_KEY, AsyncDoor, context_of, head_goes_out, passed_on, takes, tell
from sessionward.drive import SyncDriver, async_driver
from sessionward.errors import ConfigurationError
from sessionward.flow import on_request, revoke_others_endpoint
from sessionward.handle import AsyncSessions
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.request.request import ASGIRequest, Fields, spellings, underscored
from sessionward.response.answer import Response, preflight
from sessionward.session.backend import AnyBackend
from sessionward.settings import Options

HEADS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that carry the head of a response, and with it cookies."""

POLICY_VIOLATION: Final = 1008
"""RFC 6455, 7.4.1. Before the handshake, servers respond 403 instead."""


class ASGIMiddleware:
    """Answers ``DELETE /auth/sessions`` in front of an ASGI application, and protects all other requests.

    Args:
        app: The ASGI application.
        backend: Keeps the sessions: ``SQLBackend``, ``AsyncSQLBackend``, ``DjangoBackend``, ... A sync backend runs in threads.

    Keyword Args:
        secrets (list of str or bytes, default ()): The secrets that sign our cookies, newest first; the others only verify.
            Each has at least 32 random bytes. Required, except with a backend over the application's own sessions.
        assertion_secrets (list of str or bytes, default ()): The secrets of a sidecar in front, newest first. We trust a valid
            ``X-Session-Assertion`` without a lookup.
        identify (Identifier or None, default None): Says whom the application's own login has signed in. Set it where the
            application keeps that login; see ``sessionward.identify``.
        path (str, default "/auth/sessions"): The path of ``DELETE``, below ``root_path`` or ``SCRIPT_NAME``.
        cookie_name (str, default "__Host-session-ward"): The name of our cookie. With ``cookie_domain`` the default
            is ``__Secure-session-ward``, with ``insecure`` it is ``session-ward``; with ``audience`` it ends in a mark of it.
        cookie_domain (str or None, default None): The Domain of our cookie. Set it if the application's login cookie has one.
        cookie_samesite ("lax", "strict" or "none", default "lax"): The SameSite of our cookie.
        insecure (bool, default False): Development over plain http: our cookie has no ``Secure``. Never in production.
        on_invalid ("strip" or "reject", default "strip"): What happens to a request with an invalid credential: the application
            gets it without the credential, or the client gets 401.
        exempt_paths (list of str, default ()): Path prefixes that we pass on without a lookup and without our credential, such
            as ``["/static/"]``. Not for pages that sign in.
        trusted_origins (list of str, default ()): Other sites whose pages may call ``path`` with the cookie, exact, such as
            ``["https://app.example"]``.
        public_origin (str or None, default None): Our own origin as browsers see it. With None, ``Origin`` must match ``Host``.
        audience (str, default ""): The name of this application among several that share a host or a secret.
        remote_user (bool, default False): Also sets ``REMOTE_USER`` in the WSGI environ. Does nothing under ASGI.
        lifetime (seconds or timedelta, default 1_209_600.0): How long a session lives: 14 days. With ``identify`` the default is
            as long as the application's login.
        max_sessions (int, default 1_000): The largest number of live sessions of one user, in modes own and companion. A
            sign-in beyond it revokes the oldest session.
        backend_timeout (seconds or timedelta, default 2.0): How long one request waits for the backend before the client gets
            503. At most 60.
        debug (bool, default False): Error responses say what was wrong with the credential. Never in production.

    Raises:
        ConfigurationError: Names everything that is wrong with the application, the backend and the settings.
    """

    def __init__(self, app: ASGIApp, backend: AnyBackend, **settings: Unpack[Options]) -> None:
        if hasattr(app, "wsgi_app") or (takes(app, 2) and not takes(app, 3)):
            raise ConfigurationError(
                "app: this is a WSGI application; put sessionward.WSGIMiddleware around it, in Flask around app.wsgi_app"
            )
        self.app = app
        self._backend = backend
        self._mode: Mode[Any] = choose(backend, settings)
        self._door = door_of(self._mode, backend)
        self._twins = underscored(self._mode.names)
        self._names = self._mode.names | self._twins
        self._outer_key = self._mode.outer_key
        mode = self._mode
        self._hot = _Hot(
            app,
            self._door,
            None if self._door.sync is None else self._door,
            frozenset({"DELETE", "OPTIONS"} if mode.settings.trusted else {"DELETE"}),
            spellings(mode.settings.path),
            {**mode.needles, **dict.fromkeys(underscored(mode.needles), b"")},
            mode.looks_always,
            mode.can_set_cookies,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hot = self._hot
        kind = scope["type"]
        if kind == "http":
            method = scope["method"]
            if method != "GET" and method in hot.methods and ASGIRequest(scope).route() in hot.routes:
                _keep_headers(scope)
                if method == "DELETE":
                    return await self._endpoint(ASGIRequest(scope), scope, receive, send)
                if (answer := preflight(ASGIRequest(scope), self._mode.settings)) is not None:
                    return await _send_response(answer, send)
        elif kind != "websocket":
            return await hot.app(scope, receive, self._closing(send) if kind == "lifespan" else send)
        headers = scope["headers"]
        if headers.__class__ is not list:  # (isinstance would cost twice as much)
            headers = _keep_headers(scope)
        if hot.looks_always:
            return await self._guarded(scope, receive, send)
        needles = hot.needles
        for name, value in headers:
            if name in needles and value.find(needles[name]) >= 0 and (name != b"authorization" or holds_own(name, value)):
                return await self._guarded(scope, receive, send)
        if not hot.can_set_cookies:
            # of() makes the handle, if the application calls it; over an async backend a handle needs the loop, so we make it here
            scope[ASGI_KEY] = hot.door_for_of or AsyncSessions(hot.door, scope)
            return await hot.app(scope, receive, send)
        scope[ASGI_KEY] = sessions = AsyncSessions(hot.door, scope)
        return await hot.app(scope, receive, self._wrapped(sessions, send))

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the wrapped application, such as ``app.state``."""
        return passed_on(self, name)

    def looks_at(self, scope: Scope) -> bool:
        """Returns whether this middleware must see the request or its response. If not, our own server may bypass it."""
        hot = self._hot
        if hot.looks_always or (scope["method"] in hot.methods and ASGIRequest(scope).route() in hot.routes):
            return True
        needles = hot.needles
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
        tell(context)
        if answer is not None:
            if isinstance(answer, Response):
                return await self._refuse(answer, context, scope, receive, send)
            scope = self._with_fields(scope, answer)
        scope[ASGI_KEY] = sessions
        return await self.app(scope, receive, self._wrapped(sessions, send))

    def _opened(self, sessions: AsyncSessions, request: ASGIRequest, scope: Scope) -> Context:
        names, has_twins = self._names, False
        found: list[tuple[bytes, bytes]] = []
        for field in scope["headers"]:
            if field[0] in names:
                if field[0] in self._twins:
                    has_twins = True
                else:
                    found.append(field)
        context = context_of(sessions, request, found)
        context.has_twins = has_twins
        if self._outer_key is not None:
            context.is_misplaced = self._outer_key in scope
        return context

    def _with_fields(self, scope: Scope, fields: Fields) -> Scope:
        """Returns a copy of a scope with its credential fields replaced by ``fields``, in the same places."""
        names, new = self._names, [*fields]
        headers: list[tuple[bytes, bytes]] = []
        for field in scope["headers"]:
            if field[0] not in names:
                headers.append(field)
            elif new and new[0][0] == field[0]:
                headers.append(new.pop(0))
        return {**scope, "headers": [*headers, *new]}

    def _wrapped(self, sessions: AsyncSessions, send: Send) -> Send:
        """Returns the ``send`` for the application. It is not in ``__call__``, where the cells of a closure would slow all requests."""

        def wrapped(message: Message) -> Awaitable[None]:
            if message["type"] in HEADS:
                context = head_goes_out(sessions)
                if context is not None and self._mode.touches(context, _headers(message)):
                    return self._send_head(context, message, send)
            return send(message)

        return wrapped

    async def _send_head(self, context: Context, message: Message, send: Send) -> None:
        headers = await self._door.driver(self._mode.on_response(context, _headers(message)))
        tell(context)
        await send({**message, "headers": headers})

    async def _refuse(self, response: Response, context: Context, scope: Scope, receive: Receive, send: Send) -> None:
        tell(context)
        if scope["type"] == "http":
            await _send_response(response, send)
            return
        await receive()  # websocket.connect
        if "websocket.http.response" in (scope.get("extensions") or {}):
            await _send_response(response, send, "websocket.http.response")
        else:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})

    def _closing(self, send: Send) -> Send:
        """Returns the ``send`` for the lifespan. It closes the backend after the application has ended."""

        async def closing(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await _close(self._backend)
            await send(message)

        return closing


@dataclass(frozen=True, slots=True)
class _Hot:
    """What the middleware needs for every request. Attributes of a class with ``__getattr__`` cost twice as much."""

    app: ASGIApp
    door: AsyncDoor
    door_for_of: AsyncDoor | None
    methods: frozenset[str]
    routes: frozenset[bytes]
    needles: Mapping[bytes, bytes]
    looks_always: bool
    can_set_cookies: bool


def _keep_headers(scope: Scope) -> Fields:
    """Replaces iterables by lists, and returns the headers. ASGI allows iterators for headers, for each header, and for the client."""
    if not isinstance(scope["headers"], (list, tuple)):
        scope["headers"] = [(name, value) for name, value in scope["headers"]]
        if scope.get("client") is not None:
            scope["client"] = list(scope["client"])
    return cast("Fields", scope["headers"])


def door_of(mode: Mode[Any], backend: AnyBackend) -> AsyncDoor:
    """Returns the drivers for a mode and its backend."""
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
    """Returns the fields of a head. ASGI allows an iterator; we replace it by a list, since we read it twice."""
    fields = message.get("headers") or ()
    if not isinstance(fields, (list, tuple)):
        message["headers"] = fields = list(fields)
    return cast("Fields", fields)
