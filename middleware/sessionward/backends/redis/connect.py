"""Finds out from a URL or from a client of redis-py where the servers are, and rejects what is not supported."""

from __future__ import annotations

from typing import Final

from sessionward.backends.redis.clients import from_client
from sessionward.backends.redis.part import Wait
from sessionward.backends.redis.server import Server
from sessionward.backends.redis.urls import from_url
from sessionward.errors import ConfigurationError

LONGEST_WAIT: Final = 60_000
"""Milliseconds"""


def server_of(server: object, *, is_async: bool) -> Server:
    """Returns where the servers are and how to connect to them. It connects to nothing.

    Raises :class:`ConfigurationError` for anything but a URL or a client of redis-py that is sync or async as asked.
    """
    return from_url(server, is_async=is_async) if isinstance(server, str) else from_client(server, is_async=is_async)


def wait_of(wait: object, timeout: float) -> Wait | None:
    """Returns the setting ``wait``.

    Raises :class:`ConfigurationError` if it is no pair of numbers, or if a call would be given up, after ``timeout`` seconds, before
    the replicas are.
    """
    if wait is None:
        return None
    match wait:
        case (int() as replicas, int() as milliseconds) if (
            bool not in map(type, (replicas, milliseconds)) and replicas > 0 and 0 < milliseconds <= LONGEST_WAIT
        ):
            if milliseconds >= timeout * 1000:
                raise ConfigurationError(
                    f"wait: {milliseconds} milliseconds must be fewer than the timeout of {timeout:g} s, in which the change and the wait"
                    " for the replicas have to end; lower them, or raise the timeout of the backend and backend_timeout"
                )
            return Wait(replicas, milliseconds)
        case _:
            raise ConfigurationError(
                "wait: must be (replicas, milliseconds), for example (1, 500): how many replicas must confirm a change, and for how long"
                " we wait for them"
            )
