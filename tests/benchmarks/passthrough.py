"""What a request without a credential pays for the door: nothing that it could notice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from sessionward import ASGIMiddleware, Credential, Session, WSGIMiddleware
from sessionward.backends.memory import MemoryBackend
from tests.benchmarks.measure import Effort, Result, Rounds, Row, added, alternate, microseconds, typical
from tests.benchmarks.requests import (
    FIELDS,
    SECRET,
    asgi_application,
    asgi_requests,
    wsgi_application,
    wsgi_requests,
)


class OnlyEnds:
    """A backend that starts no sessions; our own carriers, so that the door looks for them."""

    def find(self, credential: Credential, /) -> Session | None:
        return None

    def end_others(self, session: Session, /) -> int:
        return 0


NAME = "pass-through in process, 8 headers, no credential"


def measure(effort: Effort) -> Iterator[Result]:
    with asyncio.Runner() as runner:
        rounds = alternate(
            {
                "bare": asgi_requests(asgi_application, FIELDS, runner.run),
                "ends": asgi_requests(ASGIMiddleware(asgi_application, OnlyEnds(), secrets=[SECRET]), FIELDS, runner.run),
                "signs in": asgi_requests(ASGIMiddleware(asgi_application, MemoryBackend(), secrets=[SECRET]), FIELDS, runner.run),
            },
            effort,
        )
    yield _row("ASGI", rounds, "ends", 0.4e-6)
    yield _row("ASGI, the backend signs users in", rounds, "signs in", 0.7e-6)
    rounds = alternate(
        {
            "bare": wsgi_requests(wsgi_application, FIELDS),
            "ends": wsgi_requests(WSGIMiddleware(wsgi_application, OnlyEnds(), secrets=[SECRET]), FIELDS),
            "signs in": wsgi_requests(WSGIMiddleware(wsgi_application, MemoryBackend(), secrets=[SECRET]), FIELDS),
        },
        effort,
    )
    yield _row("WSGI", rounds, "ends", 0.12e-6)
    yield _row("WSGI, the backend signs users in", rounds, "signs in", 0.3e-6)


def _row(door: str, rounds: Rounds, ours: str, limit: float) -> Row:
    bare = f"application alone {typical(rounds['bare'])}"
    return Row(f"{NAME}: {door}", typical(rounds[ours]), bare, added(rounds, ours, "bare"), microseconds, limit)
