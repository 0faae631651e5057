"""From a URL or an Engine to connections: what is accepted, and what is said about the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, TypeAlias

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from sessionward.backends.sql.dialect import DIALECTS, SQLITE, Dialect
from sessionward.backends.sql.executor import CompiledSQL
from sessionward.backends.sql.statements import STATEMENTS
from sessionward.backends.sql.tables import create
from sessionward.errors import ConfigurationError, Mistakes
from sessionward.settings import MAX_TIMEOUT, seconds

_PLAIN: Final = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
}
_ASYNC: Final = {
    "sqlite": "sqlite+pysqlite",  # whole questions in a thread, on the standard library's sqlite3
    "sqlite+aiosqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg_async",
    "postgresql": "postgresql+psycopg_async",
    "postgresql+psycopg": "postgresql+psycopg_async",
    "postgresql+psycopg_async": "postgresql+psycopg_async",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mysql+asyncmy": "mysql+asyncmy",
    "mariadb": "mariadb+asyncmy",
    "mariadb+asyncmy": "mariadb+asyncmy",
}
_EXTRAS: Final = {
    "psycopg": ("psycopg", "postgresql"),
    "asyncpg": ("asyncpg", "asyncpg"),
    "pymysql": ("pymysql", "mysql"),
    "asyncmy": ("asyncmy", "mysql-async"),
}
"""Driver to its module and the extra that brings it."""

Statements: TypeAlias = Callable[[Dialect], Mapping[str, str]]
"""What is asked, by name, in the words of a dialect."""


def of_own_tables(_dialect: Dialect) -> Mapping[str, str]:
    """What is asked of the tables of ours."""
    return STATEMENTS


@dataclass(frozen=True, slots=True)
class Database:
    """Where connections come from. ``engine``: the user's own, or None where we make our own from ``url``.

    ``is_ours``: whether the tables are; a file of the application's keeps the journal that it has.
    """

    url: URL
    engine: Engine | None
    sql: CompiledSQL
    is_ours: bool


def database_of(
    database: object, *, is_async: bool, statements: Statements = of_own_tables, twins: tuple[str, str] = ("SQLBackend", "AsyncSQLBackend")
) -> Database:
    """What a backend was given. Raises :class:`ConfigurationError` for anything but a URL or an Engine of its colour.

    ``twins``: the plain backend and the async one, so that an error can name the other.
    """
    if isinstance(database, (str, URL)):
        return _from_url(database, is_async=is_async, statements=statements, twins=twins)
    engine: object = getattr(database, "sync_engine", None) if is_async else database
    if isinstance(engine, Engine):
        return _from_engine(engine, statements)
    kind = "an AsyncEngine" if is_async else "a plain Engine"
    raise ConfigurationError(f"database: a URL or {kind} is needed, not {type(database).__name__}")


def _from_url(text: str | URL, *, is_async: bool, statements: Statements, twins: tuple[str, str]) -> Database:
    """Raises :class:`ConfigurationError` for what we do not speak, or whose driver is not installed."""
    accepted = _ASYNC if is_async else _PLAIN
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError("database: this is not a database URL; write for example sqlite:///sessions.db") from None
    drivername = accepted.get(url.drivername)
    if drivername is None:
        other, twin = (_PLAIN, twins[0]) if is_async else (_ASYNC, twins[1])
        way_out = f"use {twin} for it, or " if url.drivername in other else ""
        if not way_out and url.get_backend_name() in accepted:
            way_out = f"write {url.get_backend_name()}://, or "
        raise ConfigurationError(f"database: {url.drivername}:// is not spoken here; {way_out}take one of {', '.join(sorted(accepted))}")
    url = url.set(drivername=drivername)
    if url.get_backend_name() == "sqlite" and _in_memory(url):
        if url.host:
            raise ConfigurationError(f"database: a file is named behind three slashes: sqlite:///{url.host}")
        raise ConfigurationError("database: an SQLite database in memory belongs to one connection; name a file, or use MemoryBackend()")
    dialect = url.get_dialect()
    driver: str = dialect.driver
    module, extra = _EXTRAS.get(driver, ("sqlite3", ""))
    needed = [module] + (["greenlet"] if dialect.is_async else [])
    if any(find_spec(name) is None for name in needed):
        raise ConfigurationError(f"database: {url.drivername}:// needs {' and '.join(needed)}: pip install 'sessionward[{extra}]'")
    paramstyle = dialect().paramstyle
    spoken = DIALECTS[url.get_backend_name()]
    return Database(url, None, CompiledSQL.of(spoken, driver, paramstyle, statements(spoken), own=True), statements is of_own_tables)


def _in_memory(url: URL) -> bool:
    name = url.database or ""
    return not name or ":memory:" in name or "mode=memory" in name or url.query.get("mode") == "memory"


def checked(timeout: object, pool_size: object) -> tuple[float, int]:
    """The timeout in seconds and the size of the pool. Raises :class:`ConfigurationError` that names what is wrong."""
    mistakes = Mistakes()
    bound = 0.0
    try:
        bound = seconds(timeout)
    except TypeError as error:
        mistakes.add([f"timeout: {error}"])
    else:
        if not 0 < bound <= MAX_TIMEOUT:
            mistakes.add([f"timeout: must be more than 0 and at most {MAX_TIMEOUT:g} seconds"])
    if type(pool_size) is not int or pool_size < 1:
        mistakes.add(["pool_size: must be at least 1"])
    mistakes.raise_any()
    assert isinstance(pool_size, int)
    return bound, pool_size


def _from_engine(engine: Engine, statements: Statements) -> Database:
    """The user's own Engine, which is never changed and never disposed."""
    dialect = engine.dialect
    spoken = DIALECTS.get(dialect.name)
    if spoken is None:
        raise ConfigurationError(f"database: an Engine for {dialect.name} is not spoken here; take one of {', '.join(sorted(DIALECTS))}")
    if isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
        raise ConfigurationError(
            f"database: this Engine's {type(engine.pool).__name__} gives one connection to several users at once; sessionward"
            " needs one that nothing else uses (a file instead of an SQLite database in memory, or MemoryBackend())"
        )
    return Database(
        engine.url,
        engine,
        CompiledSQL.of(spoken, dialect.driver, dialect.paramstyle, statements(spoken), own=False),
        statements is of_own_tables,
    )


