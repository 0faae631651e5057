"""Named prepared statements, which save PostgreSQL most of the time of a check, and which a pooler may not allow.

Behind a pooler in transaction mode (PgBouncer), the next statement may run on another connection of the server, which does not know
the name. A pooler gives each client a cancel key of its own, so the process that it names is not the one that answers.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import URL
from sqlalchemy.pool import PoolProxiedConnection

from sessionward.errors import ConfigurationError

SETTINGS: Final = ("prepare_threshold", "prepared_statement_cache_size", "statement_cache_size")
"""By these a URL decides for all its connections, so that we do not look whether a pooler is there."""
ALLOWED: Final = "sessionward: named prepared statements are allowed"
"""By this a connection keeps whether it leads straight to a server. A new one does not know yet."""
THRESHOLD: Final = 5
"""After so many executions psycopg prepares a statement, as it does by default."""


def arguments(url: URL) -> dict[str, Any]:
    """Returns the arguments of a driver under which it makes no named prepared statement by itself, unless the URL asks for them.

    Raises :class:`ConfigurationError` if the URL asks for what is neither a number nor ``none``, which psycopg has for none at all.
    """
    if url.get_backend_name() != "postgresql":
        return {}
    asked = {name: _number(name, url.query[name]) for name in SETTINGS if name in url.query}
    if url.get_driver_name() != "asyncpg":
        return {"prepare_threshold": None, **asked}
    if any(asked.values()):
        return dict(asked)
    # An unnamed one lives from its Parse to its Execute, between which asyncpg sends no Sync: a pooler keeps these together.
    return {"statement_cache_size": 0, "prepared_statement_cache_size": 0, "prepared_statement_name_func": str}


def may_be_made(url: URL) -> bool:
    """Returns whether it depends on the connection: for PostgreSQL, by a driver that can make them, if the URL says nothing."""
    return url.get_backend_name() == "postgresql" and not any(name in url.query for name in SETTINGS)


def allow_where_direct(held: PoolProxiedConnection) -> None:
    """Finds out about a new connection whether a pooler is between us and the server, and allows named prepared statements if none is.

    Behind a pooler the answer may take as long as any other. So it is asked within the deadline of the first query, and not in the
    event of the Engine for new connections, where nothing ends the wait.
    """
    driver: Any = held.driver_connection
    named = driver.get_server_pid() if hasattr(driver, "get_server_pid") else driver.info.backend_pid
    cursor = held.cursor()
    try:
        cursor.execute("SELECT pg_backend_pid()")
        ((answering,),) = cursor.fetchall()
    finally:
        cursor.close()
    held.info[ALLOWED] = answering == named
    if answering == named and hasattr(driver, "prepare_threshold"):
        driver.prepare_threshold = THRESHOLD


async def by_asyncpg(connection: Any, info: MutableMapping[Any, Any], text: str) -> Any:
    """Returns the prepared statement of a connection of asyncpg, or None where none is allowed. ``info``: what is kept beside it."""
    statement = info.get(text)
    if statement is None and info.get(ALLOWED):
        # By a name of its own, so that a connection can never run another statement in its place.
        statement = info[text] = await connection.prepare(text, name=f"sessionward_{sha256(text.encode()).hexdigest()[:16]}")
    return statement


def _number(name: str, value: str | tuple[str, ...]) -> int | None:
    last = value if isinstance(value, str) else value[-1]
    if last.lower() == "none":
        return None
    if not last.isdecimal() or not last.isascii():
        raise ConfigurationError(f"database: {name} in the URL must be a whole number or none, not {last!r}")
    return int(last)
