"""The middleware of an ASGI application."""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Unpack, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sessionward.api.endpoints import whoami
from sessionward.api.mode import mode_of
from sessionward.api.routes import Endpoint, Routes
from sessionward.api.session_object import session_json
from sessionward.context import Context
from sessionward.credential.carriers import holds_own
from sessionward.deadline import Asked
from sessionward.door.handle import context_of, tell
from sessionward.door.parts import ASGI_KEY, AsyncDoor, door_of, passed_on, routes_of, takes
from sessionward.door.short_way import AsyncRecall, Recall, Recalled, recalling, recalling_async
from sessionward.errors import ConfigurationError
from sessionward.flow import MAX_COOKIE, on_request
from sessionward.handle.sessions import AsyncSessions
from sessionward.modes.mode import Mode
from sessionward.process import clock
from sessionward.request.request import ASGIRequest, Fields, is_exempt, underscored
from sessionward.response.answer import Response, shown
from sessionward.seen.flush import seen_of
from sessionward.seen.notes import Seen
from sessionward.session.backend import AnyBackend
from sessionward.session.session import Session
from sessionward.settings import Options
from sessionward.streams.answering import Answering
from sessionward.streams.registry import Registries
from sessionward.streams.responding import responded
from sessionward.streams.watching import Watching

