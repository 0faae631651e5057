"""What the doors must not change: bodies, their pace, background work, errors, and the small print of both protocols."""

from __future__ import annotations

import asyncio
import copy
import gc
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import a2wsgi
import flask
import pytest
import webtest  # type: ignore[import-untyped]
from sqlalchemy import make_url
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import sessionward
from sessionward.backends import Credential, NewSession
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.credential.token import new_token
from sessionward.identify import Carrier, Function
from sessionward.wsgi import Environ, StartResponse, WSGIApplication
from tests.doors.keepers import Memory
from tests.doors.served import CHUNK
from tests.doors.servers import PATIENCE, Client, Server, answered, memory_of, request, town_on
from tests.doors.sides import COOKIE, SECRET, Answer, ASGIHouse, Here, House, Reply, WebTestHouse
from tests.doors.test_scenarios import signed

# --- ASGI: bodies -----------------------------------------------------------------------------------------------------


def http_scope(*fields: tuple[str, str], path: str = "/") -> dict[str, Any]:
    headers = [(name.lower().encode(), value.encode()) for name, value in fields]
    return {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}


def live(backend: MemoryBackend) -> tuple[str, str]:
    """A header that signs Ann in."""
    house = ASGIHouse(_login, backend)
    try:
        return ("X-Session-Token", house.ask("POST", "/").body.decode())
    finally:
        house.close()


async def _login(here: Here) -> Reply:
    return Reply((await here.sessions.login("ann")).encode())


KINDS: Final = ["anonymous", "signed in", "signing in"]
"""Without a credential, with one, and with a login in the answer: the three ways through a door."""


@pytest.mark.parametrize("kind", KINDS)
def test_asgi_chunks_pass_one_by_one_and_neither_side_runs_ahead(kind: str) -> None:
    backend = Memory()
    fields = [live(backend)] if kind == "signed in" else []
    steps: list[str] = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        if kind == "signing in":
            await sessionward.of(scope).login("bob")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            steps.append(f"app got {message['body'].decode()}")
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})
            steps.append(f"app sent {message['body'].decode()}")

    async def meet() -> None:
        taken: asyncio.Queue[Any] = asyncio.Queue()
        resume = asyncio.Event()
        given = iter("abc")

        async def receive() -> Any:
            chunk = next(given)
            steps.append(f"client gives {chunk}")
            return {"type": "http.request", "body": chunk.encode(), "more_body": chunk != "c"}

        async def send(message: Any) -> None:
            await taken.put(message)
            await resume.wait()  # the client's window is full until it says otherwise
            resume.clear()

        serving = asyncio.create_task(door(http_scope(*fields), receive, send))
        assert (await taken.get())["type"] == "http.response.start"
        resume.set()
        for chunk in "abc":
            assert (await taken.get())["body"] == chunk.encode()
            assert steps[-2:] == [f"client gives {chunk}", f"app got {chunk}"]  # and nothing behind it
            resume.set()
        await serving

    door = sessionward.ASGIMiddleware(echo, backend, secrets=[SECRET])
    asyncio.run(asyncio.wait_for(meet(), PATIENCE))
    assert steps == [f"{who} {chunk}" for chunk in "abc" for who in ("client gives", "app got", "app sent")]


@pytest.mark.parametrize("kind", KINDS)
def test_asgi_messages_other_than_heads_pass_as_the_same_objects(kind: str) -> None:
    backend = Memory()
    fields = [live(backend)] if kind == "signed in" else []
    came: Any = {"type": "http.request", "body": b"", "more_body": False}
    got: list[Any] = []
    body, trailers = {"type": "http.response.body", "body": b"x"}, {"type": "http.response.trailers", "headers": []}
    pathsend = {"type": "http.response.pathsend", "path": "/x"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if kind == "signing in":
            await sessionward.of(scope).login("bob")
        got.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        for message in (pathsend, body, trailers):
            await send(message)

    async def receive() -> Any:
        return came

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(sessionward.ASGIMiddleware(app, backend, secrets=[SECRET])(http_scope(*fields), receive, send))
    assert got[0] is came
    assert sent[0]["trailers"] is True
    assert [one is other for one, other in zip(sent[1:], (pathsend, body, trailers), strict=True)] == [True] * 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["before the head", "after the head", "in the lifespan"])
