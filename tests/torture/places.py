"""Where a torture takes place: a database, a driver, sync or async, or a naive variant of the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sessionward import Session
from sessionward.backends import Credential, RevokedCount
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.support.sessions import new_session
from tests.torture import naive
from tests.torture.tables import PATIENCE, engine_of, with_driver


@dataclass(frozen=True, slots=True)
class Place:
    """``url`` is without a driver, as the fixtures give it. ``variant``: the name of a naive class, or ours."""

    database: str
    driver: str
    url: str
    is_async: bool = False
    variant: str = ""

    @property
    def spoken(self) -> str:
        kind = "async" if self.is_async else "sync"
        return f"{self.database}, {self.driver}, {kind}" + (f", {self.variant}" if self.variant else "")

    def of(self, variant: str) -> Place:
        return replace(self, variant=variant)

    def backend(self, *, timeout: float = PATIENCE, pool_size: int = 2) -> Any:
        if self.variant:
            return naive.VARIANTS[self.variant](self.url, engine_of(self.url), timeout=timeout)
        if self.is_async:
            return AsyncSQLBackend(with_driver(self.url, self.driver), pool_size=pool_size, timeout=timeout)
        return SQLBackend(self.url, pool_size=pool_size, timeout=timeout)

    def open(self, *, timeout: float = PATIENCE) -> Caller:
        return Caller(self.backend(timeout=timeout))


SYNC: Final = {"sqlite": "sqlite3", "postgresql": "psycopg", "mariadb": "pymysql"}
ASYNC: Final = {"sqlite": ["threads"], "postgresql": ["psycopg", "asyncpg"], "mariadb": ["asyncmy"]}


def sync_place(urls: Mapping[str, str], database: str) -> Place:
    return Place(database, SYNC[database], urls[database])


def async_places(urls: Mapping[str, str], database: str) -> list[Place]:
    return [Place(database, driver, urls[database], is_async=True) for driver in ASYNC[database]]


class Caller:
    """A backend, sync or async, made sync."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._runner = asyncio.Runner() if asyncio.iscoroutinefunction(backend.find) else None

    def find(self, token: str) -> Session | None:
        found: Session | None = self._done(self._backend.find(Credential(token.encode())))
        return found

    def login(self, user: str, token: str, *, generation: int | None, age: Callable[[], float], replaces: Session | None) -> Session:
        new = new_session(user, token, generation=generation, age=age, replaces=replaces, methods=("password",))
        made: Session = self._done(self._backend.login(new))
        return made

    def begin_login(self, user: str) -> int:
        generation: int = self._done(self._backend.begin_login(user))
        return generation

    def revoke(self, session: Session) -> bool:
        was_live: bool = self._done(self._backend.revoke(session.user_id, session.id))
        return was_live

    def revoke_others(self, session: Session) -> RevokedCount:
        count: RevokedCount = self._done(self._backend.revoke_others(session))
        return count

    def revoke_all(self, user: str) -> RevokedCount:
        count: RevokedCount = self._done(self._backend.revoke_all(user))
        return count

    def list(self, user: str) -> Sequence[Session]:
        live: Sequence[Session] = self._done(self._backend.list(user))
        return live

    def close(self) -> None:
        if hasattr(self._backend, "close"):
            self._done(self._backend.close())
        if self._runner is not None:
            self._runner.close()

    def _done(self, answer: Any) -> Any:
        return self._runner.run(answer) if self._runner is not None else answer
