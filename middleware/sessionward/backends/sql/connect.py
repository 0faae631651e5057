"""Finds out from a URL or an Engine where connections come from, and rejects what is not supported."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final, TypeAlias

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from sessionward.backends.sql import prepared
from sessionward.backends.sql.arguments import check_arguments
from sessionward.backends.sql.connecting import tell_of_connections
from sessionward.backends.sql.dialect import DIALECTS, SQLITE, Dialect
from sessionward.backends.sql.executor import CompiledSQL
from sessionward.backends.sql.statements import STATEMENTS
from sessionward.backends.sql.tables import create, metadata
from sessionward.errors import ConfigurationError

_SYNC: Final = {
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
    "sqlite": "sqlite+pysqlite",  # a whole query runs in a thread, on the standard library's sqlite3
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
"""Maps a driver to its module and to the extra that installs it."""

Schemas: TypeAlias = Mapping[str | None, str | None]
"""``schema_translate_map`` of the user's Engine: a schema, None for a table without one, and the schema that takes its place."""
Statements: TypeAlias = Callable[[Dialect, Schemas], Mapping[str, str]]
"""Returns the statements for a dialect, by name, on the tables in these schemas."""
SCHEMA: Final = re.compile(r"[\w$-][\w$ -]*")
"""The names of schemas that our statements can quote."""


def own_statements(dialect: Dialect, schemas: Schemas) -> Mapping[str, str]:
    """Returns the statements for our own three tables."""
    schema = schemas.get(None)
    if schema is None:
        return STATEMENTS
    holes = _Holes(add_user=dialect.add_user, add_state=dialect.add_state)
    place, ours = f"{dialect.quote}{schema}{dialect.quote}.", re.compile(r"\bsessionward_(?=users\b|sessions\b|state\b)")
    return {name: ours.sub(lambda found: place + found[0], text.format_map(holes)) for name, text in STATEMENTS.items()}


class _Holes(dict[str, str]):
    """Leaves the holes of a template that have no value."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


@dataclass(frozen=True, slots=True)
class Database:
    """Where connections come from.

    ``engine``: the user's own Engine, or None where we make one from ``url``. ``is_ours``: whether the tables are ours.
    """

    url: URL
    engine: Engine | None
    sql: CompiledSQL
    is_ours: bool
    schemas: Schemas = field(default_factory=dict[str | None, str | None])


def database_of(
    database: object,
    *,
    is_async: bool,
    statements: Statements = own_statements,
    class_names: tuple[str, str] = ("SQLBackend", "AsyncSQLBackend"),
) -> Database:
    """Returns where the connections come from.

    Raises :class:`ConfigurationError` for anything but a URL, an Engine (sync) or an AsyncEngine (async). ``class_names``: the
    sync backend and the async one, so that an error can name the other.
    """
    if isinstance(database, (str, URL)):
        return _from_url(database, is_async=is_async, statements=statements, class_names=class_names)
    engine: object = getattr(database, "sync_engine", None) if is_async else database
    if isinstance(engine, Engine):
        return _from_engine(engine, statements)
    kind = "an AsyncEngine" if is_async else "a sync Engine"
    raise ConfigurationError(f"database: must be a URL or {kind}, not {type(database).__name__}")


_REDIS: Final = "; for Redis, RedisBackend, or --backend with redis://, rediss://, redis+sentinel:// or redis+cluster://"


def _from_url(text: str | URL, *, is_async: bool, statements: Statements, class_names: tuple[str, str]) -> Database:
    """Raises :class:`ConfigurationError` for a URL that is not supported, or whose driver is not installed."""
    accepted = _ASYNC if is_async else _SYNC
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError("database: must be a database URL, for example sqlite:///sessions.db") from None
    if "@" in (url.host or ""):
        raise ConfigurationError("database: the URL has two @; percent-encode @ as %40 in a user name or password")
    drivername = accepted.get(url.drivername)
    if drivername is None:
        other, other_class = (_SYNC, class_names[0]) if is_async else (_ASYNC, class_names[1])
        way_out = f"use {other_class} for it, or " if url.drivername in other else ""
        if not way_out and url.get_backend_name() in accepted:
            way_out = f"write {url.get_backend_name()}://, or "
        redis = _REDIS if class_names[0] == "SQLBackend" else ""
        raise ConfigurationError(
            f"database: {url.drivername}:// is not supported; {way_out}use one of {', '.join(sorted(accepted))}{redis}"
        )
    url = url.set(drivername=drivername)
    prepared.arguments(url)
    if url.get_backend_name() == "sqlite" and _in_memory(url):
        if url.host:
            raise ConfigurationError(f"database: the name of an SQLite file must follow three slashes: sqlite:///{url.host}")
        raise ConfigurationError(
            "database: an SQLite database in memory belongs to one connection, so it is not supported; name a file, or use MemoryBackend()"
        )
    dialect_class = url.get_dialect()
    driver: str = dialect_class.driver
    module, extra = _EXTRAS.get(driver, ("sqlite3", ""))
    modules = [module] + (["greenlet"] if dialect_class.is_async else [])
    if any(find_spec(name) is None for name in modules):
        raise ConfigurationError(f"database: {url.drivername}:// needs {' and '.join(modules)}: pip install 'sessionward[{extra}]'")
    paramstyle = dialect_class().paramstyle
    check_arguments(url)
    dialect = DIALECTS[url.get_backend_name()]
    made = statements(dialect, {})
    return Database(url, None, CompiledSQL.of(dialect, driver, paramstyle, made, own=True), statements is own_statements)


def _in_memory(url: URL) -> bool:
    name = url.database or ""
    return not name or ":memory:" in name or "mode=memory" in name or url.query.get("mode") == "memory"


def _from_engine(engine: Engine, statements: Statements) -> Database:
    """Returns a database over the user's own Engine, which we never change and never dispose."""
    sqlalchemy_dialect = engine.dialect
    dialect = DIALECTS.get(sqlalchemy_dialect.name)
    if dialect is None:
        raise ConfigurationError(
            f"database: an Engine for {sqlalchemy_dialect.name} is not supported; use one for {', '.join(sorted(DIALECTS))}"
        )
    if isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
        raise ConfigurationError(
            f"database: the Engine's {type(engine.pool).__name__} gives one connection to several callers at once, and sessionward"
            " must not share one; use another pool (instead of an SQLite database in memory: a file, or MemoryBackend())"
        )
    schemas: Schemas = engine.get_execution_options().get("schema_translate_map") or {}
    if wrong := [schema for schema in schemas.values() if schema is not None and not SCHEMA.fullmatch(schema)]:
        raise ConfigurationError(
            f"database: the schema_translate_map of the Engine has the schema {wrong[0]!r}; use letters, digits, _, $, - and blanks,"
            " or pass an Engine without a map"
        )
    return Database(
        engine.url,
        engine,
        CompiledSQL.of(dialect, sqlalchemy_dialect.driver, sqlalchemy_dialect.paramstyle, statements(dialect, schemas), own=False),
        statements is own_statements,
        schemas,
    )


