"""What a request with a live session pays: one reading, one digest, for a cookie one HMAC, one look into memory."""

from __future__ import annotations

from collections.abc import Iterator

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.token import Signature
from tests.benchmarks.measure import Effort, Result, Rounds, Row, added, alternate, microseconds, typical
from tests.benchmarks.requests import (
    SECRET,
    asgi_application,
    asgi_requests,
    event_loop,
    signed_in_application,
    with_cookie,
    with_header,
    wsgi_application,
    wsgi_requests,
)
from tests.benchmarks.signing import signed_in

COOKIE = "__Host-session-ward"


def signed(token: str) -> str:
    """The cookie's value for a token."""
    return Signature([SECRET.encode()], "cookie").sign(token.encode()).decode()


NAME = "guarded request, memory backend, in process"


def measure(effort: Effort) -> Iterator[Result]:
    backend = MemoryBackend()
    token = signed_in(backend)
    header, cookie = with_header(token), with_cookie(COOKIE, signed(token))
    for fields in (header, cookie):
        wsgi_requests(WSGIMiddleware(signed_in_application, backend, secrets=[SECRET]), fields)(1)
    with event_loop() as run:
        door = ASGIMiddleware(asgi_application, backend, secrets=[SECRET])
        rounds = alternate(
            {
                "bare": asgi_requests(asgi_application, header, run),
                "header": asgi_requests(door, header, run),
                "cookie": asgi_requests(door, cookie, run),
            },
            effort,
        )
    yield _row("ASGI, header token", rounds, "header", 5e-6)
    yield _row("ASGI, cookie", rounds, "cookie", 8e-6)
    wsgi_door = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET])
    rounds = alternate(
        {
            "bare": wsgi_requests(wsgi_application, header),
            "header": wsgi_requests(wsgi_door, header),
            "cookie": wsgi_requests(wsgi_door, cookie),
        },
        effort,
    )
    yield _row("WSGI, header token", rounds, "header", 4e-6)
    yield _row("WSGI, cookie", rounds, "cookie", 7e-6)


def _row(what: str, rounds: Rounds, ours: str, limit: float) -> Row:
    bare = f"application alone {typical(rounds['bare'])}"
    return Row(f"{NAME}: {what}", typical(rounds[ours]), bare, added(rounds, ours, "bare"), microseconds, limit)
