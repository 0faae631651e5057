"""Where a torture takes place: a database, a driver and a colour, or a naive variant of the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sessionward import Session
from sessionward.backends import Credential, Device, RevokedCount
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
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
        colour = "async" if self.is_async else "plain"
        return f"{self.database}, {self.driver}, {colour}" + (f", {self.variant}" if self.variant else "")

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


PLAIN: Final = {"sqlite": "sqlite3", "postgresql": "psycopg", "mariadb": "pymysql"}
ASYNC: Final = {"sqlite": ["threads"], "postgresql": ["psycopg", "asyncpg"], "mariadb": ["asyncmy"]}


def plain_place(urls: Mapping[str, str], database: str) -> Place:
    return Place(database, PLAIN[database], urls[database])


def async_places(urls: Mapping[str, str], database: str) -> list[Place]:
    return [Place(database, driver, urls[database], is_async=True) for driver in ASYNC[database]]


class Caller:
    """A backend of either colour, asked in plain words."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._runner = asyncio.Runner() if asyncio.iscoroutinefunction(backend.find) else None

    def find(self, token: str) -> Session | None:
        found: Session | None = self._done(self._backend.find(Credential(token.encode())))
        return found

    def login(self, user: str, token: str, *, since: int | None, age: Callable[[], float], replaces: Session | None) -> Session:
        digest = Credential(token.encode()).digest
        made: Session = self._done(
            self._backend.login(
                user, digest, since=since, age=age, replaces=replaces, expires_in=3600.0, device=Device(), methods=("password",)
            )
        )
        return made

    def begin_login(self, user: str) -> int:
        generation: int = self._done(self._backend.begin_login(user))
        return generation

    def end(self, session: Session) -> bool:
        ended: bool = self._done(self._backend.end(session))
        return ended

    def revoke_others(self, session: Session) -> RevokedCount:
        ended: RevokedCount = self._done(self._backend.revoke_others(session))
        return ended

    def revoke_all(self, user: str) -> RevokedCount:
        ended: RevokedCount = self._done(self._backend.revoke_all(user))
        return ended

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