def test_asgi_exceptions_of_the_application_pass_as_they_are(kind: str, when: str) -> None:
    backend = Memory()
    fields = [live(backend)] if kind == "signed in" else []
    failure = ZeroDivisionError("of the application")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise failure
        if kind == "signing in":
            await sessionward.of(scope).login("bob")
        if when == "after the head":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise failure

    async def receive() -> Any:
        return {}

    async def send(message: Any) -> None:
        return None

    scope = {"type": "lifespan"} if when == "in the lifespan" else http_scope(*fields)
    with pytest.raises(ZeroDivisionError) as raised:
        asyncio.run(sessionward.ASGIMiddleware(app, backend, secrets=[SECRET])(scope, receive, send))
    assert raised.value is failure


def test_asgi_an_unknown_kind_of_scope_passes() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    async def nothing(*_: Any) -> Any:
        return None

    scope = {"type": "webtransport"}
    asyncio.run(sessionward.ASGIMiddleware(app, MemoryBackend(), secrets=[SECRET])(scope, nothing, nothing))
    assert seen[0] is scope


# --- Starlette: background work, lifespan, streams --------------------------------------------------------------------


class Closing(Memory):
    """Says when it is closed, by a sync or an async ``close``."""

    def __init__(self, events: list[str], *, is_async: bool) -> None:
        super().__init__()
        self._events = events
        self._is_async = is_async

    def close(self) -> Any:
        if not self._is_async:
            self._events.append("backend closed")
            return None
        return self._aclose()

    async def _aclose(self) -> None:
        self._events.append("backend closed")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync close", "async close"])
def test_lifespan_passes_and_the_backend_closes_after_the_application(is_async: bool) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        events.append("startup")
        yield {"pool": "of the application"}
        events.append("shutdown")

    async def state(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.pool)

    app = Starlette(routes=[Route("/", state)], lifespan=lifespan)
    with TestClient(sessionward.ASGIMiddleware(app, Closing(events, is_async=is_async), secrets=[SECRET])) as client:
        assert client.get("/").text == "of the application"
        assert events == ["startup"]
    assert events == ["startup", "shutdown", "backend closed"]


def test_the_backend_closes_also_after_a_shutdown_that_fails() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        raise ZeroDivisionError

    app = Starlette(lifespan=lifespan)
    with (
        pytest.raises(ZeroDivisionError),
        TestClient(sessionward.ASGIMiddleware(app, Closing(events, is_async=False), secrets=[SECRET])),
    ):
        assert events == []
    assert events == ["backend closed"]


def town_of_starlette(backend: Any, events: list[str] | None = None) -> Any:
    """An application of Starlette behind the door."""
    told = [] if events is None else events

    async def login(request: Request) -> PlainTextResponse:
        token = await sessionward.of(request).login(request.path_params["user"])
        return PlainTextResponse(token, background=BackgroundTask(told.append, "after the answer"))

    async def me(request: Request) -> PlainTextResponse:
        session = sessionward.of(request).current
        return PlainTextResponse("nobody" if session is None else session.user_id)

    async def stream(request: Request) -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            for number in range(3):
                yield f"{number};"

        return StreamingResponse(chunks())

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text.upper())

    routes = [
        Route("/login/{user}", login, methods=["POST"]),
        Route("/me", me),
        Route("/stream", stream),
        WebSocketRoute("/echo", echo),
    ]
    return sessionward.ASGIMiddleware(Starlette(routes=routes), backend, secrets=[SECRET])


def test_background_tasks_streams_and_websockets_work_through_the_door() -> None:
    events: list[str] = []
    with TestClient(town_of_starlette(MemoryBackend(), events), "https://app.example") as client:
        for _ in range(2):  # anonymous, then signed in
            assert client.get("/stream").text == "0;1;2;"
            with client.websocket_connect("/echo") as socket:
                socket.send_text("hello")
                assert socket.receive_text() == "HELLO"
            client.post("/login/ann")
    assert events == ["after the answer"] * 2


