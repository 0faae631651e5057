"""Aborts a new connection on which SQLAlchemy waits for an answer longer than a query may take.

The driver has its own timeout until the login has succeeded. What is asked then, before a caller gets the connection, has none: a pooler
without a free connection, or a server that stalls, would hold the thread and its place in the pool until TCP gives up.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy import Engine, event


class Connecting(Protocol):
    """A caller that waits for a new connection."""

    def made(self, abort: Callable[[], None]) -> None:
        """Gets what aborts the connection, as soon as the driver has made it."""
        ...


CONNECTING: Final[ContextVar[Connecting | None]] = ContextVar("sessionward connecting", default=None)
"""Who waits in this thread, or in this task."""


class Patience:
    """A caller in another thread, whose time may be up before the connection is made, or after that."""

    def __init__(self) -> None:
        self._abort: Callable[[], None] | None = None
        self._is_over = False

    def made(self, abort: Callable[[], None]) -> None:
        self._abort = abort
        if self._is_over:  # both threads write first and read then, so that one of the two aborts it
            abort()

    def end(self) -> None:
        """Aborts the connection, now or when it is made."""
        self._is_over = True
        if self._abort is not None:
            self._abort()


def tell_of_connections(engine: Engine, abort: Callable[[Any], None]) -> None:
    """Has an Engine tell the caller that waits of each connection that its driver has made."""

    def connect(dialect: Any, _record: Any, arguments: Any, named: Any) -> Any:
        connection = dialect.connect(*arguments, **named)
        waiting = CONNECTING.get()
        if waiting is not None:
            waiting.made(partial(abort, dialect.get_driver_connection(connection)))
        return connection

    event.listen(engine, "do_connect", connect)
