"""The requests and the applications that are measured: as a server makes them, and as small as they come."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice, repeat
from threading import Thread
from time import perf_counter, thread_time
from typing import Any, Final, TypeAlias, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import sessionward
from sessionward.wsgi import Environ, StartResponse, WSGIApplication
from tests.benchmarks.measure import Timed, p50

T = TypeVar("T")

SECRET = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"

Fields: TypeAlias = Sequence[tuple[str, str]]

Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]
"""Has a coroutine run by a loop, and waits for what it returns."""

BATCH: Final = 20
"""Requests that are made at a time."""

FIELDS: Final[Fields] = (
    ("host", "app.example"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("referer", "https://app.example/"),
    ("connection", "keep-alive"),
    ("upgrade-insecure-requests", "1"),
)
"""Eight fields of a browser that has no cookie yet."""


def with_own_cookies() -> Fields:
    """The same, with cookies of the application in place of one."""
    return _in_place("upgrade-insecure-requests", ("cookie", "theme=dark; csrftoken=Zr4Xw0bM2nQ8uT6yL1sK9pVaHc3jEdGf"))


def with_cookie(name: str, value: str) -> Fields:
    """The same, with our cookie and one of the application in place of one."""
    return _in_place("upgrade-insecure-requests", ("cookie", f"theme=dark; {name}={value}"))


def with_header(token: str) -> Fields:
    """The same, with a header token in place of one."""
    return _in_place("upgrade-insecure-requests", ("x-session-token", token))


def _in_place(name: str, other: tuple[str, str]) -> Fields:
    return [other if field[0] == name else field for field in FIELDS]


@contextmanager
def event_loop() -> Iterator[Run]:
    """A loop that runs all the while, as under a server: anyio gives up its threads with the task that a loop was started for."""
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    thread = Thread(target=loop.run_until_complete, args=(over.wait(),))
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result()
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


# --- ASGI -------------------------------------------------------------------------------------------------------------


def scope_of(fields: Fields) -> Scope:
    """As uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "https",
        "method": "GET",
        "root_path": "",
        "path": "/account",
        "raw_path": b"/account",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in fields],
        "state": {},
    }


_START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"), (b"content-length", b"2")]}
_BODY: Message = {"type": "http.response.body", "body": b"ok"}


async def asgi_application(scope: Scope, receive: Receive, send: Send) -> None:
    await send(_START)
    await send(_BODY)


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    return None


async def signed_in_asgi_application(scope: Scope, receive: Receive, send: Send) -> None:
    """For a look before measuring: what is measured must be a live session."""
    assert sessionward.of(scope).current is not None
    await asgi_application(scope, receive, send)


def asgi_requests(application: ASGIApp, fields: Fields, run: Run) -> Timed:
    """Serve so many requests one after another. Each has a scope of its own, as from a server; making it is not timed.

    They wait for nothing, so what is timed is the thread's processor time, which other processes do not change.
    """
    return asgi_requests_in_turn(application, [fields], run)


def asgi_requests_in_turn(application: ASGIApp, browsers: Sequence[Fields], run: Run) -> Timed:
    """The same for several browsers, one after another."""
    turns = cycle(browsers)

    async def serve(number: int) -> float:
        seconds = 0.0
        for size in _batches(number):
            scopes = [scope_of(fields) for fields in islice(turns, size)]
            began = thread_time()
            for scope in scopes:
                await application(scope, receive, send)
            seconds += thread_time() - began
        return seconds

    return lambda number: float(run(serve(number)))


def asgi_requests_that_wait(application: ASGIApp, browsers: Sequence[Fields], run: Run) -> Timed:
    """The same for requests that wait for others: one at a time, by their p50."""
    turns = cycle(browsers)

    async def serve(number: int) -> float:
        seconds: list[float] = []
        for fields in islice(turns, number):
            scope = scope_of(fields)
            began = perf_counter()
            await application(scope, receive, send)
            seconds.append(perf_counter() - began)
        return p50(seconds)

    return lambda number: float(run(serve(number)))


def _batches(number: int) -> Iterator[int]:
    """Few at a time, since a server's next request is warm in the processor's cache as well."""
    whole, rest = divmod(number, BATCH)
    yield from repeat(BATCH, whole)
    if rest:
        yield rest


def awaited(work: Callable[[T], Awaitable[object]], each: Iterable[T], run: Run) -> Timed:
    """A piece of work that waits for others, for each of these in turn, awaited and timed."""
    turns = cycle(each)

    async def timed(number: int) -> float:
        seconds: list[float] = []
        for item in islice(turns, number):
            began = perf_counter()
            await work(item)
            seconds.append(perf_counter() - began)
        return p50(seconds)

    return lambda number: float(run(timed(number)))


# --- WSGI -------------------------------------------------------------------------------------------------------------


def environ_of(fields: Fields) -> Environ:
    """As gunicorn makes it."""
    return {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "SERVER_SOFTWARE": "gunicorn",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": "GET",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/account",
        "RAW_URI": "/account",
        "QUERY_STRING": "",
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in fields},
    }


def wsgi_application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def signed_in_application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """For a look before measuring: what is measured must be a live session."""
    assert sessionward.of(environ).current is not None
    return wsgi_application(environ, start_response)


def _write(data: bytes, /) -> None: ...


def _start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
    return _write


def wsgi_requests(application: WSGIApplication, fields: Fields) -> Timed:
    """The same as under ASGI; each body is read and closed, as a server does."""
    return wsgi_requests_in_turn(application, [fields])


def wsgi_requests_in_turn(application: WSGIApplication, browsers: Sequence[Fields]) -> Timed:
    """The same for several browsers, one after another."""
    turns = cycle(browsers)

    def serve(number: int) -> float:
        seconds = 0.0
        for size in _batches(number):
            environs = [environ_of(fields) for fields in islice(turns, size)]
            began = thread_time()
            for environ in environs:
                _serve(application, environ)
            seconds += thread_time() - began
        return seconds

    return serve


def wsgi_requests_that_wait(application: WSGIApplication, browsers: Sequence[Fields]) -> Timed:
    """The same for requests that wait for others: one at a time, by their p50."""
    turns = cycle(browsers)

    def serve(number: int) -> float:
        seconds: list[float] = []
        for fields in islice(turns, number):
            environ = environ_of(fields)
            began = perf_counter()
            _serve(application, environ)
            seconds.append(perf_counter() - began)
        return p50(seconds)

    return serve


def _serve(application: WSGIApplication, environ: Environ) -> None:
    body = application(environ, _start_response)
    for _ in body:
        pass
    close = getattr(body, "close", None)
    if close is not None:
        close()