# --- a second test client on the same application ---------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "sqlite, sync", "postgresql", "postgresql, sync", "asyncpg", "mariadb"])
def database(request: pytest.FixtureRequest, sqlite_url: str) -> Any:
    """A backend on a fresh database, of one driver, sync or async."""
    server, _, is_sync = request.param.partition(", ")
    of_a_server = "mariadb_url" if server == "mariadb" else "postgresql_url"
    url = sqlite_url if server == "sqlite" else request.getfixturevalue(of_a_server)
    aside = SQLBackend(url)
    aside.create_tables()
    aside.revoke_all("ann")
    aside.close()
    if is_sync:
        return SQLBackend(url, timeout=10)
    if server == "asyncpg":
        url = make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    return AsyncSQLBackend(url, timeout=10)


def test_a_second_test_client_finds_the_same_application_at_work(database: Any) -> None:
    door = town_of_starlette(database)
    with TestClient(door, "https://app.example") as first:
        first.post("/login/ann").raise_for_status()
        assert first.get("/me").text == "ann"
        with TestClient(door, "https://app.example") as second:
            second.post("/login/ann").raise_for_status()
            assert second.get("/me").text == "ann"
            assert first.get("/me").text == "ann"
        assert first.get("/me").text == "ann"
    third = TestClient(door, "https://app.example", cookies=dict(first.cookies))  # without `with`: a loop for each request
    assert third.get("/me").text == "ann"
    fourth = TestClient(door, "https://app.example")
    fourth.post("/login/ann").raise_for_status()
    assert third.delete("/auth/sessions").json() == {"count": 2}
    assert [third.get("/me").text, fourth.get("/me").text] == ["ann", "nobody"]
    with TestClient(door, "https://app.example", cookies=dict(third.cookies)) as fifth:
        assert fifth.get("/me").text == "ann"
    gc.collect()  # connections that nobody closed would warn now, and warnings are errors


# --- WSGI -------------------------------------------------------------------------------------------------------------


class Served:
    """What a WSGI server would have seen."""

    def __init__(self, app: WSGIApplication, *fields: tuple[str, str], backend: Any = None, method: str = "GET") -> None:
        self.backend = Memory() if backend is None else backend
        self.heads: list[tuple[str, list[tuple[str, str]], Any]] = []
        self.written: list[bytes] = []
        self.is_out = False
        self.environ: Environ = {"REQUEST_METHOD": method, "PATH_INFO": "/", "SCRIPT_NAME": "", "wsgi.url_scheme": "https"}
        self.environ.update({"HTTP_" + name.upper().replace("-", "_"): value for name, value in fields})
        self.door = sessionward.WSGIMiddleware(app, self.backend, secrets=[SECRET])

    def call(self) -> Iterable[bytes]:
        return self.door(self.environ, self.start_response)

    def start_response(self, status: str, fields: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], None]:
        if exc_info is not None and self.is_out:
            raise exc_info[1]
        assert exc_info is not None or not self.heads, "a second head without exc_info"
        self.heads.append((status, fields, exc_info))
        return self.write

    def write(self, data: bytes) -> None:
        self.is_out = True
        self.written.append(data)

    def run(self) -> bytes:
        """Serve as a server does: iterate, then close."""
        chunks = self.call()
        try:
            for chunk in chunks:
                self.write(chunk)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return b"".join(self.written)

    def cookies(self) -> list[str]:
        return [value.partition("=")[0] for name, value in self.heads[-1][1] if name.lower() == "set-cookie"]


