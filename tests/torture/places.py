"""Where a torture takes place: a database, a driver, sync or async, or a naive variant of the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from sessionward import Session
from sessionward.backends import Credential, RevokedCount
from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.session.session import ANY_TERMS
from tests.support.sessions import new_session
from tests.torture import naive, naive_redis
from tests.torture.grounds import Ground, RedisGround, SQLGround
from tests.torture.redis_keys import is_redis, prefix_of, server_of
from tests.torture.tables import PATIENCE, engine_of, with_driver


@dataclass(frozen=True, slots=True)
class Place:
    """``url`` is without a driver, as the fixtures give it; that of Redis has a prefix. ``variant``: the name of a naive class, or ours."""

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
        if is_redis(self.url):
            return self._redis_backend(timeout=timeout, pool_size=pool_size)
        if self.variant:
            return naive.VARIANTS[self.variant](self.url, engine_of(self.url), timeout=timeout)
        if self.is_async:
            return AsyncSQLBackend(with_driver(self.url, self.driver), pool_size=pool_size, timeout=timeout)
        return SQLBackend(self.url, pool_size=pool_size, timeout=timeout)

    def _redis_backend(self, *, timeout: float, pool_size: int) -> Any:
        if self.variant in naive_redis.VARIANTS:
            return naive_redis.VARIANTS[self.variant](self.url)
        kind: Any = AsyncRedisBackend if self.is_async else naive_redis.OVER_OURS.get(self.variant, RedisBackend)
        return kind(server_of(self.url), prefix=prefix_of(self.url), pool_size=pool_size, timeout=timeout)

    def ground(self) -> Ground:
        """What lies below, for the test. Close it."""
        if is_redis(self.url):
            return RedisGround(self.url, replace(self, is_async=False).backend())
        return SQLGround(self.url)

    def open(self, *, timeout: float = PATIENCE) -> Caller:
        return Caller(self.backend(timeout=timeout))


REDIS: Final = {"redis": "redis", "redis cluster": "redis"}
SYNC: Final = {"sqlite": "sqlite3", "postgresql": "psycopg", "mariadb": "pymysql", **REDIS}
ASYNC: Final = {
    "sqlite": ["threads"],
    "postgresql": ["psycopg", "asyncpg"],
    "mariadb": ["asyncmy"],
    **{name: [driver] for name, driver in REDIS.items()},
}


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

    def revoke_everybody(self) -> None:
        self._done(self._backend.revoke_everybody())

    def revoke(self, session: Session) -> bool:
        was_live: bool = self._done(self._backend.revoke(session.user_id, session.id))
        return was_live

    def revoke_others(self, session: Session) -> RevokedCount:
        count: RevokedCount = self._done(self._backend.revoke_others(session))
        return count

    def revoke_one(self, session: Session, id: UUID) -> bool:
        was_live: bool = self._done(self._backend.revoke_one(session, id, ANY_TERMS))
        return was_live

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