def own_engine(database: Database, *, pool_size: int, timeout: float) -> Engine:
    """An Engine of ours: autocommit, no overflow, nothing in its logs."""
    arguments: dict[str, Any] = {}
    name = database.url.get_backend_name()
    if database.sql.dialect is SQLITE:
        arguments["timeout"] = timeout
    elif name == "postgresql" and database.url.get_driver_name().startswith("psycopg"):
        arguments["connect_timeout"] = max(2, math.ceil(timeout))
    engine = create_engine(
        database.url,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=60,  # never waited for: whoever asks has a permit, or a deadline of its own
        pool_use_lifo=True,
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args=arguments,
    )
    for command in _on_connect(database, timeout):
        _say_on_connect(engine, command)
    return engine


def create_tables(database: Database, *, timeout: float) -> None:
    """Create what is missing, over the user's Engine, or over one of ours that is made for it and gone afterwards."""
    if database.engine is not None:
        create(database.engine)
        return
    engine = own_engine(database, pool_size=1, timeout=timeout)
    try:
        create(engine)
    finally:
        engine.dispose()


def _on_connect(database: Database, timeout: float) -> list[str]:
    """What each new connection of ours is told first."""
    name = database.url.get_backend_name()
    if name == "sqlite" and database.is_ours:
        return ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"]
    if name in ("mysql", "mariadb"):
        whole = max(1, math.ceil(timeout))
        return [f"SET SESSION innodb_lock_wait_timeout = {whole} /*M! , SESSION idle_transaction_timeout = {whole} */"]
    return []


def _say_on_connect(engine: Engine, command: str) -> None:
    def greet(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(command)
        cursor.close()

    event.listen(engine, "connect", greet)
