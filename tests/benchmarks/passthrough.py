"""What a request without a credential pays for our middleware, beside what Starlette's and Werkzeug's smallest ones add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.middleware.proxy_fix import ProxyFix

from sessionward import ASGIMiddleware, Session, WSGIMiddleware
from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from tests.benchmarks.measure import Effort, Result, Rounds, Timed, added, alternate, compared
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


class OnlyRevokes:
    """A backend that starts no sessions; our own carriers, so that the door looks for them."""

    def find(self, credential: Credential, /) -> Session | None:
        return None

    def revoke_others(self, session: Session, /) -> int:
        return 0


NAME = "pass-through in process, 8 headers, no credential, time added"
COOKIED = "the same, with cookies of the application among the 8"
REVOKES = "the same, a backend that only revokes sessions"


def measure(effort: Effort) -> Iterator[Result]:
    with event_loop() as run:

        def asgi(application: ASGIApp, fields: Fields) -> Timed:
            return asgi_requests(application, fields, run)

        reached: list[Scope] = []

        async def notes(scope: Scope, receive: Receive, send: Send) -> None:
            reached.append(scope)

        hosts = ["app.example"]
        asgi(TrustedHostMiddleware(notes, hosts), FIELDS)(1)
        assert reached, "it refuses the host, and so measures nothing"
        rounds = alternate(_sides(asgi, ASGIMiddleware, asgi_application, TrustedHostMiddleware(asgi_application, hosts)), effort)
    yield from _rows("ASGI", rounds, "Starlette's TrustedHostMiddleware, time added", 0.5)
    rounds = alternate(_sides(wsgi_requests, WSGIMiddleware, wsgi_application, ProxyFix(wsgi_application)), effort)
    yield from _rows("WSGI", rounds, "Werkzeug's ProxyFix, time added", 0.3)


def _sides(requests: Callable[[Any, Fields], Timed], middleware: Any, application: Any, beside: Any) -> dict[str, Timed]:
    signs_in, revokes = (middleware(application, backend, secrets=[SECRET]) for backend in (MemoryBackend(), OnlyRevokes()))
    cookied = with_own_cookies()
    return {
        "bare": requests(application, FIELDS),
        "beside": requests(beside, FIELDS),
        "signs in": requests(signs_in, FIELDS),
        "signs in, cookied": requests(signs_in, cookied),
        "revokes": requests(revokes, FIELDS),
        "revokes, cookied": requests(revokes, cookied),
    }


def _rows(door: str, rounds: Rounds, beside: str, limit: float) -> Iterator[Result]:
    named = {
        "signs in": f"{NAME}: {door}, a backend that signs users in",
        "signs in, cookied": COOKIED,
        "revokes": REVOKES,
        "revokes, cookied": COOKIED,
    }
    for side, measured in named.items():
        yield compared(
            measured, added(rounds, side, "bare"), beside, added(rounds, "beside", "bare"), limit if side == "signs in" else None
        )