def own_engine(database: Database, *, pool_size: int, timeout: float) -> Engine:
    """Returns our own Engine: in autocommit mode, without overflow, and with no values in its logs."""
    arguments = prepared.arguments(database.url)
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
        pool_timeout=60,  # never reached: each caller has a permit, or a deadline of its own
        pool_use_lifo=True,
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args=arguments,
    )
    if database.sql.dialect is SQLITE and database.is_ours:
        event.listen(engine, "connect", _prepare_sqlite)
    if database.sql.dialect is not SQLITE:
        tell_of_connections(engine, database.sql.abort)
    for command in _first_commands(database, timeout):
        _run_on_connect(engine, command)
    return engine


def create_tables(database: Database, *, timeout: float) -> None:
    """Creates the tables that are missing, over the user's Engine or over a temporary one."""
    if database.engine is not None:
        create(database.engine)
        return
    engine = own_engine(database, pool_size=1, timeout=timeout)
    try:
        create(engine)
        if database.sql.dialect is SQLITE and database.is_ours:
            with engine.connect() as connection:
                _prepare_sqlite(connection.connection, None)  # the file was empty when this connection was made
    finally:
        engine.dispose()


def _first_commands(database: Database, timeout: float) -> list[str]:
    """Returns the commands that each new connection of our own Engine runs first."""
    name = database.url.get_backend_name()
    if name in ("mysql", "mariadb"):
        whole = max(1, math.ceil(timeout))
        return [f"SET SESSION innodb_lock_wait_timeout = {whole} /*M! , SESSION idle_transaction_timeout = {whole} */"]
    return []


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Turns a file to WAL if it holds our tables alone: in a file of the application's the mode is the application's."""
    cursor = connection.cursor()
    names = {
        name for (name,) in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'")
    }
    if names and names <= set(metadata.tables):
        with suppress(sqlite3.OperationalError):  # "locked" by another connection: the next one that we open tries again
            cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _run_on_connect(engine: Engine, command: str) -> None:
    def run(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(command)
        cursor.close()

    event.listen(engine, "connect", run)
