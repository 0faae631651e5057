"""What the session API pays: whoami beside a guarded request, the list beside its bare SELECT, and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from time import thread_time
from typing import Any, Final

import psycopg

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import SQLBackend
from tests.benchmarks.databases import postgresql
from tests.benchmarks.measure import (
    Effort,
    LeftOut,
    Result,
    Row,
    Timed,
    alternate,
    compared,
    duration,
    repeated,
    typical,
)
from tests.benchmarks.requests import (
    SECRET,
    Fields,
    Run,
    asgi_application,
    environ_of,
    event_loop,
    receive,
    scope_of,
    send,
    with_cookie,
    wsgi_application,
)
from tests.benchmarks.revoke_others import fill
from tests.benchmarks.signing import COOKIE, Browsers, signed, tokens

SESSIONS: Final = 20
PAGE_LIMIT: Final = 0.002
"""Seconds."""
WHOAMI = "whoami in process"
LIST = f"list of {SESSIONS} sessions of a user, PostgreSQL, p50"
PAGE = f"the page Your devices with {SESSIONS} sessions, in process"


def measure(effort: Effort) -> Iterator[Result]:
    memory = MemoryBackend()
    browsers = Browsers.signed_in(memory)
    with event_loop() as run:
        guarded = ASGIMiddleware(asgi_application, memory, secrets=[SECRET])
        served = ASGIMiddleware(asgi_application, memory, secrets=[SECRET], api=True)
        whoami = b"/auth/sessions/whoami"
        sides = {
            "guarded": _asgi(guarded, browsers.cookies(), b"/account", run),
            "passed on": _asgi(served, browsers.cookies(), b"/account", run),
            "whoami": _asgi(served, browsers.cookies(), whoami, run),
        }
        for serve in sides.values():  # each browser has been seen before, and its session has been written as JSON
            serve(len(browsers.cookies()))
        rounds = alternate(sides, effort)
        yield compared(f"{WHOAMI}, ASGI, memory", rounds["whoami"], "a guarded request", rounds["guarded"], 1.3)
        yield compared("a guarded request with api=True", rounds["passed on"], "without it", rounds["guarded"], None)
        yield from _page(memory, run, effort)
    yield from _on_postgresql(effort)


def _asgi(application: Any, browsers: Sequence[Fields], path: bytes, run: Run, accept: bytes = b"") -> Timed:
    turns = cycle(browsers)

    async def serve(number: int) -> float:
        seconds = 0.0
        for fields in islice(turns, number):
            scope = {**scope_of(fields), "path": path.decode(), "raw_path": path}
            if accept:
                scope["headers"] = [(name, accept if name == b"accept" else value) for name, value in scope["headers"]]
            began = thread_time()
            await application(scope, receive, send)
            seconds += thread_time() - began
        return seconds

    return lambda number: float(run(serve(number)))


def _page(memory: MemoryBackend, run: Run, effort: Effort) -> Iterator[Result]:
    token = tokens(memory, "ada", SESSIONS + 1)[-1]
    fields = [with_cookie(COOKIE, signed(token))]
    served = ASGIMiddleware(asgi_application, memory, secrets=[SECRET], api=True)
    rounds = alternate(
        {
            "page": _asgi(served, fields, b"/auth/sessions", run, b"text/html,*/*;q=0.8"),
            "json": _asgi(served, fields, b"/auth/sessions", run, b"application/json"),
        },
        effort,
    )
    beside = f"the same list as JSON {typical(rounds['json'])}"
    yield Row(PAGE, typical(rounds["page"]), beside, rounds["page"], duration, PAGE_LIMIT)


def _on_postgresql(effort: Effort) -> Iterator[Result]:
    quick = effort.rounds < Effort.full().rounds
    rows = 100_000 if quick else 1_000_000
    with postgresql() as urls:
        if not urls:
            yield LeftOut(LIST, "no PostgreSQL answers")
            return
        backend = SQLBackend(urls[0], timeout=30)
        backend.create_tables()
        with psycopg.connect(urls[0], autocommit=True) as connection:
            fill(connection, "crowd ", rows // SESSIONS, rows)
            users = [f"user {number}" for number in range(50)]
            signed_in = {user: tokens(backend, user, SESSIONS + 1)[-1] for user in users}
            connection.execute(b"VACUUM ANALYZE sessionward_sessions")
            yield from _listed(backend, connection, signed_in, effort, rows)
        backend.close()


SELECT: Final = (
    b"SELECT id, issued_at, authenticated_at, expires_at, last_seen_at, methods, ip_address, user_agent FROM sessionward_sessions"
    b" WHERE user_id = %s AND ended_at IS NULL AND expires_at > now() ORDER BY issued_at DESC, id DESC LIMIT 251"
)


def _listed(
    backend: SQLBackend, connection: psycopg.Connection[Any], signed_in: dict[str, str], effort: Effort, rows: int
) -> Iterator[Result]:
    users = list(signed_in)
    assert len(backend.list(users[0])) == SESSIONS + 1
    door = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET], api=True)
    cookies = [with_cookie(COOKIE, signed(token)) for token in signed_in.values()]
    sides = {
        "select": repeated(lambda user: connection.execute(SELECT, (user,)).fetchall(), users),
        "list": repeated(lambda user: backend.list(user, limit=251), users),
        "call": repeated(_call(door, "/auth/sessions"), cookies),
        "guarded": repeated(_call(door, "/account"), cookies),
        "whoami": repeated(_call(door, "/auth/sessions/whoami"), cookies),
    }
    rounds = alternate(sides, effort.longer())
    select = "a bare SELECT of the same rows"
    yield compared(f"{LIST}, among {rows:,}: backend.list()", rounds["list"], select, rounds["select"], 2.0)
    yield compared("the same: GET /auth/sessions, its check included", rounds["call"], select, rounds["select"], None)
    yield compared("whoami, WSGI, PostgreSQL", rounds["whoami"], "a guarded request", rounds["guarded"], 1.3)


def _call(door: Any, path: str) -> Callable[[Fields], object]:
    def call(fields: Fields) -> object:
        environ = {**environ_of(fields), "PATH_INFO": path, "RAW_URI": path, "HTTP_ACCEPT": "application/json"}
        return b"".join(door(environ, lambda *_head: None))

    return call
