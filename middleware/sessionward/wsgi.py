"""The middleware of a WSGI application (PEP 3333)."""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from time import monotonic
from typing import Any, TypeAlias, Unpack

from sessionward.api.endpoints import whoami
from sessionward.api.mode import mode_of
from sessionward.api.routes import Endpoint, Routes
from sessionward.api.session_object import session_json
from sessionward.context import Context
from sessionward.credential.carriers import holds_own
from sessionward.deadline import Asked
from sessionward.door.handle import context_of, credential_of, tell
from sessionward.door.parts import WSGI_KEY, Door, passed_on, routes_of
from sessionward.door.short_way import Recall, recalling
from sessionward.drive import SyncDriver
from sessionward.errors import ConfigurationError
from sessionward.flow import MAX_COOKIE, on_request
from sessionward.handle.answering import Answering
from sessionward.handle.sessions import Sessions
from sessionward.modes.mode import Mode
from sessionward.process import clock
from sessionward.request.request import Fields, WSGIRequest, environ_key, is_exempt
from sessionward.response.answer import Response, shown
from sessionward.response.delayed import Headers, StartResponse
from sessionward.seen.flush import seen_of
from sessionward.seen.notes import Seen
from sessionward.session.backend import Backend
from sessionward.session.session import Session
from sessionward.settings import Options
from sessionward.streams.watching import Watching
from sessionward.streams.wsgi import WSGIStreams

__all__ = ["Environ", "Headers", "StartResponse", "WSGIApplication", "WSGIMiddleware"]