class Body:
    """An iterable that counts how often it is closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        self.closed += 1


def served(kind: str, app: WSGIApplication) -> Served:
    """An application that is called in one of the three ways through the door."""

    def signing_in(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sessionward.of(environ).login("bob")
        return app(environ, start_response)

    backend = Memory()
    fields = [live(backend)] if kind == "signed in" else []
    return Served(signing_in if kind == "signing in" else app, *fields, backend=backend)


HEAD: Final = ("200 OK", [("Content-Type", "text/plain")])


@pytest.mark.parametrize("kind", KINDS)
def test_wsgi_an_iterable_is_handed_on_as_it_is_once_the_head_is_given(kind: str) -> None:
    body = Body(b"a", b"b")  # as a server's wsgi.file_wrapper makes one

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(*HEAD)
        return body

    server = served(kind, app)
    assert server.call() is body
    assert (len(server.heads), body.closed) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_late", [False, True], ids=["head first", "head with the first chunk"])
def test_wsgi_close_is_called_exactly_once(kind: str, is_late: bool) -> None:
    body = Body(b"a", b"b")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not is_late:
            start_response(*HEAD)
            return body
        return Late(body, start_response)

    class Late:
        def __init__(self, inner: Body, start_response: StartResponse) -> None:
            self._inner = inner
            self._start_response = start_response

        def __iter__(self) -> Iterator[bytes]:
            self._start_response(*HEAD)
            yield from self._inner

        def close(self) -> None:
            self._inner.close()

    server = served(kind, app)
    assert server.run() == b"ab"
    assert body.closed == 1
    assert server.cookies() == ([COOKIE] if kind == "signing in" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_wsgi_a_generator_may_give_its_head_late_and_nothing_runs_ahead(kind: str) -> None:
    steps: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(*HEAD)
        for chunk in (b"a", b"", b"b"):
            steps.append(f"app gives {chunk.decode()}")
            yield chunk

    server = served(kind, app)
    chunks = iter(server.call())
    assert steps == []
    for chunk in (b"a", b"", b"b"):
        assert next(chunks) == chunk
        steps.append("server has it")
    assert next(chunks, None) is None
    assert steps == ["app gives a", "server has it", "app gives ", "server has it", "app gives b", "server has it"]
    assert len(server.heads) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["an empty list", "an empty generator"])
def test_wsgi_an_empty_answer_has_its_head(kind: str, shape: str) -> None:
    def listed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("204 No Content", [])
        return []

    def generated(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("204 No Content", [])
        yield from ()

    server = served(kind, listed if shape == "an empty list" else generated)
    assert server.run() == b""
    assert server.heads[0][0] == "204 No Content"
    assert server.cookies() == ([COOKIE] if kind == "signing in" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_wsgi_write_sends_at_once_and_in_order(kind: str) -> None:
    seen: list[list[bytes]] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response(*HEAD)
        for data in (b"a", b"b"):
            write(data)
            seen.append([*server.written])
        return [b"c"]

    server = served(kind, app)
    assert server.run() == b"abc"
    assert seen == [[b"a"], [b"a", b"b"]]
    assert len(server.heads) == 1
    assert server.cookies() == ([COOKIE] if kind == "signing in" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_wsgi_exc_info_replaces_a_head_that_is_not_out(kind: str) -> None:
    failure = ZeroDivisionError("of the application")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(*HEAD)
        try:
            raise failure
        except ZeroDivisionError as error:
            start_response("500 Internal Server Error", [("X-Sorry", "1")], (type(error), error, error.__traceback__ or _no_traceback()))
        return [b"sorry"]

    server = served(kind, app)
    assert server.run() == b"sorry"
    status, fields, exc_info = server.heads[-1]
    assert (status, ("X-Sorry", "1") in fields) == ("500 Internal Server Error", True)
    assert exc_info[1] is failure


def test_wsgi_exc_info_takes_back_a_cookie_of_ours_that_waited() -> None:
    failure = ZeroDivisionError("of the application")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Set-Cookie", f"{COOKIE}=again")])
        try:
            raise failure
        except ZeroDivisionError as error:
            start_response("500 Internal Server Error", [("X-Sorry", "1")], (type(error), error, error.__traceback__ or _no_traceback()))
        return [b"sorry"]

    server = served("signed in", app)
    assert server.run() == b"sorry"
    assert [(status, fields) for status, fields, _ in server.heads] == [("500 Internal Server Error", [("X-Sorry", "1")])]


def _no_traceback() -> Any:
    raise AssertionError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_late", [False, True], ids=["head first", "head with the first chunk"])
def test_wsgi_exc_info_after_the_first_bytes_is_raised_again_by_the_server(kind: str, is_late: bool) -> None:
    body = Body()
    failure = ZeroDivisionError("of the application")

    class Failing(Body):
        def __init__(self, start_response: StartResponse) -> None:
            super().__init__()
            self._start_response = start_response

        def __iter__(self) -> Iterator[bytes]:
            if is_late:
                self._start_response(*HEAD)
            yield b"a"
            try:
                raise failure
            except ZeroDivisionError as error:
                self._start_response("500 Internal Server Error", [], (type(error), error, error.__traceback__ or _no_traceback()))

        def close(self) -> None:
            body.close()

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not is_late:
            start_response(*HEAD)
        return Failing(start_response)

    server = served(kind, app)
    with pytest.raises(ZeroDivisionError) as raised:
        server.run()
    assert raised.value is failure
    assert (server.written, body.closed, len(server.heads)) == ([b"a"], 1, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["in the call", "in the first chunk", "in a later chunk", "in close"])
def test_wsgi_exceptions_of_the_application_pass_as_they_are(kind: str, when: str) -> None:
    failure = ZeroDivisionError("of the application")
    closed: list[str] = []

    class Failing:
        def __init__(self, start_response: StartResponse) -> None:
            self._start_response = start_response

        def __iter__(self) -> Iterator[bytes]:
            if when == "in the first chunk":
                raise failure
            self._start_response(*HEAD)
            yield b"a"
            if when == "in a later chunk":
                raise failure

        def close(self) -> None:
            closed.append("closed")
            if when == "in close":
                raise failure

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if when == "in the call":
            raise failure
        return Failing(start_response)

    with pytest.raises(ZeroDivisionError) as raised:
        served(kind, app).run()
    assert raised.value is failure
    assert closed == ([] if when == "in the call" else ["closed"])


@pytest.mark.parametrize("when", ["with a login whose head is refused by the server", "with a backend that fails at the head"])
def test_wsgi_close_is_called_also_if_the_head_cannot_go_out(when: str) -> None:
    body = Body(b"a")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sessionward.of(environ).login("bob")
        start_response(*HEAD)
        return body

    class Refusing(Served):
        def start_response(self, status: str, fields: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], None]:
            raise ZeroDivisionError

    server = Refusing(app)
    if when == "with a backend that fails at the head":

        def stop() -> None:
            raise KeyboardInterrupt

        server.backend.on_find = stop
    with pytest.raises((ZeroDivisionError, KeyboardInterrupt)):
        server.call()
    assert body.closed == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")], ids=["HEAD", "204", "304"]
)
def test_wsgi_an_answer_without_a_body_gains_none_and_keeps_its_length(kind: str, method: str, status: str) -> None:
    fields = [("Content-Length", "42"), ("ETag", '"x"')] if method == "HEAD" else [("ETag", '"x"')]

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, list(fields))
        return []

    server = served(kind, app)
    server.environ["REQUEST_METHOD"] = method
    assert server.run() == b""
    kept = [field for field in server.heads[0][1] if field[0].lower() not in ("set-cookie", "cache-control")]
    assert (server.heads[0][0], kept) == (status, fields)


def test_wsgi_an_environ_without_a_method_is_the_applications_own_affair() -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(*HEAD)
        return [b"a"]

    server = served("anonymous", app)
    del server.environ["REQUEST_METHOD"]
    assert server.run() == b"a"


@pytest.mark.parametrize("kind", KINDS)
def test_wsgi_start_response_takes_exc_info_by_name_as_that_of_servers_does(kind: str) -> None:
    failure = ZeroDivisionError("of the application")

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(*HEAD, exc_info=None)
        try:
            raise failure
        except ZeroDivisionError:
            start_response("500 Internal Server Error", [("X-Sorry", "1")], exc_info=sys.exc_info())
        return [b"sorry"]

    server = served(kind, app)
    assert server.run() == b"sorry"
    status, _, exc_info = server.heads[-1]
    assert (status, exc_info[1]) == ("500 Internal Server Error", failure)


@pytest.mark.parametrize("kind", KINDS)
def test_wsgi_an_iterable_is_handed_on_as_it_is_also_if_it_gives_the_head_late(kind: str) -> None:
    given: list[Iterator[bytes]] = []

    def late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response(*HEAD)
        yield b"a"

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        given.append(late(environ, start_response))
        return given[0]

    server = served(kind, app)
    body = server.call()
    assert body is given[0]
    assert [*body] == [b"a"]
    assert server.cookies() == ([COOKIE] if kind == "signing in" else [])


# --- both: what the application has beside its call, and how it is called -------------------------------------------------


@pytest.mark.parametrize("door", [sessionward.ASGIMiddleware, sessionward.WSGIMiddleware])
def test_what_else_the_application_has_is_found_on_the_middleware(door: Any) -> None:
    class App:
        script_name = "/calibre"
        __wrapped__ = "what inspect would look at"

        def __call__(self) -> None: ...

    around = door(App(), Memory(), secrets=[SECRET])
    assert around.script_name == "/calibre"
    assert not hasattr(around, "nothing")
    assert not hasattr(around, "__wrapped__")
    with pytest.raises(AttributeError, match="'App' object has no attribute 'nothing'"):
        _ = around.nothing
    assert copy.copy(around).script_name == "/calibre"


def _nested(values: Any) -> Any:
    """Iterators of iterators, as Falcon's test client gives them."""
    return iter([iter(value) if isinstance(value, tuple) else value for value in values])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("kind", ["anonymous", "signed in"])
