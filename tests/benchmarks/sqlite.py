"""What a guarded request pays on SQLite, beside the one SELECT that it cannot do without."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.credential.token import Credential
from tests.benchmarks.measure import Effort, Result, Row, added, alternate, ratios, repeated, times, typical
from tests.benchmarks.requests import (
    SECRET,
    asgi_application,
    asgi_requests_that_wait,
    event_loop,
    signed_in_application,
    with_header,
    wsgi_application,
    wsgi_requests_that_wait,
)
from tests.benchmarks.signing import select_of_the_row, signed_in


def measure(effort: Effort) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.db"
        backend = SQLBackend(f"sqlite:///{path}")
        backend.create_tables()
        token = signed_in(backend)
        digest = Credential(token.encode()).digest
        fields, select = with_header(token), select_of_the_row("?")
        wsgi_requests_that_wait(WSGIMiddleware(signed_in_application, backend, secrets=[SECRET]), fields)(1)
        door = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET])
        with closing(sqlite3.connect(path, isolation_level=None)) as connection, event_loop() as run:
            awaited = AsyncSQLBackend(f"sqlite:///{path}")
            async_door = ASGIMiddleware(asgi_application, awaited, secrets=[SECRET])
            rounds = alternate(
                {
                    "select": repeated(lambda: connection.execute(select, (digest,)).fetchone()),
                    "bare": wsgi_requests_that_wait(wsgi_application, fields),
                    "door": wsgi_requests_that_wait(door, fields),
                    "async bare": asgi_requests_that_wait(asgi_application, fields, run),
                    "async door": asgi_requests_that_wait(async_door, fields, run),
                },
                effort.longer(),
            )
            run(awaited.close())
        backend.close()
    beside = f"one SELECT of the row by sqlite3 {typical(rounds['select'])}"
    for name, ours, bare, limit in (("WSGI", "door", "bare", 6.0), ("ASGI, one hop to a thread", "async door", "async bare", None)):
        more = added(rounds, ours, bare)
        yield Row(
            f"guarded request on SQLite, time added: {name}", typical([median(more)]), beside, ratios(more, rounds["select"]), times, limit
        )
