"""Cuts off a database that does not answer. No timeout of the database helps then, since a silent server does not keep it."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import os
import socket
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import connections, router

from sessionward.backends.watchdog import watchdog

GRACE: Final = 0.25
"""Seconds that we wait longer. A server that still answers ends its statement by then, and its connection stays open."""
SERVERS: Final = ("postgresql", "mysql")
"""Databases that we reach through a socket."""


@contextmanager
def waits_at_most(using: str, seconds: float) -> Generator[None]:
    """Lets this thread's connections wait for their servers so many seconds in all, then cuts them off.

    A new connection may take as long, rounded up to whole seconds, since drivers take no fractions.
    """
    wrappers = [wrapper for wrapper in _asked(using) if wrapper.vendor in SERVERS]
    if not wrappers:
        yield
        return
    by_itself = math.ceil(seconds) if any(wrapper.vendor == "mysql" for wrapper in wrappers) else seconds  # MySQL takes whole seconds
    watches = watchdog()
    key = watches.watch(monotonic() + by_itself + GRACE, partial(_cut, wrappers))
    try:
        with ExitStack() as connecting:
            for wrapper in wrappers:
                connecting.enter_context(_connects_within(wrapper, max(1, math.ceil(seconds))))
            yield
    finally:
        watches.cancel(key)  # after it the application may use the connections


def _asked(using: str) -> Iterable[Any]:
    """Returns this thread's connections to the databases of the sessions and of the users."""
    return [connections[alias] for alias in {using, router.db_for_read(get_user_model())}]


def _cut(wrappers: Iterable[Any]) -> None:
    """Shuts down the sockets."""
    for wrapper in wrappers:
        with suppress(Exception):  # the connection was closed meanwhile
            _shut_down(_descriptor(wrapper.connection))


def _descriptor(raw: Any) -> int:
    """Returns the file descriptor of a connection by psycopg, mysqlclient or PyMySQL."""
    return int(raw.fileno() if hasattr(raw, "fileno") else raw._sock.fileno())


def _shut_down(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


@contextmanager
def _connects_within(wrapper: Any, seconds: int) -> Generator[None]:
    params = wrapper.get_connection_params

    def bounded() -> dict[str, Any]:
        given: dict[str, Any] = params()
        return {**given, "connect_timeout": min(seconds, int(given.get("connect_timeout") or seconds))}

    if wrapper.settings_dict["OPTIONS"].get("pool"):  # the pool would use our timeout for all of its connections
        yield
        return
    wrapper.get_connection_params = bounded
    try:
        yield
    finally:
        del wrapper.get_connection_params