@pytest.mark.parametrize(
    "shape",
    [iter, tuple, list, lambda fields: (field for field in fields), _nested],
    ids=["iterator", "tuple", "list", "generator", "nested"],
)
@pytest.mark.parametrize("scope_type", ["http", "websocket"])
def test_asgi_headers_may_be_any_iterable(scope_type: str, shape: Any, kind: str, method: str) -> None:
    backend = Memory()
    fields = [("accept", "*/*"), *([live(backend)] if kind == "signed in" else [])]
    scope = http_scope(*fields, path="/auth/sessions" if method == "DELETE" else "/")
    scope |= {"type": scope_type, "method": method}
    given = [*scope["headers"]]
    scope["headers"] = shape(given)
    scope["client"] = shape(["192.0.2.7", 4711])
    if scope_type == "websocket":
        del scope["method"]
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append([(name, value) for name, value in scope["headers"]])
        assert [*scope["client"]] == ["192.0.2.7", 4711]

    async def send(message: Any) -> None:
        seen.append(message.get("status"))

    async def receive() -> Any:
        raise AssertionError

    asyncio.run(sessionward.ASGIMiddleware(app, backend, secrets=[SECRET])(scope, receive, send))
    is_ours = method == "DELETE" and scope_type == "http"
    assert seen[0] == ((200 if kind == "signed in" else 401) if is_ours else given)


