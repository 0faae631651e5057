"""The middleware of a WSGI application (PEP 3333)."""

# What belongs to the doors is private on the object that users hold, so that their editor does not offer it.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from inspect import iscoroutinefunction
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, TypeAlias, Unpack

from sessionward.context import Context
from sessionward.credential.carriers import holds_own
from sessionward.door import WSGI_KEY, Door, context_of, head_goes_out, warn
from sessionward.drive import SyncDriver
from sessionward.errors import ConfigurationError
from sessionward.flow import on_request, revoke_others_endpoint
from sessionward.handle import Sessions
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.request.request import Fields, WSGIRequest, environ_key, spellings
from sessionward.response.answer import Response
from sessionward.session.backend import Backend
from sessionward.settings import Options

Environ: TypeAlias = dict[str, Any]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write: TypeAlias = Callable[[bytes], object]
Headers: TypeAlias = list[tuple[str, str]]


class StartResponse(Protocol):
    """PEP 3333's ``start_response``."""

    def __call__(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write: ...


WSGIApplication: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class WSGIMiddleware:
    """Answers ``DELETE /auth/sessions`` in front of a WSGI application and guards the rest.

    ``backend`` keeps the sessions and is sync, not async. The keyword settings are those of
    :class:`sessionward.settings.Settings`, which says what each means. Raises :class:`sessionward.ConfigurationError` that
    names everything wrong with them.
    """

    def __init__(self, app: WSGIApplication, backend: Backend, **settings: Unpack[Options]) -> None:
        if iscoroutinefunction(app) or iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004 - whether it is async
            raise ConfigurationError("app: this is an ASGI application; put sessionward.ASGIMiddleware around it")
        self.app = app
        self._mode: Mode[Any] = choose(backend, settings, awaits=False)
        mode = self._mode
        driver = SyncDriver(backend, mode.settings.backend_timeout, blocks=mode.blocks)
        self._door = Door(mode, driver)
        self._routes = spellings(mode.settings.path)
        self._looks = bool(mode.needles)
        self._cookie = mode.needles.get(b"cookie", b"").decode("ascii")
        self._fields = [(name, environ_key(name)) for name in mode.names]
        self._outer_key = mode.outer_key
        self._says_remote_user = mode.settings.remote_user
        self._rest = _Rest.IS_LOOKED_AT if mode.looks_always else _Rest.MAY_SIGN_IN if mode.can_set_cookies else _Rest.PASSES

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "DELETE" and (request := WSGIRequest(environ)).route() in self._routes:
            return self._endpoint(request, environ, start_response)
        if self._looks and (
            ("HTTP_COOKIE" in environ and self._cookie in environ["HTTP_COOKIE"])
            or "HTTP_X_SESSION_TOKEN" in environ
            or ("HTTP_AUTHORIZATION" in environ and holds_own(b"authorization", environ["HTTP_AUTHORIZATION"].encode("latin-1", "replace")))
        ):
            return self._guarded(environ, start_response)
        rest = self._rest
        if rest is _PASSES:
            environ[WSGI_KEY] = self._door  # of() makes a handle of it, if anybody asks
            return self.app(environ, start_response)
        if rest is _IS_LOOKED_AT:
            return self._guarded(environ, start_response)
        environ[WSGI_KEY] = sessions = _Answering(self._door, environ, start_response)
        body = self.app(environ, sessions._start_response)
        return body if sessions._has_left else sessions._returned(body)

    def _endpoint(self, request: WSGIRequest, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        context = self._opened(Sessions(self._door, environ), request, environ)
        return _refuse(self._door.driver(revoke_others_endpoint(self._mode, context)), context, start_response)

    def _guarded(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sessions = _Answering(self._door, environ, start_response)
        context = self._opened(sessions, WSGIRequest(environ), environ)
        answer = self._door.driver(on_request(self._mode, context))
        if answer is not None:
            if isinstance(answer, Response):
                return _refuse(answer, context, start_response)
            self._put_fields(environ, answer)
        context.request = sessions._sender()  # the environ itself is not kept
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
        """Puts these fields in place of those that credentials travel in. What is the same stays as the server wrote it."""
        kept = dict(fields)
        for name, key in self._fields:
            value = kept.get(name)
            if value is None:
                environ.pop(key, None)
            elif key not in environ or environ[key].encode("latin-1", "replace") != value:
                environ[key] = value.decode("latin-1")


class _Rest(enum.Enum):
    """What happens to a request in which the scan has found nothing."""

    PASSES = enum.auto()
    MAY_SIGN_IN = enum.auto()
    IS_LOOKED_AT = enum.auto()


_PASSES, _IS_LOOKED_AT = _Rest.PASSES, _Rest.IS_LOOKED_AT


class _Answering(Sessions):
    """A handle that stands between the application and ``start_response``.

    It delays a head that is about to set a cookie of ours until the application has returned: the later the look at the
    session, the less can happen between it and the browser (P9).
    """

    _has_left: bool = False
    """A head has been handed on: another one, with ``exc_info``, does not wait any more."""
    _waiting: _Head | None = None

    _fields: Fields = ()

    def __init__(self, door: Door, environ: Environ, start_response: StartResponse) -> None:
        self._door = door
        self._peer = environ.get("REMOTE_ADDR")
        self._agent = environ.get("HTTP_USER_AGENT")
        self._started = monotonic()
        self._server = start_response

    def _start_response(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write:
        """``start_response``, as the application sees it."""
        context = self._context
        if context is None:
            self._head_is_out = True
        else:
            head_goes_out(self)
            self._waiting = None
            set_cookies: list[tuple[bytes, bytes]] = []
            for name, value in headers:  # a comprehension would be a call
                if len(name) == 10 and name.lower() == "set-cookie":
                    set_cookies.append((b"set-cookie", value.encode("latin-1")))
            if self._door.mode.touches(context, set_cookies):
                head = _Head(self._sealed, self._server, status, headers, exc_info)
                if self._has_left:
                    return head.send()
                self._waiting = head
                return head.write
        self._has_left = True
        return self._server(status, headers) if exc_info is None else self._server(status, headers, exc_info)

    def _returned(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """What the server gets of the application's iterable: itself, once the head has been given (PEP 3333)."""
        if not self._head_is_out:
            return _Body(body, self._release)
        try:
            self._release()
        except BaseException:
            _close(body)
            raise
        return body

    def _release(self) -> None:
        """Lets a head that waits go out."""
        head, self._waiting = self._waiting, None
        if head is not None:
            self._has_left = True
            head.send()

    def _sealed(self, headers: Fields) -> Fields:
        context = context_of(self)
        sealed = self._door.driver(self._mode().on_response(context, headers))
        if context.warning is not None:
            warn(context.warning)
        return sealed


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
        """Looks at the head and hands it to the server, once."""
        if self._write is None:
            fields = self._seal([(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers])
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
            exc_info, self._exc_info = self._exc_info, None  # its traceback refers to this frame
            self._write = self._server(self._status, headers) if exc_info is None else self._server(self._status, headers, exc_info)
        return self._write

    def write(self, data: bytes, /) -> object:
        """The ``write`` callable of PEP 3333, for applications from before iterables."""
        return self.send()(data)


class _Body:
    """An application's iterable that had not called ``start_response`` yet when the application returned it."""

    def __init__(self, body: Iterable[bytes], release: Callable[[], None]) -> None:
        self._body = body
        self._iterator: Iterator[bytes] | None = None
        self._release = release

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self._body)
        try:
            chunk = next(self._iterator)
        except StopIteration:
            self._release()
            raise
        self._release()
        return chunk

    def close(self) -> None:
        _close(self._body)


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _refuse(response: Response, context: Context, start_response: StartResponse) -> Iterable[bytes]:
    if context.warning is not None:
        warn(context.warning)
    status = f"{response.status.value} {response.status.phrase}"
    start_response(status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers])
    return [response.body]
