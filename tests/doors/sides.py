"""Both doors look alike from here: one application, one way to ask it, ASGI or WSGI underneath.

An application is written once, as an ``async`` function. Under WSGI its verbs are sync and merely look awaited.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator

import sessionward
from sessionward.wsgi import Environ, StartResponse
from tests.doors.keepers import Memory
from tests.doors.old import webtest

SECRET: Final = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"
COOKIE: Final = "__Host-session-ward"
SESSIONS: Final = "/auth/sessions"

Fields: TypeAlias = Sequence[tuple[str, str]]
TEXT: Final[Fields] = (("Content-Type", "text/plain"),)


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case, in their order."""

    status: int
    fields: Fields
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def value(self, name: str) -> str:
        (only,) = self.values(name)
        return only

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        found: str = self.json()["error"]["id"]
        return found


@dataclass(frozen=True)
class Reply:
    """What the application answers."""

    body: bytes = b"the application"
    status: int = 200
    fields: Fields = TEXT


class Here(ABC):
    """One request, as the application sees it."""

    def __init__(self, mapping: Any) -> None:
        self.mapping = mapping
        self.has_started = False

    @property
    @abstractmethod
    def sessions(self) -> Any:
        """The sessions, whose verbs are awaited."""

    @property
    @abstractmethod
    def path(self) -> str: ...

    @property
    @abstractmethod
    def method(self) -> str: ...

    @abstractmethod
    def header(self, name: str) -> str | None:
        """A header as the application finds it; several fields joined by ``,``."""

    @abstractmethod
    async def start(self, reply: Reply) -> None:
        """Send the head before the handler has ended."""


Handler: TypeAlias = Callable[[Here], Coroutine[Any, Any, Reply]]


async def town(here: Here) -> Reply:
    """The application of most scenarios."""
    verb, _, user = here.path.rpartition("/")
    if verb.endswith("/login"):
        return Reply((await here.sessions.login(user)).encode())
    if verb.endswith("/revoke_all"):
        return Reply(str(await here.sessions.revoke_all(user)).encode())
    if user == "revoke_others":
        return Reply(str(await here.sessions.revoke_others()).encode())
    if user == "logout":
        await here.sessions.logout()
        return Reply(b"bye")
    if user == "me":
        session = here.sessions.current
        return Reply(b"nobody" if session is None else session.user_id.encode())
    return Reply()


class House(ABC):
    """An application behind a door."""

    def __init__(self, handler: Handler, backend: Any, *, around: Any = None, **settings: Any) -> None:
        self.handler = handler
        self.around = around
        """An application of some framework, in place of the handler's."""
        self.backend = backend
        self.settings: dict[str, Any] = {"secrets": [SECRET], **settings}
        self.seen: list[Here] = []
        """What the application saw."""
        self.sent: Any = None
        """The scope or environ that the server made."""
        self.body_reads = 0
        """How often anybody wanted the body."""
        self.open()

    async def handle(self, here: Here) -> Reply:
        self.seen.append(here)
        return await self.handler(here)

    @abstractmethod
    def open(self) -> None: ...

    @abstractmethod
    def ask(
        self,
        method: str,
        path: str,
        *fields: tuple[str, str],
        query: str = "",
        body: bytes = b"",
        mount: str = "",
        shows_raw: bool = True,
        base: dict[str, Any] | None = None,
    ) -> Answer:
        """One request. ``path`` is below ``mount``, as it stands in the request line; ``base`` goes into scope or environ."""

    def close(self) -> None:
        """Close the backend, and what the side has opened."""
        close = getattr(self.backend, "close", None)
        if close is not None:
            close()


# --- ASGI -------------------------------------------------------------------------------------------------------------


class ASGIHere(Here):
    def __init__(self, scope: Any, send: Any) -> None:
        super().__init__(scope)
        self._send = send

    @property
    def sessions(self) -> Any:
        return sessionward.of(self.mapping)

    @property
    def path(self) -> str:
        return str(self.mapping["path"])

    @property
    def method(self) -> str:
        return str(self.mapping["method"])

    def header(self, name: str) -> str | None:
        found = [value.decode("latin-1") for key, value in self.mapping["headers"] if key == name.lower().encode()]
        return ",".join(found) if found else None

    async def start(self, reply: Reply) -> None:
        self.has_started = True
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.fields]
        await self._send({"type": "http.response.start", "status": reply.status, "headers": fields})


