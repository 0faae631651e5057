"""Where the companions are kept: in memory and in SQLite. Time passes and writes are counted by hand."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import make_url

from sessionward import Session
from sessionward.backends.memory import MemoryBackend
from sessionward.session.identifier import app_session_digest
from tests.contract.sql_world import SQLITE, SQLITE_ASYNC, SQLWorld

WRITES: Final = frozenset({"login", "adopt", "extend", "revoke", "revoke_others", "revoke_all"})
READS: Final = frozenset({"find", "companion_status", "begin_login"})


class Place(ABC):
    """``backend`` is the door's; ``aside`` is how a job reaches the same sessions, sync."""

    backend: Any
    aside: Any

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Let time pass for everything that is kept."""

    @abstractmethod
    def written(self) -> int:
        """A number that changes with every write."""

    def now(self) -> float:
        """The clock of the door."""
        return time.time()

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        """What it is asked now is not counted, and no hook is called."""
        yield

    def close(self) -> None:  # noqa: B027 - memory has nothing to close
        """Nothing stays open."""

    def live(self, user: str = "ann") -> Sequence[Session]:
        """The live companions of a user, newest first."""
        sessions: Sequence[Session] = self.aside.list(user)
        return sessions

    def companion_required(self, user: str = "ann") -> bool:
        return bool(self.aside.companion_status(user, app_session_digest("any")).companion_required)


class Asked(MemoryBackend):
    """Counts what it is asked. ``on``: called first at the questions of this name, and may raise."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.asked: Counter[str] = Counter()
        self.on: dict[str, Callable[[], object]] = {}

    def __getattribute__(self, name: str) -> Any:
        if name in WRITES or name in READS:
            found = object.__getattribute__(self, name)

            def asked(*args: Any, **keywords: Any) -> Any:
                self.asked[name] += 1
                self.on.get(name, int)()
                return found(*args, **keywords)

            return asked
        return object.__getattribute__(self, name)


class MemoryPlace(Place):
    def __init__(self) -> None:
        self._offset = 0.0
        self.backend: Asked = Asked(self.now)
        self.aside = self.backend

    def now(self) -> float:
        """The clock of the backend and of the door."""
        return time.time() + self._offset

    def pass_time(self, seconds: float) -> None:
        self._offset += seconds

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        counted, on = self.backend.asked.copy(), self.backend.on
        self.backend.on = {}
        yield
        self.backend.asked, self.backend.on = counted, on

    def written(self) -> int:
        return sum(count for name, count in self.backend.asked.items() if name in WRITES)


class SQLitePlace(Place):
    def __init__(self, url: str, *, is_async: bool) -> None:
        self._world = SQLWorld(SQLITE_ASYNC if is_async else SQLITE, url, timeout=10.0)
        self._world.sessions.create_tables()
        self.backend = self._world.backend
        self.aside = self._world.sessions
        self._watching = sqlite3.connect(str(make_url(url).database), check_same_thread=False)

    def pass_time(self, seconds: float) -> None:
        self._world.pass_time(seconds)

    def written(self) -> int:
        """It changes when another connection has written (SQLite, PRAGMA data_version)."""
        version: int = self._watching.execute("PRAGMA data_version").fetchone()[0]
        return version

    def close(self) -> None:
        self._watching.close()
        self._world.close()
