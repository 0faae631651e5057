"""Backends over Redis with sync methods, whether they are sync or async."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sessionward import Session
from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.credential.token import Credential, new_token
from sessionward.testing.bridge import Bridged, Loop
from tests.support.sessions import new_session


@contextmanager
def opened(url: str, *, is_async: bool = False, **options: Any) -> Iterator[Any]:
    """A backend, closed at the end. An async one runs on a loop in another thread."""
    if not is_async:
        backend = RedisBackend(url, **options)
        try:
            yield backend
        finally:
            backend.close()
        return
    loop = Loop()
    bridged = Bridged(AsyncRedisBackend(url, **options), loop)
    try:
        yield bridged
    finally:
        bridged.close()
        loop.close()


def signed_in(backend: Any, user: str, number: int) -> list[tuple[Credential, Session]]:
    """So many sessions of a user, each with its credential."""
    tokens = [new_token() for _ in range(number)]
    return [(Credential(token.encode()), backend.login(new_session(user, token))) for token in tokens]


def lives(backend: Any, *of: tuple[Credential, Session]) -> list[bool]:
    """Whether each of them is found."""
    return [backend.find(credential) is not None for credential, _ in of]
