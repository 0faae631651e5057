"""What a request without a credential pays for the door: nothing that it could notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from starlette.types import ASGIApp

from sessionward import ASGIMiddleware, Session, WSGIMiddleware
from sessionward.backends import Backend, Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.session.backend import AnyBackend
from sessionward.wsgi import WSGIApplication
from tests.benchmarks.measure import Effort, Result, Rounds, Row, Timed, added, alternate, microseconds, typical
from tests.benchmarks.requests import (
    FIELDS,
    SECRET,
    Fields,
    asgi_application,
    asgi_requests,
    event_loop,
    with_own_cookies,
    wsgi_application,
    wsgi_requests,
)

T = TypeVar("T")


class OnlyRevokes:
    """A backend that starts no sessions; our own carriers, so that the door looks for them."""

    def find(self, credential: Credential, /) -> Session | None:
        return None

    def revoke_others(self, session: Session, /) -> int:
        return 0


NAME = "pass-through in process, 8 headers, no credential"
ENDS = "a backend that only revokes sessions"
SIGNS_IN = "one that signs users in"
COOKIED = "the same with cookies of the application among the 8"


def measure(effort: Effort) -> Iterator[Result]:
    with event_loop() as run:

        def asgi(application: ASGIApp, fields: Fields) -> Timed:
            return asgi_requests(application, fields, run)

        def door(backend: AnyBackend) -> ASGIApp:
            return ASGIMiddleware(asgi_application, backend, secrets=[SECRET])

        rounds = alternate(_sides(asgi, asgi_application, door(OnlyRevokes()), door(MemoryBackend())), effort)
    yield from _rows("ASGI", rounds, ends=0.4e-6, signs_in=0.7e-6)

    def wsgi_door(backend: Backend) -> WSGIApplication:
        return WSGIMiddleware(wsgi_application, backend, secrets=[SECRET])

    rounds = alternate(_sides(wsgi_requests, wsgi_application, wsgi_door(OnlyRevokes()), wsgi_door(MemoryBackend())), effort)
    yield from _rows("WSGI", rounds, ends=0.12e-6, signs_in=0.3e-6)


def _sides(requests: Callable[[T, Fields], Timed], bare: T, ends: T, signs_in: T) -> dict[str, Timed]:
    cookied = with_own_cookies()
    return {
        "bare": requests(bare, FIELDS),
        "ends": requests(ends, FIELDS),
        "ends, cookied": requests(ends, cookied),
        "signs in": requests(signs_in, FIELDS),
        "signs in, cookied": requests(signs_in, cookied),
    }


def _rows(door: str, rounds: Rounds, *, ends: float, signs_in: float) -> Iterator[Row]:
    yield _row(f"{NAME}: {door}, {ENDS}", rounds, "ends", ends)
    yield _row(f"{COOKIED}", rounds, "ends, cookied", None)
    yield _row(f"{NAME}: {door}, {SIGNS_IN}", rounds, "signs in", signs_in)
    yield _row(f"{COOKIED}", rounds, "signs in, cookied", None)


def _row(measured: str, rounds: Rounds, ours: str, limit: float | None) -> Row:
    bare = f"application alone {typical(rounds['bare'])}"
    return Row(measured, typical(rounds[ours]), bare, added(rounds, ours, "bare"), microseconds, limit)