Environ: TypeAlias = dict[str, Any]
WSGIApplication: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class WSGIMiddleware:
    """Answers ``DELETE /auth/sessions`` in front of a WSGI application, and protects all other requests.

    Args:
        app: The WSGI application.
        backend: Keeps the sessions: ``SQLBackend``, ``TableBackend``, ``DjangoBackend``, ... It must be sync.

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

    def __init__(self, app: WSGIApplication, backend: Backend, **settings: Unpack[Options]) -> None:
        if iscoroutinefunction(app) or iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004 - whether it is async
            raise ConfigurationError("app: this is an ASGI application; put sessionward.ASGIMiddleware around it")
        self.app = app
        self._mode: Mode[Any] = mode_of(backend, settings, clock, awaits=False)
        mode = self._mode
        driver = SyncDriver(backend, mode.settings.backend_timeout, blocks=mode.blocks)
        self._door = Door(mode, driver)
        watching = Watching.of(mode, everywhere=False)
        self._streams = None if watching is None else WSGIStreams(watching, driver)
        routes = routes_of(mode)
        self._fields = [(name, environ_key(name)) for name in mode.names]
        self._outer_key = mode.outer_key
        self._hot = _Hot(
            app,
            self._door,
            routes.methods,
            routes,
            bool(mode.needles),
            mode.needles.get(b"cookie", b"").decode("ascii"),
            _Rest.IS_LOOKED_AT if mode.looks_always else _Rest.MAY_SIGN_IN if mode.can_set_cookies else _Rest.PASSES,
            recalling(mode, driver.backend, may_wait=True),
            mode.settings.exempt,
            mode.outer_key,
            mode.keeps_location,
            mode.settings.remote_user,
            seen_of(mode, backend),
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        hot = self._hot
        try:  # costs nothing, unlike get()
            method = environ["REQUEST_METHOD"]
        except KeyError:  # against PEP 3333; then the request is not ours
            method = "GET"
        methods = hot.methods
        if methods is None or (method != "GET" and method in methods):
            request = WSGIRequest(environ)
            route = hot.routes.at(request.route())
            if route is not None and (endpoint := hot.routes.endpoint(route, method, request)) is not None:
                return self._answer(endpoint, request, environ, start_response)
        if hot.looks:
            if "HTTP_X_SESSION_TOKEN" in environ or (
                "HTTP_AUTHORIZATION" in environ and holds_own(b"authorization", environ["HTTP_AUTHORIZATION"].encode("latin-1", "replace"))
            ):
                return self._guarded(environ, start_response)
            if "HTTP_COOKIE" in environ and hot.cookie in environ["HTTP_COOKIE"]:
                known = None if hot.recall is None else self._recalled(hot.recall, environ, start_response)
                return self._passed_on(known, environ) if isinstance(known, Answering) else self._guarded(environ, start_response, known)
        rest = hot.rest
        if rest is _PASSES:
            environ[WSGI_KEY] = hot.door  # of() makes the handle, if the application calls it
            return hot.app(environ, start_response)
        if rest is _IS_LOOKED_AT:
            return self._guarded(environ, start_response)
        environ[WSGI_KEY] = sessions = Answering(hot.door, environ, start_response)
        body = hot.app(environ, sessions._start_response)
        return body if sessions._has_left else sessions._returned(body)

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the wrapped application, such as ``app.wsgi_app.script_name``."""
        return passed_on(self, name)

    def _answer(self, endpoint: Endpoint, request: WSGIRequest, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        known = self._caller(environ, start_response) if endpoint is whoami else None
        if isinstance(known, Session):
            return _respond(shown(session_json(known), request, self._mode.settings), start_response)
        sessions = Sessions(self._door, environ)
        context = self._opened(sessions, request, environ)
        response = self._door.driver(endpoint(self._mode, context), known)
        if self._hot.seen is not None:
            self._hot.seen.note_in(context, sessions._started)
        return _refuse(response, context, start_response)

    def _caller(self, environ: Environ, start_response: StartResponse) -> Session | Asked | None:
        """Returns who calls, by the short way, or what the backend has said about it, or None."""
        hot = self._hot
        cookie = environ.get("HTTP_COOKIE", "") if _HEADERS.isdisjoint(environ) else ""
        if hot.recall is None or not cookie or len(cookie) > MAX_COOKIE:
            return None
        known = self._recalled(hot.recall, environ, start_response)
        return known._session if isinstance(known, Answering) else known

    def _recalled(self, recall: Recall, environ: Environ, start_response: StartResponse) -> Answering | Asked | None:
        """Returns the handle of a request that goes the short way, or what the backend has said about it, or None."""
        hot = self._hot
        exempt = hot.exempt
        if (exempt and is_exempt(WSGIRequest(environ).route(), exempt)) or (hot.outer_key is not None and hot.outer_key in environ):
            return None
        value: str = environ["HTTP_COOKIE"]  # for ASCII the two encodings are equal, and the first one costs 0.1 us less
        cookie = value.encode() if value.isascii() else value.encode("latin-1", "replace")
        began = monotonic()
        recalled = recall(cookie)
        if not isinstance(recalled, tuple):
            return recalled
        sessions = Answering(hot.door, environ, start_response)
        sessions._started, (sessions._session, sessions._credential) = began, recalled  # P3 (a): the request is that old
        if hot.keeps_location:  # before a framework moves SCRIPT_NAME
            sessions._fields, sessions._location = ((b"cookie", cookie),), WSGIRequest(environ).location()
        if hot.seen is not None:
            hot.seen.note(recalled[0], sessions._started)
        return sessions

    def _guarded(self, environ: Environ, start_response: StartResponse, asked: Asked | None = None) -> Iterable[bytes]:
        sessions = Answering(self._door, environ, start_response)
        sessions._started = sessions._started if asked is None else asked.began
        context = self._opened(sessions, WSGIRequest(environ), environ)
        answer = self._door.driver(on_request(self._mode, context), asked)
        tell(context)
        if answer is not None:
            if isinstance(answer, Response):
                return _refuse(answer, context, start_response)
            self._put_fields(environ, answer)
        context.request = sessions._sender()  # so that we do not keep the environ
        sessions._session = context.session
        if self._hot.seen is not None:
            self._hot.seen.note_in(context, sessions._started)
        return self._passed_on(sessions, environ)

    def _passed_on(self, sessions: Answering, environ: Environ) -> Iterable[bytes]:
        hot = self._hot
        if hot.says_remote_user and sessions._session is not None:
            environ.setdefault("REMOTE_USER", sessions._session.user_id.encode().decode("latin-1"))
        environ[WSGI_KEY] = sessions
        streams = self._streams
        watched = streams is not None and streams.watching.covers_request(WSGIRequest(environ))  # before a framework moves SCRIPT_NAME
        body = hot.app(environ, sessions._start_response)
        body = body if sessions._has_left else sessions._returned(body)
        return body if streams is None or not watched else streams.watched(credential_of(sessions), body)

    def _opened(self, sessions: Sessions, request: WSGIRequest, environ: Environ) -> Context:
        found: list[tuple[bytes, bytes]] = []
        for name, key in self._fields:  # a comprehension would be a call
            if key in environ:
                found.append((name, environ[key].encode("latin-1", "replace")))
        context = context_of(sessions, request, found)
        if self._outer_key is not None:
            context.is_misplaced = self._outer_key in environ
        return context

    def _put_fields(self, environ: Environ, fields: Fields) -> None:
        """Replaces the credential fields of an environ by ``fields``. Equal values stay as the server wrote them."""
        kept = dict(fields)
        for name, key in self._fields:
            value = kept.get(name)
            if value is None:
                environ.pop(key, None)
            elif key not in environ or environ[key].encode("latin-1", "replace") != value:
                environ[key] = value.decode("latin-1")


class _Rest(enum.Enum):
    """What we do with a request in which the scan has found nothing."""

    PASSES = enum.auto()
    MAY_SIGN_IN = enum.auto()
    IS_LOOKED_AT = enum.auto()


_PASSES, _IS_LOOKED_AT = _Rest.PASSES, _Rest.IS_LOOKED_AT
_HEADERS = frozenset({"HTTP_AUTHORIZATION", "HTTP_X_SESSION_TOKEN"})
"""Fields that may carry a credential beside a cookie."""


@dataclass(frozen=True, slots=True)
class _Hot:
    """What the middleware needs for every request. Attributes of a class with ``__getattr__`` cost twice as much."""

    app: WSGIApplication
    door: Door
    methods: frozenset[str] | None
    routes: Routes
    looks: bool
    cookie: str
    rest: _Rest
    recall: Recall | None
    exempt: tuple[bytes, ...]
    outer_key: str | None
    keeps_location: bool
    says_remote_user: bool
    seen: Seen | None


def _refuse(response: Response, context: Context, start_response: StartResponse) -> Iterable[bytes]:
    tell(context)
    return _respond(response, start_response)


def _respond(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    status = f"{response.status.value} {response.status.phrase}"
    start_response(status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers])
    return [response.body]
