"""The door of a WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from inspect import iscoroutinefunction
from time import monotonic, time
from types import TracebackType
from typing import Any, Protocol, TypeAlias, Unpack

from sessionward.context import Policy, Visit
from sessionward.credential.carriers import holds_own, strip_environ
from sessionward.drive import SyncDriver
from sessionward.errors import ConfigurationError
from sessionward.flow import Admission, concerned, revoke_others_endpoint, guard, misplaced, seal
from sessionward.handle import WSGI_KEY, Door, Ward, warn
from sessionward.request.request import WSGIRequest, environ_key
from sessionward.response.answer import Headers, Response
from sessionward.session.assertion import stated_in_environ
from sessionward.session.backend import Backend
from sessionward.session.session import Session
from sessionward.settings import Options

Environ: TypeAlias = dict[str, Any]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write: TypeAlias = Callable[[bytes], object]
Fields: TypeAlias = list[tuple[str, str]]


class StartResponse(Protocol):
    """PEP 3333's ``start_response``."""

    def __call__(self, status: str, headers: Fields, exc_info: ExcInfo | None = None, /) -> Write: ...


WSGIApplication: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class WSGIMiddleware:
    """Answers ``DELETE /auth/sessions`` in front of a WSGI application and guards the rest.

    ``backend`` keeps the sessions and is plain, not async. The keyword settings are those of
    :class:`sessionward.Settings`, which says what each means. Raises :class:`sessionward.ConfigurationError` that names
    everything wrong with them.
    """

    def __init__(self, app: WSGIApplication, backend: Backend, **settings: Unpack[Options]) -> None:
        if iscoroutinefunction(app) or iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004 - its colour
            raise ConfigurationError("app: this is an ASGI application; put sessionward.ASGIMiddleware around it")
        self.app = app
        self._policy = policy = Policy(backend, settings, awaits=False)
        capabilities = policy.capabilities
        self._door = Door(policy, SyncDriver(backend, policy.settings.backend_timeout, blocks=capabilities.blocks))
        self._signs_in = capabilities.signs_in
        self._verifier = policy.verifier
        self._guards = not capabilities.carriers
        self._watched = _watched_keys(policy)
        self._outer_key = None if policy.spec is None else policy.spec.outer_key
        self._attends = self._signs_in or self._watched is not None
        self._cookie = policy.cookie_name.decode("ascii")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "DELETE" and (request := WSGIRequest(environ)).route() in self._policy.spellings:
            visit = Ward(self._door, environ).visit(request)
            if self._outer_key in environ:
                return _misplaced(visit, start_response)
            return _respond(self._door.driver(revoke_others_endpoint(visit)), start_response)
        if self._verifier is not None and (session := stated_in_environ(environ, self._verifier, time())) is not None:
            return self._stated(session, environ, start_response)
        if self._guards and (
            ("HTTP_COOKIE" in environ and self._cookie in environ["HTTP_COOKIE"])
            or "HTTP_X_SESSION_TOKEN" in environ
            or ("HTTP_AUTHORIZATION" in environ and holds_own(b"authorization", environ["HTTP_AUTHORIZATION"].encode("latin-1", "replace")))
        ):
            return self._guarded(environ, start_response)
        if not self._attends:
            return self.app(environ, start_response)
        if self._watched is not None:
            carried = not self._watched.isdisjoint(environ)
            return self._guarded(environ, start_response) if carried else self._looked_after(environ, start_response)
        environ[WSGI_KEY] = ward = _Answering(self._door, environ, start_response)
        body = self.app(environ, ward.start_response)
        return body if ward.has_left else ward.returned(body)

    def _looked_after(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """A request to an application that has its own login: what its answer says of that is looked at."""
        ward = _Answering(self._door, environ, start_response)
        visit = ward.visit()
        if self._outer_key in environ:
            return _misplaced(visit, start_response)
        if self._signs_in:
            environ[WSGI_KEY] = ward
        return ward.returned(self.app(environ, ward.start_response))

    def _guarded(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        ward = _Answering(self._door, environ, start_response)
        visit = ward.visit(WSGIRequest(environ))
        if self._outer_key in environ:
            return _misplaced(visit, start_response)
        admission = self._door.driver(guard(visit))
        if admission is not _AS_IT_CAME:
            if isinstance(admission, Response):
                return _respond(admission, start_response)
            if visit.taken is not None:
                visit.taken.from_environ(environ)
            strip_environ(environ, self._policy.cookie_name)
        elif visit.taken is not None:
            visit.taken.from_environ(environ)
        return self._served(ward, visit, environ)

    def _stated(self, session: Session, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """A request of whose caller a sidecar in front has convinced itself."""
        ward = _Answering(self._door, environ, start_response)
        visit = ward.visit(WSGIRequest(environ))
        visit.session = session
        return self._served(ward, visit, environ)

    def _served(self, ward: _Answering, visit: Visit, environ: Environ) -> Iterable[bytes]:
        visit.request = ward.sender()  # the environ itself is not kept
        if visit.session is not None and self._policy.settings.remote_user:
            environ.setdefault("REMOTE_USER", visit.session.user_id.encode().decode("latin-1"))
        if visit.session is not None or self._signs_in:
            environ[WSGI_KEY] = ward
        return ward.returned(self.app(environ, ward.start_response))


_AS_IT_CAME = Admission.AS_IT_CAME


def _watched_keys(policy: Policy) -> frozenset[str] | None:
    """What in an environ is worth a closer look where the application has its own login; None where it has not."""
    if policy.logins is None:
        return None
    guards = policy.spec is not None or "which_revoked" in policy.capabilities.operations
    return frozenset([environ_key(carrier.name) for carrier in policy.logins.headers] + (["HTTP_COOKIE"] if guards else []))


class _Answering(Ward):
    """A ward that stands between the application and ``start_response``.

    A head that is about to set a cookie of ours waits until the application has returned, and is looked at then: the
    later the look, the less can happen between it and the browser.
    """

    has_left: bool = False
    """A head has been handed on: another one, with ``exc_info``, does not wait any more."""
    _waiting: _Head | None = None

    def __init__(self, door: Door, environ: Environ, start_response: StartResponse) -> None:
        self._door = door
        self._peer = environ.get("REMOTE_ADDR")
        self._agent = environ.get("HTTP_USER_AGENT")
        self._started = monotonic()
        self._server = start_response

    def start_response(self, status: str, fields: Fields, exc_info: ExcInfo | None = None, /) -> Write:
        """``start_response``, as the application sees it."""
        visit = self._visit
        if visit is None:
            self.head_is_out = True
        else:
            self.head_goes_out()
            self._waiting = None
            if self._is_concerned(visit, fields):
                head = _Head(self._sealed, self._server, status, fields, exc_info)
                if self.has_left:
                    return head.send()
                self._waiting = head
                return head.write
        self.has_left = True
        return self._server(status, fields) if exc_info is None else self._server(status, fields, exc_info)

    def _is_concerned(self, visit: Visit, fields: Fields) -> bool:
        if visit.policy.logins is not None:
            return concerned(visit, _encoded(fields))
        return visit.cookie is not None or _sets_cookie(fields, visit.policy.cookie_name)

    def returned(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """What the server gets of the application's iterable: itself, once the head has been given (PEP 3333)."""
        if not self.head_is_out:
            return _Body(body, self)
        try:
            self.release()
        except BaseException:
            _close(body)
            raise
        return body

    def release(self) -> None:
        """Let a head that waits go out."""
        head, self._waiting = self._waiting, None
        if head is not None:
            self.has_left = True
            head.send()

    def _sealed(self, headers: Headers) -> Headers:
        visit = self.visit()
        sealed = self._door.driver(seal(visit, headers))
        if visit.warning is not None:
            warn(visit.warning)
        return sealed


class _Head:
    """A response head that has not been sent."""

    __slots__ = ("_exc_info", "_fields", "_seal", "_server", "_status", "_write")

    def __init__(
        self, seal: Callable[[Headers], Headers], start_response: StartResponse, status: str, fields: Fields, exc_info: ExcInfo | None
    ) -> None:
        self._seal = seal
        self._server = start_response
        self._status = status
        self._fields = fields
        self._exc_info = exc_info
        self._write: Write | None = None

    def send(self) -> Write:
        """Look at the head and hand it to the server, once."""
        if self._write is None:
            headers = self._seal(_encoded(self._fields))
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
            exc_info, self._exc_info = self._exc_info, None  # its traceback refers to this frame
            self._write = self._server(self._status, fields) if exc_info is None else self._server(self._status, fields, exc_info)
        return self._write

    def write(self, data: bytes, /) -> object:
        """The ``write`` callable of PEP 3333, for applications from before iterables."""
        return self.send()(data)


class _Body:
    """An application's iterable that had not called ``start_response`` yet when the application returned it."""

    def __init__(self, body: Iterable[bytes], ward: _Answering) -> None:
        self._body = body
        self._iterator: Iterator[bytes] | None = None
        self._ward = ward

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self._body)
        try:
            chunk = next(self._iterator)
        except StopIteration:
            self._ward.release()
            raise
        self._ward.release()
        return chunk

    def close(self) -> None:
        _close(self._body)


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _encoded(fields: Fields) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def _sets_cookie(fields: Fields, name: bytes) -> bool:
    for key, value in fields:  # noqa: SIM110 - at each response; any() takes twice as long
        if len(key) == 10 and key.lower() == "set-cookie" and name.decode("ascii") in value:
            return True
    return False


def _misplaced(visit: Visit, start_response: StartResponse) -> Iterable[bytes]:
    response = misplaced(visit)
    warn(visit.warning or "")
    return _respond(response, start_response)


def _respond(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    status = f"{response.status.value} {response.status.phrase}"
    start_response(status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers])
    return [response.body]
