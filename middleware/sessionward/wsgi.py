"""The door of a WSGI application (PEP 3333)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol, TypeAlias, Unpack

from sessionward.credential import holds_own
from sessionward.drive import PlainDriver, ended, start
from sessionward.errors import ConfigurationError
from sessionward.flow import Admission, Forward, end_others, guard, seal
from sessionward.request import WSGIRequest
from sessionward.response import Headers, Response
from sessionward.session import Backend
from sessionward.settings import Options
from sessionward.step import Flow
from sessionward.visit import Policy, Visit
from sessionward.ward import WSGI_KEY, Ward, begun, head_goes_out, is_head_out

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
    :class:`sessionward.Settings`; raises :class:`sessionward.ConfigurationError` that names everything wrong with them.
    """

    def __init__(self, app: WSGIApplication, backend: Backend, **settings: Unpack[Options]) -> None:
        self.app = app
        self._policy = policy = Policy(backend, settings)
        abilities = policy.abilities
        if abilities.is_async:
            name = type(backend).__name__
            raise ConfigurationError(f"backend: {name} is async, and a WSGI application cannot await it; use its plain twin, {name.removeprefix('Async')}")
        self._driver = PlainDriver(backend, policy.settings.deadline, blocks=abilities.blocks)
        self._signs_in = abilities.signs_in
        self._guards = not abilities.carriers
        self._cookie = policy.cookie_name.decode("ascii")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "DELETE" and WSGIRequest(environ).route() in self._policy.spellings:
            return self._answer(environ, start_response)
        if self._guards and (
            ("HTTP_COOKIE" in environ and self._cookie in environ["HTTP_COOKIE"])
            or "HTTP_X_SESSION_TOKEN" in environ
            or ("HTTP_AUTHORIZATION" in environ and holds_own(b"authorization", environ["HTTP_AUTHORIZATION"].encode("latin-1", "replace")))
        ):
            return self._guarded(environ, start_response)
        if not self._signs_in:
            return self.app(environ, start_response)
        environ[WSGI_KEY] = ward = Ward(self._policy, environ, self._driver)
        return self._through(environ, start_response, ward, None)

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        flow = end_others(begun(Ward(self._policy, environ, self._driver)))
        try:
            response = ended(self._driver(flow, start(flow)))
        finally:
            flow.close()
        return _respond(response, start_response)

    def _guarded(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        ward = Ward(self._policy, environ, self._driver)
        visit = begun(ward)
        flow = guard(visit)
        step = self._driver(flow, start(flow))
        if not isinstance(step, Forward):
            refusal = ended(step)
            assert isinstance(refusal, Response)
            return _respond(refusal, start_response)
        if step.without_credential:
            WSGIRequest(environ).strip(self._policy.cookie_name)
        if visit.session is not None:
            environ[WSGI_KEY] = ward
            if self._policy.settings.remote_user:
                environ.setdefault("REMOTE_USER", visit.session.user_id.encode().decode("latin-1"))
        elif self._signs_in:
            environ[WSGI_KEY] = ward
        return self._through(environ, start_response, ward, flow)

    def _through(self, environ: Environ, start_response: StartResponse, ward: Ward, flow: Flow[Admission] | None) -> Iterable[bytes]:
        """Call the application. A head that is about to set a cookie of ours waits for it to return, and is looked at."""
        waiting: _Head | None = None
        holds = True

        def sealed(status: str, fields: Fields, exc_info: ExcInfo | None = None, /) -> Write:
            nonlocal waiting
            visit = head_goes_out(ward)
            if visit is None or (visit.cookie is None and not (flow is not None and _sets_cookie(fields, self._cookie))):
                waiting = None
                return start_response(status, fields) if exc_info is None else start_response(status, fields, exc_info)
            head = _Head(lambda headers: self._sealed(visit, flow, headers), start_response, status, fields, exc_info)
            if holds:
                waiting = head
                return head.write
            return head.send()

        def release() -> None:
            nonlocal waiting
            if waiting is not None:
                waiting.send()
                waiting = None

        body = None
        try:
            body = self.app(environ, sealed)
            if is_head_out(ward):
                release()
                holds = False
                return body
        except BaseException:
            _close(body)
            raise
        finally:
            if flow is not None and (body is None or not holds):
                flow.close()
        return _Body(body, release, flow)

    def _sealed(self, visit: Visit, flow: Flow[Admission] | None, headers: Headers) -> Headers:
        """The head as it may go out, by the flow that admitted the request; by one of its own where there is none left."""
        if flow is not None and inspect.getgeneratorstate(flow) == inspect.GEN_SUSPENDED:
            step = self._driver(flow, start(flow, headers))
        else:
            alone = seal(visit, headers)
            step = self._driver(alone, start(alone))
        sealed: Headers = ended(step)
        return sealed


class _Head:
    """A response head that has not been sent."""

    __slots__ = ("_exc_info", "_fields", "_seal", "_start_response", "_status", "_write")

    def __init__(
        self, seal: Callable[[Headers], Headers], start_response: StartResponse, status: str, fields: Fields, exc_info: ExcInfo | None
    ) -> None:
        self._seal = seal
        self._start_response = start_response
        self._status = status
        self._fields = fields
        self._exc_info = exc_info
        self._write: Write | None = None

    def send(self) -> Write:
        """Look at the head and hand it to the server, once."""
        if self._write is None:
            headers = self._seal([(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._fields])
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
            exc_info, self._exc_info = self._exc_info, None  # its traceback refers to this frame
            self._write = (
                self._start_response(self._status, fields)
                if exc_info is None
                else self._start_response(self._status, fields, exc_info)
            )
        return self._write

    def write(self, data: bytes, /) -> object:
        """The ``write`` callable of PEP 3333, for applications from before iterables."""
        return self.send()(data)


class _Body:
    """An application's iterable that had not called ``start_response`` yet when the application returned it."""

    __slots__ = ("_body", "_flow", "_iterator", "_release")

    def __init__(self, body: Iterable[bytes], release: Callable[[], None], flow: Flow[Admission] | None) -> None:
        self._body = body
        self._iterator: Iterator[bytes] | None = None
        self._release = release
        self._flow = flow

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
        try:
            _close(self._body)
        finally:
            if self._flow is not None:
                self._flow.close()


def _close(body: object) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _sets_cookie(fields: Fields, name: str) -> bool:
    return any(len(key) == 10 and key.lower() == "set-cookie" and name in value for key, value in fields)


def _respond(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    status = f"{response.status.value} {response.status.phrase}"
    start_response(status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers])
    return [response.body]
