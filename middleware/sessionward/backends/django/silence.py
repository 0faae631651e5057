"""Ends the wait for a database that says nothing any more: no setting of its own can, since it would have to keep it."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import os
import socket
from collections.abc import Collection, Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock, Timer
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import connections, router

GRACE: Final = 0.25
"""Seconds more, so that a server that does answer ends a statement by itself (MySQL: in whole seconds), and its connection stays."""
SERVERS: Final = ("postgresql", "mysql")
"""Databases that are asked through a socket."""


@contextmanager
def waits_at_most(using: str, seconds: float) -> Generator[None]:
    """Lets this thread's connections wait for their servers so many seconds in all, and then cuts them off.

    Connecting is given as many, in the whole seconds that drivers count in.
    """
    wrappers = [wrapper for wrapper in _asked(using) if wrapper.vendor in SERVERS]
    if not wrappers:
        yield
        return
    cutter = _Cutter(wrappers)
    by_itself = math.ceil(seconds) if any(wrapper.vendor == "mysql" for wrapper in wrappers) else seconds
    timer = Timer(by_itself + GRACE, cutter.cut)
    timer.daemon = True
    timer.start()
    try:
        with ExitStack() as connecting:
            for wrapper in wrappers:
                connecting.enter_context(_connects_within(wrapper, max(1, math.ceil(seconds))))
            yield
    finally:
        timer.cancel()
        cutter.end()


def _asked(using: str) -> Iterable[Any]:
    """The connections of this thread that a question goes through: that of the sessions, and that of the users."""
    return [connections[alias] for alias in {using, router.db_for_read(get_user_model())}]


class _Cutter:
    """Shuts sockets down, unless the block has ended: then they are somebody else's."""

    def __init__(self, wrappers: Collection[Any]) -> None:
        self._wrappers = wrappers
        self._lock = Lock()

    def cut(self) -> None:
        with self._lock:
            for wrapper in self._wrappers:
                with suppress(Exception):  # it has been closed meanwhile
                    _shut_down(_descriptor(wrapper.connection))

    def end(self) -> None:
        with self._lock:
            self._wrappers = ()


def _descriptor(raw: Any) -> int:
    """Of psycopg and mysqlclient, or of PyMySQL."""
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

    if wrapper.settings_dict["OPTIONS"].get("pool"):  # it would keep this for all of its connections
        yield
        return
    wrapper.get_connection_params = bounded
    try:
        yield
    finally:
        del wrapper.get_connection_params
