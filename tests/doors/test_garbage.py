"""A request leaves nothing behind that only the garbage collector could free."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.token import new_token
from tests.benchmarks.requests import (
    FIELDS,
    SECRET,
    Fields,
    asgi_application,
    asgi_requests,
    with_header,
    wsgi_application,
    wsgi_requests,
)
from tests.support.sessions import new_session

REQUESTS = 50


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def circles_of(serve: Callable[[int], object]) -> int:
    """How many objects wait for the collector after so many requests."""
    serve(REQUESTS)
    with no_collector():
        serve(REQUESTS)
        return gc.collect()


@pytest.mark.parametrize("kind", ["nobody signed in", "a live session", "an unknown session"])
def test_a_request_leaves_no_circle(kind: str) -> None:
    backend, token = MemoryBackend(), new_token()
    if kind == "a live session":
        backend.login(new_session("ada", token))
    fields: Fields = FIELDS if kind == "nobody signed in" else with_header(token)
    wsgi = sessionward.WSGIMiddleware(wsgi_application, backend, secrets=[SECRET])
    assert circles_of(wsgi_requests(wsgi, fields)) == 0
    with asyncio.Runner() as runner:
        asgi = sessionward.ASGIMiddleware(asgi_application, backend, secrets=[SECRET])
        serve = asgi_requests(asgi, fields, runner.run)
        assert circles_of(serve) == circles_of(asgi_requests(asgi_application, fields, runner.run))