def asgi_application(handler: Callable[[Here], Awaitable[Reply]]) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """The ASGI application around a handler."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        here = ASGIHere(scope, send)
        reply = await handler(here)
        if not here.has_started:
            await here.start(reply)
        await send({"type": "http.response.body", "body": reply.body})

    return application


class ASGIHouse(House):
    """Behind the ASGI door, with no server between."""

    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.app = sessionward.ASGIMiddleware(self.around or asgi_application(self.handle), self.backend, **self.settings)

    def scope(self, method: str, path: str, fields: Fields, query: str, mount: str) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "https",
            "method": method,
            "path": unquote_to_bytes(mount + path).decode(),
            "raw_path": (mount + path).encode(),
            "root_path": mount,
            "query_string": query.encode(),
            "headers": [(b"host", b"app.example")] + [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields],
            "client": ("192.0.2.7", 40000),
            "server": ("app.example", 443),
        }

    def ask(
        self,
        method: str,
        path: str,
        *fields: tuple[str, str],
        query: str = "",
        body: bytes = b"",
        mount: str = "",
        shows_raw: bool = True,
        base: dict[str, Any] | None = None,
    ) -> Answer:
        scope = self.scope(method, path, fields, query, mount)
        if not shows_raw:
            del scope["raw_path"]
        scope.update(base or {})
        self.sent = scope
        messages: list[Any] = []
        reads = self.body_reads

        async def receive() -> Any:
            self.body_reads += 1
            if self.body_reads > reads + 1:
                await asyncio.Event().wait()  # a client that stays
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        self.runner.run(self.app(scope, receive, send))
        start, *rest = messages
        assert start["type"] == "http.response.start"
        assert {message["type"] for message in rest} == {"http.response.body"}
        answered = [(bytes(name), bytes(value)) for name, value in start["headers"]]
        return Answer(
            start["status"],
            [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in answered],
            b"".join(message.get("body", b"") for message in rest),
        )

    def close(self) -> None:
        close = getattr(self.backend, "close", None)
        if close is not None:
            closed = close()
            if closed is not None:
                self.runner.run(awaited(closed))
        self.runner.close()


async def awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


# --- WSGI -------------------------------------------------------------------------------------------------------------


class _Awaited:
    """Sessions whose verbs are awaited."""

    def __init__(self, sessions: sessionward.Sessions) -> None:
        self._sessions = sessions

    @property
    def current(self) -> sessionward.Session | None:
        return self._sessions.current

    def __getattr__(self, verb: str) -> Any:
        verb_itself = getattr(self._sessions, verb)

        async def awaited(*args: Any, **keywords: Any) -> Any:
            return verb_itself(*args, **keywords)

        return awaited


def stepped(coroutine: Coroutine[Any, Any, Reply]) -> Reply:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("Reply", end.value)
    raise AssertionError("a handler has waited for something under WSGI")


class WSGIHere(Here):
    def __init__(self, environ: Environ, start_response: StartResponse) -> None:
        super().__init__(environ)
        self._start_response = start_response

    @property
    def sessions(self) -> Any:
        return _Awaited(sessionward.of(self.mapping))

    @property
    def path(self) -> str:
        return str(self.mapping["PATH_INFO"])

    @property
    def method(self) -> str:
        return str(self.mapping["REQUEST_METHOD"])

    def header(self, name: str) -> str | None:
        found: str | None = self.mapping.get("HTTP_" + name.upper().replace("-", "_"))
        return found

    async def start(self, reply: Reply) -> None:
        self.has_started = True
        self._start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", list(reply.fields))


class _CountedInput(io.BytesIO):
    def __init__(self, house: House, body: bytes) -> None:
        super().__init__(body)
        self._house = house

    def read(self, size: int | None = -1, /) -> bytes:
        self._house.body_reads += 1
        return super().read(size)


def wsgi_application(handler: Handler) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """The WSGI application around a handler."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        here = WSGIHere(environ, start_response)
        reply = stepped(handler(here))
        if not here.has_started:
            stepped(_started(here, reply))
        return [reply.body] if reply.body else []

    return application