@pytest.mark.parametrize("kind", ["anonymous", "signed in"])
@pytest.mark.parametrize(
    "identify", [None, Function(lambda name, value: value, headers=[Carrier.header("X-Access-Token")])], ids=["own", "companion"]
)
@pytest.mark.parametrize("name", [b"x_session_token", b"x-session_token", b"x_access_token", b"x_access-token"])
def test_asgi_a_twin_of_a_credentials_field_is_taken_out_since_a_bridge_would_fold_it(name: bytes, identify: Any, kind: str) -> None:
    backend = MemoryBackend()
    token = backend_token(backend)
    scope = http_scope(("accept", "*/*"))
    scope["headers"] += [(name, token.encode()), *([(b"x-session-token", token.encode())] if kind == "signed in" else [])]
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(field for field, _ in scope["headers"])

    asyncio.run(sessionward.ASGIMiddleware(app, backend, secrets=[SECRET], identify=identify)(scope, _never, _never))
    passes = identify is None and b"access" in name  # the application's own affair
    assert [field for field in seen if b"_" in field] == ([name] if passes else [])
    assert seen[0] == b"accept"
    assert (b"x-session-token" in seen) is (kind == "signed in")


def backend_token(backend: MemoryBackend) -> str:
    token = new_token()
    backend.login(NewSession(user_id="ann", digest=Credential(token.encode()).digest, lifetime=1000))
    return token


async def _never(*_: Any) -> Any:
    raise AssertionError


# --- both: applications of the other kind, mounted by a bridge ----------------------------------------------------------


def test_of_finds_the_sessions_of_the_middleware_around_the_application_that_mounts_this_one() -> None:
    def mounted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sessions = sessionward.of(flask.Request(environ))
        assert isinstance(sessions, sessionward.Sessions)
        token = sessions.login("ann")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{token} {sessions.current and sessions.current.user_id}".encode()]

    app = sessionward.ASGIMiddleware(cast("Any", a2wsgi.WSGIMiddleware)(mounted), Memory(), secrets=[SECRET])
    with TestClient(app, base_url="https://app.example") as browser:
        answer = browser.get("/")
        assert answer.text.endswith(" ann")
        assert COOKIE in answer.cookies
        assert browser.get("/").text.endswith(" ann")


