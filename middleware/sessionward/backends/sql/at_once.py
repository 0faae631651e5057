"""Checks of an SQLite file in the calling thread, which wait for nothing: in WAL mode no writer holds up a reader."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from sessionward.backends.sql import reading
from sessionward.backends.sql.connect import Database
from sessionward.backends.sql.dialect import SQLITE
from sessionward.backends.sql.executor import Executor, Lookup, Query
from sessionward.credential.token import Credential
from sessionward.process import PerProcess
from sessionward.session.session import Checked

PAUSE: Final = 60.0
"""Seconds until we try again to open a connection to a file that is not in WAL mode."""


class AtOnce:
    """Connections of one process for checks that must not wait. A check has one for itself as long as it runs.

    ``check`` opens none: a connection is opened by :meth:`preparing`, in a thread that may wait, after ``check`` has lacked one.
    """

    def __init__(self, database: Database, *, size: int) -> None:
        self.is_possible = database.engine is None and database.sql.dialect is SQLITE
        self._database = database
        self._size = size
        self._spares: PerProcess[_Spares] = PerProcess(_Spares)

    def check(self, digest: bytes) -> Checked | None:
        """Returns what the file says now, or None if that is not known without waiting."""
        if not self.is_possible:
            return None
        spares = self._spares()
        try:
            connection = spares.idle.pop()
        except IndexError:
            spares.is_lacking = True
            return None
        try:
            checked = reading.check(digest).run(Executor(connection, self._database.sql, _unlimited))
        except sqlite3.Error as error:  # whatever it is, `check` meets it again and reports it
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                spares.idle.append(connection)
            else:
                spares.close(connection)
            return None
        except Exception:  # a row that cannot be read: `check` meets it again, too
            spares.idle.append(connection)
            return None
        except BaseException:
            spares.close(connection)
            raise
        spares.idle.append(connection)
        return checked

    def preparing(self, query: Lookup[Checked]) -> Lookup[Checked] | Query[Checked]:
        """Returns the query. When it has succeeded, its thread opens the connection that ``check`` has lacked."""
        if not self.is_possible:
            return query

        def run(executor: Executor) -> Checked:
            checked = query.run(executor)
            spares = self._spares()
            if spares.is_lacking:
                with suppress(sqlite3.Error):  # busy, or too many files: the next check tries again
                    spares.open(self._size, self._connect)
            return checked

        return Query(run, query.writes)

    def close(self) -> None:
        spares = self._spares.pop()
        if spares is not None:
            while spares.idle:
                with suppress(IndexError):
                    spares.close(spares.idle.pop())

    def _connect(self) -> sqlite3.Connection | None:
        """Returns a connection that waits for no lock, or None if the file is not in WAL mode."""
        url = self._database.url
        names, arguments = url.get_dialect()().create_connect_args(url)
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect
        connection = connect(*names, **{**arguments, "timeout": 0.0, "isolation_level": None, "check_same_thread": False})
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                connection.execute("PRAGMA query_only = TRUE")
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None


class _Spares:
    """The connections of one process."""

    def __init__(self) -> None:
        self.idle: deque[sqlite3.Connection] = deque()
        self.is_lacking = False
        self._lock = threading.Lock()
        self._opened = 0
        self._not_before = 0.0

    def open(self, size: int, connect: Callable[[], sqlite3.Connection | None]) -> None:
        """Opens one more, if there are fewer than ``size``."""
        with self._lock:
            self.is_lacking = False
            if self._opened >= size or monotonic() < self._not_before:
                return
            connection = connect()
            if connection is None:
                self._not_before = monotonic() + PAUSE
                return
            self._opened += 1
        self.idle.append(connection)

    def close(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._opened -= 1
        connection.close()


class ChecksAtOnce:
    """The part of a backend that the caller need not wait for; see :class:`~sessionward.session.backend.SupportsNow`."""

    _at_once: AtOnce

    @property
    def answers_now(self) -> bool:
        """Whether ``check_now`` may ever answer: for the URL of an SQLite file."""
        return self._at_once.is_possible

    def check_now(self, credential: Credential, /) -> Checked | None:
        """Does what ``check`` does, in the calling thread and without waiting. Returns None if that is not possible right now.

        It is sync in an async backend too. Call ``check`` after None: that also opens the connection for the next call.
        """
        return self._at_once.check(credential.digest)


def _unlimited() -> float:
    return 1.0
