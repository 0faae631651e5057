"""The middleware of a WSGI application (PEP 3333)."""

# The parts for the middlewares are private on the handle, so that a user's editor does not offer them.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from time import monotonic
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias, Unpack

from sessionward.context import Context
from sessionward.credential.carriers import holds_own
from sessionward.door import WSGI_KEY, Door, context_of, head_goes_out, passed_on, tell
from sessionward.drive import SyncDriver
from sessionward.errors import ConfigurationError
from sessionward.flow import on_request, revoke_others_endpoint
from sessionward.handle import Sessions
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, WSGIRequest, environ_key, spellings
from sessionward.response.answer import Response, preflight
from sessionward.session.backend import Backend
from sessionward.settings import Options

Environ: TypeAlias = dict[str, Any]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write: TypeAlias = Callable[[bytes], object]
Headers: TypeAlias = list[tuple[str, str]]


class StartResponse(Protocol):
    """The ``start_response`` of PEP 3333."""

    def __call__(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write: ...


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

    def __init__(self, app: WSGIApplication, backend: Backend, **settings: Unpack[Options]) -> None:
        if iscoroutinefunction(app) or iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004 - whether it is async
            raise ConfigurationError("app: this is an ASGI application; put sessionward.ASGIMiddleware around it")
        self.app = app
        self._mode: Mode[Any] = choose(backend, settings, awaits=False)
        mode = self._mode
        driver = SyncDriver(backend, mode.settings.backend_timeout, blocks=mode.blocks)
        self._door = Door(mode, driver)
        self._fields = [(name, environ_key(name)) for name in mode.names]
        self._outer_key = mode.outer_key
        self._says_remote_user = mode.settings.remote_user
        self._hot = _Hot(
            app,
            self._door,
            frozenset({"DELETE", "OPTIONS"} if mode.settings.trusted else {"DELETE"}),
            spellings(mode.settings.path),
            bool(mode.needles),
            mode.needles.get(b"cookie", b"").decode("ascii"),
            _Rest.IS_LOOKED_AT if mode.looks_always else _Rest.MAY_SIGN_IN if mode.can_set_cookies else _Rest.PASSES,
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        hot = self._hot
        try:  # costs nothing, unlike get()
            method = environ["REQUEST_METHOD"]
        except KeyError:  # against PEP 3333; then the request is not ours
            method = "GET"
        if method != "GET" and method in hot.methods and (request := WSGIRequest(environ)).route() in hot.routes:
            if method == "DELETE":
                return self._endpoint(request, environ, start_response)
            if (answer := preflight(request, self._mode.settings)) is not None:
                return _send_response(answer, start_response)
        if hot.looks and (
            ("HTTP_COOKIE" in environ and hot.cookie in environ["HTTP_COOKIE"])
            or "HTTP_X_SESSION_TOKEN" in environ
            or ("HTTP_AUTHORIZATION" in environ and holds_own(b"authorization", environ["HTTP_AUTHORIZATION"].encode("latin-1", "replace")))
        ):
            return self._guarded(environ, start_response)
        rest = hot.rest
        if rest is _PASSES:
            environ[WSGI_KEY] = hot.door  # of() makes the handle, if the application calls it
            return hot.app(environ, start_response)
        if rest is _IS_LOOKED_AT:
            return self._guarded(environ, start_response)
        environ[WSGI_KEY] = sessions = _Answering(hot.door, environ, start_response)
        body = hot.app(environ, sessions._start_response)
        return body if sessions._has_left else sessions._returned(body)

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the wrapped application, such as ``app.wsgi_app.script_name``."""
        return passed_on(self, name)

    def _endpoint(self, request: WSGIRequest, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        context = self._opened(Sessions(self._door, environ), request, environ)
        return _refuse(self._door.driver(revoke_others_endpoint(self._mode, context)), context, start_response)

    def _guarded(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sessions = _Answering(self._door, environ, start_response)
        context = self._opened(sessions, WSGIRequest(environ), environ)
        answer = self._door.driver(on_request(self._mode, context))
        tell(context)
        if answer is not None:
            if isinstance(answer, Response):
                return _refuse(answer, context, start_response)
            self._put_fields(environ, answer)
        context.request = sessions._sender()  # so that we do not keep the environ
        if self._says_remote_user and context.session is not None:
            environ.setdefault("REMOTE_USER", context.session.user_id.encode().decode("latin-1"))
        environ[WSGI_KEY] = sessions
        return sessions._returned(self.app(environ, sessions._start_response))

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


@dataclass(frozen=True, slots=True)
class _Hot:
    """What the middleware needs for every request. Attributes of a class with ``__getattr__`` cost twice as much."""

    app: WSGIApplication
    door: Door
    methods: frozenset[str]
    routes: frozenset[bytes]
    looks: bool
    cookie: str
    rest: _Rest


class _Answering(Sessions):
    """A handle whose ``_start_response`` the application gets.

    Delays response headers that set our cookie until the application has returned: an error may still replace them, and we
    check the session as late as possible, just before the browser gets the cookie (P9).
    """

    _has_left: bool = False
    """Whether the server has a head. A second one, with ``exc_info``, is not delayed."""
    _has_returned: bool = False
    """Whether the application has returned its iterable. A head that a generator gives afterwards is not delayed."""
    _waiting: _Head | None = None

    _fields: Fields = ()

    def __init__(self, door: Door, environ: Environ, start_response: StartResponse) -> None:
        self._door = door
        self._peer = environ.get("REMOTE_ADDR")
        self._agent = environ.get("HTTP_USER_AGENT")
        self._started = monotonic()
        self._server = start_response

    def _start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """Implements ``start_response`` for the application. It takes ``exc_info`` also by name, as servers do."""
        context = self._context
        if context is None:
            self._head_is_out = True
        else:
            head_goes_out(self)
            self._waiting = None
            fields: list[tuple[bytes, bytes]] = []
            for name, value in headers:  # a comprehension would be a call
                if len(name) in _COOKIE_LENGTHS and (key := _COOKIE_FIELDS.get(name.lower())) is not None:
                    fields.append((key, value.encode("latin-1")))
            if self._door.mode.touches(context, fields):
                head = _Head(self._sealed, self._server, status, headers, exc_info)
                if self._has_left or self._has_returned:
                    self._has_left = True
                    return head.send()
                self._waiting = head
                return head.write
        self._has_left = True
        return self._server(status, headers) if exc_info is None else self._server(status, headers, exc_info)

    def _returned(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Returns the application's own iterable for the server. A head that comes later is checked when it comes."""
        self._has_returned = True
        try:
            self._release()
        except BaseException:
            _close(body)
            raise
        return body

    def _release(self) -> None:
        """Sends a delayed head."""
        head, self._waiting = self._waiting, None
        if head is not None:
            self._has_left = True
            head.send()

    def _sealed(self, headers: Fields) -> Fields:
        context = context_of(self)
        sealed = self._door.driver(self._mode().on_response(context, headers))
        tell(context)
        return sealed


_COOKIE_FIELDS: Final = {"set-cookie": b"set-cookie", "clear-site-data": b"clear-site-data"}
_COOKIE_LENGTHS: Final = frozenset(map(len, _COOKIE_FIELDS))


class _Head:
    """A response head that has not been sent."""

    __slots__ = ("_exc_info", "_headers", "_seal", "_server", "_status", "_write")

    def __init__(
        self, seal: Callable[[Fields], Fields], start_response: StartResponse, status: str, headers: Headers, exc_info: ExcInfo | None
    ) -> None:
        self._seal = seal
        self._server = start_response
        self._status = status
        self._headers = headers
        self._exc_info = exc_info
        self._write: Write | None = None

    def send(self) -> Write:
        """Decides about the head and passes it to the server, once."""
        if self._write is None:
            fields = self._seal([(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers])
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
            exc_info, self._exc_info = self._exc_info, None  # its traceback refers to this frame
            self._write = self._server(self._status, headers) if exc_info is None else self._server(self._status, headers, exc_info)
        return self._write

    def write(self, data: bytes, /) -> object:
        """Implements the ``write`` callable of PEP 3333, for old applications."""
        return self.send()(data)


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _refuse(response: Response, context: Context, start_response: StartResponse) -> Iterable[bytes]:
    tell(context)
    return _send_response(response, start_response)


def _send_response(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    status = f"{response.status.value} {response.status.phrase}"
    start_response(status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers])
    return [response.body]
