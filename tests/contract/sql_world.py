"""Worlds over SQL: a connection of the test's own looks at the rows, moves their times and holds their locks."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection, DateTime, Engine, RowMapping, create_engine, delete, event, make_url, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sessionward.backends.sql import AsyncSQLBackend, SQLBackend, metadata
from sessionward.testing.bridge import Bridged, Loop
from sessionward.testing.world import LoginWorld

T = TypeVar("T")
Row = RowMapping
Database = Literal["sqlite", "postgresql", "mariadb"]

USERS: Final = metadata.tables["sessionward_users"]
SESSIONS: Final = metadata.tables["sessionward_sessions"]
STATE: Final = metadata.tables["sessionward_state"]
SAFE_DRIVERS: Final = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to keep sessions in SQL. ``over_engine``: over an Engine of the user's, not from a URL."""

    database: Database
    scheme: str
    is_async: bool = False
    over_engine: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}, {'async' if self.is_async else 'plain'}, {'an Engine' if self.over_engine else 'a URL'}"


SQLITE: Final = Kind(database="sqlite", scheme="sqlite")
SQLITE_ASYNC: Final = Kind(database="sqlite", scheme="sqlite+aiosqlite", is_async=True)
SQLITE_ENGINE: Final = Kind(database="sqlite", scheme="sqlite+pysqlite", over_engine=True)
SQLITE_ASYNC_ENGINE: Final = Kind(database="sqlite", scheme="sqlite+aiosqlite", is_async=True, over_engine=True)
PSYCOPG: Final = Kind(database="postgresql", scheme="postgresql")
PSYCOPG_ASYNC: Final = Kind(database="postgresql", scheme="postgresql+psycopg", is_async=True)
PSYCOPG_ENGINE: Final = Kind(database="postgresql", scheme="postgresql+psycopg", over_engine=True)
PSYCOPG_ASYNC_ENGINE: Final = Kind(database="postgresql", scheme="postgresql+psycopg", is_async=True, over_engine=True)
ASYNCPG: Final = Kind(database="postgresql", scheme="postgresql+asyncpg", is_async=True)
ASYNCPG_ENGINE: Final = Kind(database="postgresql", scheme="postgresql+asyncpg", is_async=True, over_engine=True)
PYMYSQL: Final = Kind(database="mariadb", scheme="mysql")
PYMYSQL_ENGINE: Final = Kind(database="mariadb", scheme="mariadb+pymysql", over_engine=True)
ASYNCMY: Final = Kind(database="mariadb", scheme="mariadb", is_async=True)
ASYNCMY_ENGINE: Final = Kind(database="mariadb", scheme="mysql+asyncmy", is_async=True, over_engine=True)

FROM_URL: Final = (SQLITE, SQLITE_ASYNC, PSYCOPG, PSYCOPG_ASYNC, ASYNCPG, PYMYSQL, ASYNCMY)
OVER_ENGINE: Final = (
    SQLITE_ENGINE,
    SQLITE_ASYNC_ENGINE,
    PSYCOPG_ENGINE,
    PSYCOPG_ASYNC_ENGINE,
    ASYNCPG_ENGINE,
    PYMYSQL_ENGINE,
    ASYNCMY_ENGINE,
)
KINDS: Final = FROM_URL + OVER_ENGINE


