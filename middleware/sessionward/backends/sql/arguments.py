"""What of a database URL its driver does not take, and what to write for it.

A driver tells it when it connects, with an error of its own. We ask at start.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError

from sessionward.errors import ConfigurationError

_CONNECT: Final = {
    "psycopg": ("psycopg", "connect"),
    "asyncpg": ("asyncpg", "connect"),
    "pymysql": ("pymysql.connections", "Connection"),
    "asyncmy": ("asyncmy.connection", "Connection"),
}
"""Maps a driver to what its connections are made by, a module and a name in it."""
_SQLITE: Final = frozenset({"timeout", "detect_types", "isolation_level", "check_same_thread", "cached_statements", "uri", "autocommit"})
_OF_SQLALCHEMY: Final = frozenset(
    {"prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback", "async_creator_fn", "client_flag"}
)
"""The arguments that SQLAlchemy uses itself and does not pass to the driver."""
_INSTEAD: Final[Mapping[tuple[str, str], str]] = {
    ("asyncpg", "sslmode"): "write ssl={value}",
    ("psycopg", "ssl"): "write sslmode={value}",
    ("asyncpg", "connect_timeout"): "write timeout={value}",
    ("asyncpg", "dbname"): "write the name of the database behind the host",
    **{("asyncpg", name): "pass an AsyncEngine with connect_args={{'ssl': ...}}" for name in ("sslrootcert", "sslcert", "sslkey")},
    **{("asyncpg", name): "pass an AsyncEngine with connect_args={{'server_settings': ...}}" for name in ("application_name", "options")},
    **{
        (driver, name): "write ssl_ca=/path/to/ca.pem"
        for driver in ("pymysql", "asyncmy")
        for name in ("sslmode", "ssl_mode", "ssl-mode", "sslrootcert", "tls")
    },
}


def check_arguments(url: URL) -> None:
    """Raises :class:`ConfigurationError` if the URL says something that its driver does not take. It never shows a value of
    which it does not know that it is no secret.
    """
    if not url.query:
        return
    driver: str = url.get_dialect().driver
    try:
        _, arguments = url.get_dialect()().create_connect_args(url)
    except (ArgumentError, TypeError, ValueError):
        raise ConfigurationError(f"database: {driver} does not take one of {', '.join(url.query)}; correct the part after the ?") from None
    mistakes = [f"database: {driver} does not take {name}; {_way_out(driver, name, url)}" for name in _unknown(driver, arguments)]
    if mistakes:
        raise ConfigurationError(*mistakes)


def _way_out(driver: str, name: str, url: URL) -> str:
    value = url.query.get(name, "") if name in ("ssl", "sslmode", "connect_timeout") else ""
    return _INSTEAD.get((driver, name), "leave it out of the URL, or pass an Engine with what the driver takes").format(value=value)


def _unknown(driver: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yields the arguments that the driver would not take."""
    named, takes_any = _named(driver)
    for name in arguments:
        if name in named or name in _OF_SQLALCHEMY:
            continue
        if not takes_any or (driver == "psycopg" and not _is_of_libpq(name, arguments[name])):
            yield name


def _named(driver: str) -> tuple[Collection[str], bool]:
    """Returns the arguments of a driver, and whether it takes others, too."""
    if driver not in _CONNECT:
        return _SQLITE, False
    module, name = _CONNECT[driver]
    try:
        parameters = inspect.signature(getattr(import_module(module), name)).parameters
    except (TypeError, ValueError):  # compiled, without a signature
        return (), True
    return parameters, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def _is_of_libpq(name: str, value: Any) -> bool:
    conninfo = import_module("psycopg.conninfo")
    try:
        conninfo.make_conninfo("", **{name: value})
    except Exception:  # psycopg has an error of its own for it
        return False
    return True