class WSGIHouse(House):
    """Behind the WSGI door; a subclass says who looks over its shoulder."""

    def environ(self, method: str, path: str, fields: Fields, query: str, body: bytes, mount: str, *, shows_raw: bool) -> Environ:
        environ: Environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": mount,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "app.example",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_HOST": "app.example",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": _CountedInput(self, body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        if shows_raw:
            environ["REQUEST_URI"] = mount + path + ("?" + query if query else "")
        for name, value in fields:
            key = "HTTP_" + name.upper().replace("-", "_")
            joint = "; " if key == "HTTP_COOKIE" else ","
            environ[key] = environ[key] + joint + value if key in environ and key != "HTTP_HOST" else value
        return environ

    def ask(
        self,
        method: str,
        path: str,
        *fields: tuple[str, str],
        query: str = "",
        body: bytes = b"",
        mount: str = "",
        shows_raw: bool = True,
        base: dict[str, Any] | None = None,
    ) -> Answer:
        environ = self.environ(method, path, fields, query, body, mount, shows_raw=shows_raw)
        environ.update(base or {})
        self.sent = environ
        return self.serve(environ)

    @abstractmethod
    def serve(self, environ: Environ) -> Answer: ...


async def _started(here: Here, reply: Reply) -> Reply:
    await here.start(reply)
    return reply


class ValidatedHouse(WSGIHouse):
    """``wsgiref.validate`` on both sides of the door."""

    def open(self) -> None:
        inner: Any = self.around or wsgi_application(self.handle)
        door: Any = sessionward.WSGIMiddleware(validator(inner), self.backend, **self.settings)
        self.app: Any = validator(door)

    def serve(self, environ: Environ) -> Answer:
        heads: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            heads.append((status, fields))
            return lambda data: None

        chunks = self.app(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            chunks.close()
        ((status, fields),) = heads
        return Answer(int(status[:3]), [(name.lower(), value) for name, value in fields], body)


class WebTestHouse(WSGIHouse):
    """WebTest, with its lint on."""

    def open(self) -> None:
        door = sessionward.WSGIMiddleware(self.around or wsgi_application(self.handle), self.backend, **self.settings)
        self.door = door
        self.app = webtest.TestApp(door, lint=True)

    def serve(self, environ: Environ) -> Answer:
        self.app.reset()  # browsers of ours keep their cookies themselves
        answer = self.app.do_request(webtest.TestRequest(environ), expect_errors=True)
        return Answer(answer.status_int, [(name.lower(), value) for name, value in answer.headerlist], answer.body)


@dataclass(frozen=True)
class Builder:
    """Builds houses of one side."""

    side: str
    kind: type[House]
    built: list[House]

    @property
    def is_asgi(self) -> bool:
        return self.kind is ASGIHouse

    def __call__(self, handler: Handler = town, backend: Any = None, **settings: Any) -> House:
        house = self.kind(handler, Memory() if backend is None else backend, **settings)
        self.built.append(house)
        return house


SIDES: Final[dict[str, type[House]]] = {"asgi": ASGIHouse, "webtest": WebTestHouse, "wsgiref-validate": ValidatedHouse}


# --- who asks ---------------------------------------------------------------------------------------------------------


@dataclass
class Browser:
    """Keeps the session cookie of one house, as a browser does."""

    house: House
    name: str = COOKIE
    cookie: str | None = None
    others: list[str] = field(default_factory=list)
    """Other pairs that it sends along, in front."""

    def ask(self, method: str, path: str, *fields: tuple[str, str], **more: Any) -> Answer:
        pairs = [*self.others, *([] if self.cookie is None else [f"{self.name}={self.cookie}"])]
        answer = self.house.ask(method, path, *([("Cookie", "; ".join(pairs))] if pairs else []), *fields, **more)
        for set_cookie in answer.values("set-cookie"):
            pair, *attributes = set_cookie.split("; ")
            name, _, value = pair.partition("=")
            if name == self.name:
                self.cookie = None if "Max-Age=0" in attributes else value
        return answer

    def sign_in(self, user: str = "ann") -> str:
        """Sign in; the token."""
        answer = self.ask("POST", f"/login/{user}")
        assert answer.status == 200
        assert self.cookie is not None
        return answer.body.decode()

    def press(self, *fields: tuple[str, str], **more: Any) -> Answer:
        """The button: sign out my other devices."""
        return self.ask("DELETE", SESSIONS, *fields, **more)

    def me(self) -> str:
        answer = self.ask("GET", "/me")
        assert answer.status == 200
        return answer.body.decode()