_NOWHERE: Final = b"\n"
"""What the scan searches for in a field that alone is no reason to look closer: no value of a field has it (RFC 9110, 5.5)."""


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
        api (bool, default False): Also answers the rest of the session API at ``path``: who am I, my sessions, revoke one; and
            the page *Your devices* for a browser.
        page (Page or None, default None): The name, the colours and the templates of that page; see
            ``sessionward.api.page.Page``. It needs Jinja2: ``pip install "sessionward[page]"``.
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
        idle_timeout (seconds, timedelta or None, default None): How long a session lives without being used, at least two minutes.
            It ends up to a minute early, or a tenth of the limit if that is less, and never late. In modes own and companion.
        max_sessions (int, default 1_000): The largest number of live sessions of one user, in modes own and companion, at
            most 1 000 000. A sign-in beyond it revokes the session used longest ago.
        at_limit ("revoke" or "refuse", default "revoke"): What a sign-in beyond ``max_sessions`` does in mode own: it revokes the
            one used longest ago, or ``login()`` raises ``TooManySessions``.
        recent (seconds, timedelta or None, default None): How old the caller's sign-in may be when it revokes others by our routes.
            An older one gets 403.
        sign_in (str or None, default None): Where a user signs in again, a path or an https URL: ``"/login?next={return_to}"``.
        rate_limit (int or None, default None): How often one session may revoke within an hour by our routes. Beyond it: 429.
        limits (str or None, default None): The limits of a standard: ``"nist-aal1"``, ``"nist-aal2"``, ``"nist-aal3"``, ``"pci"``
            or ``"asvs-l2"``. It sets ``lifetime``, ``idle_timeout`` and ``recent`` where you do not, and refuses laxer values.
        revoke_impersonations (bool, default False): Also revokes and counts the impersonations of the caller when the caller revokes
            others by our routes. The verbs always do.
        also (callable or None, default None): A function, under ASGI sync or async, that we call with the user's id after each success
            of ``DELETE`` of the others, and of the form of the page for it: for API tokens and OAuth grants. If it raises, the client
            gets 503, and the next call repeats it.
        backend_timeout (seconds or timedelta, default 2.0): How long one request waits for the backend before the client gets
            503. At most 60.
        lease (seconds or timedelta, default 0.0): How long a worker trusts an answer of the backend without asking again. At most
            5. A revocation then takes 1.1 times as long, and after it no worker accepts the sessions that it ended.
        lease_waiters (int, default 0): How many requests with a revoked session may wait at once until the lease has passed.
            Further ones get 503. 0 means 1 000 under ASGI, and 2 under WSGI, where each holds a thread: set a quarter of them.
        recheck (seconds, timedelta or None, default 5.0): How often we ask whether the sessions of open WebSockets and of responses that
            take longer are still live. We close those whose session is not. With None they stay open.
        recheck_paths (list of str or None, default None): The prefixes of the paths whose streams we watch. With None: all paths
            under ASGI, no path under WSGI.
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
        self._mode: Mode[Any] = mode_of(backend, settings, clock)
        self._door = door_of(self._mode, backend)
        self._twins = underscored(self._mode.names)
        self._names = self._mode.names | self._twins
        self._outer_key = self._mode.outer_key
        mode = self._mode
        watching = Watching.of(mode, everywhere=True)
        routes = routes_of(mode)
        self._hot = _Hot(
            app,
            self._door,
            None if self._door.sync is None else self._door,
            routes.methods,
            routes,
            {**dict.fromkeys(self._names, _NOWHERE), **mode.needles, **dict.fromkeys(underscored(mode.needles), b"")},
            mode.looks_always,
            mode.can_set_cookies,
            *_short_ways(mode, self._door.driver.backend),
            mode.settings.exempt,
            mode.outer_key,
            mode.keeps_location,
            None if watching is None else Registries(watching, self._door.driver),
            seen_of(mode, backend),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hot = self._hot
        kind = scope["type"]
        if kind == "http":
            method = scope["method"]
            methods = hot.methods
            if methods is None or (method != "GET" and method in methods):
                raw = scope.get("raw_path")  # to look into it costs a third of making a request
                if not raw or raw.find(hot.routes.mark) >= 0:  # (`in` would cost twice as much)
                    _keep_headers(scope)
                    request = ASGIRequest(scope)
                    route = hot.routes.at(request.route())
                    endpoint = None if route is None else hot.routes.endpoint(route, method, request)
                    if endpoint is not None:
                        return await self._answer(endpoint, request, scope, receive, send)
        elif kind != "websocket":
            return await hot.app(scope, receive, self._closing(send) if kind == "lifespan" else send)
        headers = scope["headers"]
        if headers.__class__ is not list:  # (isinstance would cost twice as much)
            headers = _keep_headers(scope)
        needles, hits, cookie = hot.needles, 0, None
        found: list[tuple[bytes, bytes]] = []
        for name, value in headers:  # the only loop over all of them: each costs 50 ns
            if name in needles:
                found.append((name, value))
                if value.find(needles[name]) >= 0 and (name != b"authorization" or holds_own(name, value)):
                    hits += 1
                    if name == b"cookie":
                        cookie = value
        if hits or hot.looks_always:
            by = cookie if hits == 1 else None
            known = self._recalled(by, scope, send) if hot.recall_async is None else await self._asked(hot.recall_async, by, scope, send)
            if isinstance(known, Answering):
                return await self._carried(known, scope, receive)
            return await self._guarded(found, scope, receive, send, known)
        if not hot.can_set_cookies:
            # of() makes the handle, if the application calls it; over an async backend a handle needs the loop, so we make it here
            scope[ASGI_KEY] = hot.door_for_of or AsyncSessions(hot.door, scope)
            return await hot.app(scope, receive, send)
        scope[ASGI_KEY] = sessions = Answering(hot.door, scope, send)
        # A WebSocket may sign in at its handshake, and then stay open.
        await (self._carried(sessions, scope, receive) if kind == "websocket" else hot.app(scope, receive, sessions._send))
        return sessions._leave()

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the wrapped application, such as ``app.state``."""
        return passed_on(self, name)

    async def _answer(self, endpoint: Endpoint, request: ASGIRequest, scope: Scope, receive: Receive, send: Send) -> None:
        found = [field for field in scope["headers"] if field[0] in self._names]
        known = await self._caller(found, scope) if endpoint is whoami else None
        if isinstance(known, Session):
            return await responded(shown(session_json(known), request, self._mode.settings), scope, receive, send)
        sessions = AsyncSessions(self._door, scope)
        context = self._opened(sessions, request, found, scope)
        response = await self._door.driver(endpoint(self._mode, context), None, known)
        if self._hot.seen is not None:
            self._hot.seen.note_in(context, sessions._started)
        tell(context)
        return await responded(response, scope, receive, send)

    async def _caller(self, found: Fields, scope: Scope) -> Session | Asked | None:
        """Returns who calls, by the short way, or what the backend has said about it, or None."""
        if len(found) != 1 or found[0][0] != b"cookie" or len(found[0][1]) > MAX_COOKIE or self._needs_flow(scope):
            return None
        began, recall, way = monotonic(), self._hot.recall, self._hot.recall_async
        recalled = await way(found[0][1]) if way is not None else None if recall is None else recall(found[0][1])
        if isinstance(recalled, tuple) and self._hot.seen is not None:
            self._hot.seen.note(recalled[0], began)
        return recalled[0] if isinstance(recalled, tuple) else recalled

    def _recalled(self, cookie: bytes | None, scope: Scope, send: Send) -> Answering | Asked | None:
        """Returns the handle of a request that goes the short way, or what the backend has said about it, or None."""
        recall = self._hot.recall
        began = monotonic()
        return None if recall is None or cookie is None or self._needs_flow(scope) else self._held(recall(cookie), began, scope, send)

    async def _asked(self, recall: AsyncRecall, cookie: bytes | None, scope: Scope, send: Send) -> Answering | Asked | None:
        """Returns what :meth:`_recalled` returns, over an async backend."""
        began = monotonic()
        return None if cookie is None or self._needs_flow(scope) else self._held(await recall(cookie), began, scope, send)

    def _needs_flow(self, scope: Scope) -> bool:
        """Returns whether a flow must decide about a request, whatever its session is."""
        exempt, outer_key = self._hot.exempt, self._hot.outer_key
        return (bool(exempt) and is_exempt(ASGIRequest(scope).route(), exempt)) or (outer_key is not None and outer_key in scope)

    def _held(self, recalled: Recalled, began: float, scope: Scope, send: Send) -> Answering | Asked | None:
        if not isinstance(recalled, tuple):
            return recalled
        scope[ASGI_KEY] = sessions = Answering(self._hot.door, scope, send)
        sessions._started, (sessions._session, sessions._credential) = began, recalled  # P3 (a): the request is that old
        if self._hot.keeps_location:  # before a framework moves root_path, or changes the list of the headers
            sessions._headers, sessions._location = [*scope["headers"]], ASGIRequest(scope).location()
        if self._hot.seen is not None:
            self._hot.seen.note(recalled[0], sessions._started)
        return sessions

    async def _guarded(self, found: Fields, scope: Scope, receive: Receive, send: Send, asked: Asked | None) -> None:
        sessions = Answering(self._door, scope, send)
        sessions._started = sessions._started if asked is None else asked.began
        context = self._opened(sessions, ASGIRequest(scope), found, scope)
        answer = await self._door.driver(on_request(self._mode, context), None, asked)
        sessions._credential = context.credential
        tell(context)
        if answer is not None:
            if isinstance(answer, Response):
                return await responded(answer, scope, receive, send)
            scope = self._with_fields(scope, answer)
        if self._hot.seen is not None:
            self._hot.seen.note_in(context, sessions._started)
        scope[ASGI_KEY] = sessions
        return await self._carried(sessions, scope, receive)

    async def _carried(self, sessions: Answering, scope: Scope, receive: Receive) -> None:
        """Calls the application with a request that may become a stream, which ends with its session."""
        streams, app = self._hot.streams, self._hot.app
        if (
            streams is None
            or (streams.watching.paths is not None and not streams.watching.covers_request(ASGIRequest(scope)))
            or (registry := streams.here()) is None
        ):
            await app(scope, receive, sessions._send)
            return sessions._leave()
        sessions._watch(registry, scope, receive)
        try:
            await app(scope, sessions._receive, sessions._send)
        except BaseException as failure:
            if sessions._stream is None or not sessions._stream.absorbs(failure):
                raise
        finally:
            registry.streams.discard(sessions)
            if sessions._stream is not None:
                await sessions._stream.over()
            sessions._leave()

    def _opened(self, sessions: AsyncSessions, request: ASGIRequest, found: Fields, scope: Scope) -> Context:
        """Makes the context of a request. ``found``: its fields that can carry credentials, twins included."""
        twins = self._twins
        own = [field for field in found if field[0] not in twins]
        context = context_of(sessions, request, own)
        context.has_twins = len(own) < len(found)
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

    def _closing(self, send: Send) -> Send:
        """Returns the ``send`` for the lifespan. It closes the backend after the application has ended."""

        async def closing(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                if self._hot.seen is not None:
                    await self._hot.seen.flush()
                await _close(self._backend)
            await send(message)

        return closing


@dataclass(frozen=True, slots=True)
class _Hot:
    """What the middleware needs for every request. Attributes of a class with ``__getattr__`` cost twice as much."""

    app: ASGIApp
    door: AsyncDoor
    door_for_of: AsyncDoor | None
    methods: frozenset[str] | None
    routes: Routes
    needles: Mapping[bytes, bytes]
    looks_always: bool
    can_set_cookies: bool
    recall: Recall | None
    recall_async: AsyncRecall | None
    exempt: tuple[bytes, ...]
    outer_key: str | None
    keeps_location: bool
    streams: Registries | None
    seen: Seen | None


def _short_ways(mode: Mode[Any], backend: Any) -> tuple[Recall | None, AsyncRecall | None]:
    ways = recalling(mode, backend), recalling_async(mode, backend)
    if ways == (None, None):
        mode.recall = None  # then it need not remember anything for it
    return ways


def _keep_headers(scope: Scope) -> Fields:
    """Replaces iterables by lists, and returns the headers. ASGI allows an iterator of headers and of the parts of the client."""
    if not isinstance(scope["headers"], (list, tuple)):
        scope["headers"] = [(name, value) for name, value in scope["headers"]]
        if scope.get("client") is not None:
            scope["client"] = list(scope["client"])
    return cast("Fields", scope["headers"])


async def _close(backend: AnyBackend) -> None:
    close = getattr(backend, "close", None)
    closed = close() if callable(close) else None
    if isinstance(closed, Awaitable):
        await closed