def test_of_finds_them_also_where_the_outer_application_is_wsgi() -> None:
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        sessions = sessionward.of(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(sessions.current and sessions.current.user_id).encode()})

    backend = Memory()
    app = sessionward.WSGIMiddleware(cast("WSGIApplication", cast("Any", a2wsgi.ASGIMiddleware)(mounted)), backend, secrets=[SECRET])
    assert webtest.TestApp(app).get("/", headers=[live(backend)]).text == "ann"


# --- both: cookies of the application ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("house", [ASGIHouse, WebTestHouse], ids=["asgi", "wsgi"])
def test_cookies_of_the_application_keep_their_number_and_order(house: type[House], kind: str) -> None:
    cookies = ["a=1; Path=/", "b=2; Path=/", "a=1; Path=/", "session=3", f"x{COOKIE}=4", "a=5"]

    async def app(here: Here) -> Reply:
        if kind == "signing in":
            await here.sessions.login("bob")
        return Reply(fields=[("Content-Type", "text/plain"), *(("Set-Cookie", value) for value in cookies)])

    backend = Memory()
    fields = [live(backend)] if kind == "signed in" else []
    built = house(app, backend)
    answer: Answer = built.ask("GET", "/", *fields)
    built.close()
    found = answer.values("set-cookie")
    assert [value for value in found if value in cookies] == cookies
    assert len(found) == len(cookies) + (kind == "signing in")


# --- behind real servers ----------------------------------------------------------------------------------------------

MUCH: Final = 100 * 1024 * 1024 // CHUNK * CHUNK
GROWTH: Final = 30 * 1024 * 1024
"""Bytes by which a server may grow while it passes 100 MB on."""


@pytest.fixture(scope="module", params=["uvicorn h11", "uvicorn httptools", "gunicorn sync", "waitress"])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with town_on(request.param, tmp_path_factory.mktemp("town")) as server:
        yield server


def worker_of(server: Server) -> int:
    return int(server.ask("GET", "/me").value("x-process"))


@pytest.mark.parametrize("is_signed_in", [False, True], ids=["anonymous", "signed in"])
def test_100_megabytes_pass_both_ways_in_flat_memory(real: Server, is_signed_in: bool) -> None:
    client = Client(real)
    client.sign_in()
    fields = [("Cookie", client.cookie)] if is_signed_in else []
    worker = worker_of(real)
    before = memory_of(worker)["VmRSS"]
    with real.connect() as connection:
        sender = threading.Thread(target=_send_much, args=(connection, request("POST", "/upload", *fields, ("Content-Length", str(MUCH)))))
        sender.start()
        answer = answered(connection, "POST")
        sender.join(PATIENCE)
    assert (answer.status, answer.body) == (200, str(MUCH).encode())
    with real.connect() as connection:
        connection.sendall(request("GET", f"/download/{MUCH}", *fields))
        received = 0
        with connection.makefile("rb") as stream:
            while data := stream.read(CHUNK):
                received += len(data)
    assert received >= MUCH
    assert memory_of(worker)["VmHWM"] - before < GROWTH


def _send_much(connection: Any, head: bytes) -> None:
    connection.sendall(head)
    chunk = b"x" * CHUNK
    for _ in range(MUCH // CHUNK):
        connection.sendall(chunk)


@pytest.fixture(params=["uvicorn h11", "uvicorn httptools", "hypercorn", "wsgiref"])
def duplex(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Servers that let an application answer while its request is still coming."""
    with town_on(request.param, tmp_path) as server:
        yield server


def test_chunks_go_to_and_fro_on_the_wire_each_before_the_next(duplex: Server) -> None:
    client = Client(duplex)
    client.sign_in()
    for fields in ([], [("Cookie", client.cookie)]):
        with duplex.connect() as connection:
            connection.sendall(request("POST", "/echo", ("Content-Length", "15"), *fields))
            received = b""
            for chunk in (b"one..", b"two..", b"three"):
                connection.sendall(chunk)
                while chunk not in received:
                    data = connection.recv(65_536)
                    assert data, received
                    received += data
            while data := connection.recv(65_536):
                received += data
        assert re.findall(rb"one\.\.|two\.\.|three", received) == [b"one..", b"two..", b"three"]


def test_an_invalid_credential_costs_a_body_nothing(real: Server) -> None:
    answer = real.ask("POST", "/upload", ("Cookie", f"{COOKIE}={signed(new_token())}"), body=b"x" * 300_000)
    assert (answer.status, answer.body) == (200, b"300000")