class SQLWorld(LoginWorld):
    """One backend over one database. ``options`` are the backend's, ``engine_options`` those of the user's Engine."""

    sessions: Any

    def __init__(self, kind: Kind, url: str, *, engine_options: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.kind = kind
        self.safe = safe_engine(url)
        self._loop = Loop() if kind.is_async else None
        self.engine: Engine | AsyncEngine | None = None
        database: Any = make_url(url).set(drivername=kind.scheme)
        if kind.over_engine:
            make: Any = create_async_engine if kind.is_async else create_engine
            database = self.engine = make(database, **(engine_options or {}))
        if self._loop is None:
            self.backend = self.sessions = SQLBackend(database, **options)
        else:
            self.backend = AsyncSQLBackend(database, **options)
            self.sessions = Bridged(self.backend, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return self._loop.run(coroutine)

    def close(self) -> None:
        self.sessions.close()
        if isinstance(self.engine, Engine):
            self.engine.dispose()
        if self._loop is not None:
            if isinstance(self.engine, AsyncEngine):
                self._loop.run(self.engine.dispose())
            self._loop.close()
        self.safe.dispose()

    # --- rows and times

    def clean(self) -> None:
        """Nobody has ever been here, and nothing fails."""
        with self.safe.begin() as connection:
            connection.exec_driver_sql(_TRIGGERS[self.kind.database][1])
            connection.execute(delete(SESSIONS))
            connection.execute(delete(USERS))
            connection.execute(update(STATE).values(lease=0.0, former_lease=0.0, lowered_at=None, era=0, era_at=None))

    def pass_time(self, seconds: float) -> None:
        with self.safe.begin() as connection:
            for table in (USERS, SESSIONS, STATE):
                own = next(iter(table.primary_key))
                times = [column.name for column in table.columns if isinstance(column.type, DateTime)]
                for row in connection.execute(select(table)).mappings().all():
                    moved = {name: row[name] - timedelta(seconds=seconds) for name in times if row[name] is not None}
                    if moved:
                        connection.execute(update(table).where(own == row[own.name]).values(moved))

    def rows(self, user: str = "ann") -> Sequence[Row]:
        """The user's rows of sessions, oldest first."""
        with self.safe.connect() as connection:
            asked = select(SESSIONS).where(SESSIONS.c.user_id == self.key(user)).order_by(SESSIONS.c.issued_at)
            return connection.execute(asked).mappings().all()

    def row(self, session: Any) -> Row:
        """The row of one session."""
        with self.safe.connect() as connection:
            return connection.execute(select(SESSIONS).where(SESSIONS.c.id == self.id(session))).mappings().one()

    def everything(self) -> tuple[Sequence[Row], Sequence[Row]]:
        """All rows of both tables."""
        with self.safe.connect() as connection:
            users = connection.execute(select(USERS).order_by(USERS.c.user_id)).mappings().all()
            return users, connection.execute(select(SESSIONS).order_by(SESSIONS.c.id)).mappings().all()

    def key(self, user: str) -> Any:
        """A user's id as the column has it."""
        return user.encode() if self.kind.database == "mariadb" else user

    def id(self, session: Any) -> Any:
        """A session's id as the column has it."""
        return session.id.hex if self.kind.database == "mariadb" else session.id

    # --- locks

    @contextmanager
    def hold(self, user: str = "ann") -> Iterator[Connection]:
        """Somebody else's transaction, which holds the lock of a user."""
        with self.safe.connect() as connection, connection.begin():
            self.lock(connection, user, wait=True)
            yield connection

    @contextmanager
    def hold_state(self) -> Iterator[None]:
        """Somebody else's transaction, which holds the lock of the row that all users share."""
        with self.safe.connect() as connection, connection.begin():
            if self.kind.database == "sqlite":
                self.lock(connection, "nobody")
            else:
                connection.execute(select(STATE.c.id).with_for_update())
            yield

    def is_locked(self, user: str = "ann") -> bool:
        with self.safe.connect() as connection, connection.begin() as transaction:
            try:
                self.lock(connection, user, wait=False)
            except DBAPIError:
                return True
            transaction.rollback()
            return False

    def somebody_waits(self) -> bool:
        """Whether a transaction waits for a lock; always true for SQLite, which cannot tell."""
        if self.kind.database == "sqlite":
            return True
        if self.kind.database == "postgresql":
            asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        else:
            asked = (
                "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p"
                " ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()"
            )
        with self.safe.connect() as connection:
            return bool(connection.execute(text(asked)).scalar_one())

    def lock(self, connection: Connection, user: str, *, wait: bool = True) -> None:
        """Locks the row of a user, if there is one."""
        if self.kind.database == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {2000 if wait else 0}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            nowait = "" if wait else " NOWAIT"
            asked = text(f"SELECT generation FROM sessionward_users WHERE user_id = :user FOR UPDATE{nowait}")
            connection.execute(asked, {"user": self.key(user)})

    # --- failures

    @contextmanager
    def failing(self, point: str) -> Iterator[None]:
        """The database refuses one of our statements; ``point`` is a key of ``FAILPOINTS``."""
        when, condition = FAILPOINTS[point]
        make, drop = _TRIGGERS[self.kind.database]
        with self.safe.begin() as connection:
            connection.exec_driver_sql(make.format(when=when, condition=condition))
        try:
            yield
        finally:
            with self.safe.begin() as connection:
                connection.exec_driver_sql(drop)


FAILPOINTS: Final = {
    "marking the live ones": ("UPDATE ON sessionward_sessions", "NEW.reason IN ('others', 'one', 'all', 'logout', 'replaced')"),
    "marking the expired ones": ("UPDATE ON sessionward_sessions", "NEW.reason = 'expired'"),
    "raising the generation": ("UPDATE ON sessionward_users", "NEW.generation > 0"),
    "beginning an era": ("UPDATE ON sessionward_state", "NEW.era <> 0"),
    "adding the session": ("INSERT ON sessionward_sessions", "NEW.reason IS NULL"),
}

_TRIGGERS: Final = {
    "sqlite": (
        "CREATE TRIGGER refusing BEFORE {when} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'refused'); END",
        "DROP TRIGGER IF EXISTS refusing",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;"
        " CREATE TRIGGER refusing BEFORE {when} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()",
        "DROP FUNCTION IF EXISTS refuse CASCADE",
    ),
    "mariadb": (
        "CREATE TRIGGER refusing BEFORE {when} FOR EACH ROW IF {condition} THEN SIGNAL SQLSTATE '45000'; END IF",
        "DROP TRIGGER IF EXISTS refusing",
    ),
}
"""How a database is made to refuse something, and no longer."""


def safe_engine(url: str) -> Engine:
    """An Engine of the test's own, over the driver that the project leans on least."""
    parsed = make_url(url)
    engine = create_engine(parsed.set(drivername=SAFE_DRIVERS[parsed.get_backend_name()]), pool_size=2, pool_use_lifo=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
    return engine


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 2000")
