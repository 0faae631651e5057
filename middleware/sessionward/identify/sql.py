"""A query of the application's own tables: one parameter goes in, and the user's id comes out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final
from urllib.parse import quote

from sqlalchemy import URL, Engine, TextClause, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, CompileError, DBAPIError

from sessionward.errors import InvalidCredential, Mistakes, UsageError
from sessionward.identify.arguments import duration
from sessionward.identify.lookup import Header, Key, carriers, whose
from sessionward.session.identifier import DAY, AnonymousSession, Identity
from sessionward.settings import Duration

_DRIVERS: Final[Mapping[str, str]] = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_POOL_SIZE: Final = 10
MAX_ROWS: Final = 1000
"""Rows that may name the user of one session. A query that finds more is a mistake."""


class SQLQuery:
    """Says which user a session in a table of the application signs in. It only reads.

    - ``database``: a URL, or an Engine of SQLAlchemy. A file of SQLite is opened read-only.
    - ``query``: a SELECT with the one parameter ``:value``, such as ``SELECT name FROM auth_cookie WHERE cookie = :value``.
      Its first column is the user's id; NULL means that the session names no user. It must find live sessions only. A second
      column, if there is one, is the time of issue, which only a header needs: seconds since 1970, or a time in UTC.
    - ``cookie``, ``header``: what carries the value. ``header`` is a name, and perhaps a scheme.
    - ``pattern``, ``digest``: see :class:`sessionward.identify.lookup.Key`.
    - ``timeout``: seconds to connect, and for an answer where the driver has a limit.
    - ``lifetime``: the longest time that a login can live.

    A value for which there is no row is invalid, and so is one for which rows name different users.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: ClassVar[bool] = True
    server_side: ClassVar[bool] = True
    keeps_id_at_login: ClassVar[bool] = True

    def __init__(
        self,
        database: str | URL | Engine,
        query: str,
        *,
        cookie: str | None = None,
        header: Header | None = None,
        pattern: str | None = None,
        digest: str | None = None,
        timeout: Duration = 2.0,
        lifetime: Duration = 31 * DAY,
    ) -> None:
        mistakes = Mistakes()
        self.cookies, self.headers = carriers(mistakes, cookie, header)
        self.lifetime = duration(mistakes, "lifetime", lifetime)
        patience = duration(mistakes, "timeout", timeout, least=0.1)
        self._key = Key(mistakes, pattern=pattern, digest=digest)
        self._query = text(query)
        mistakes.add(_query_mistakes(query, self._query))
        engine = database if isinstance(database, Engine) else _engine(mistakes, database, patience)
        mistakes.raise_any()
        assert engine is not None
        self._engine = engine

    def __repr__(self) -> str:
        return f"SQLQuery(cookies={list(self.cookies)})"

    def close(self) -> None:
        """Closes the connections. The next question opens new ones."""
        self._engine.dispose()

    def identify(self, name: str, value: str, /) -> Identity | AnonymousSession:  # noqa: ARG002 - all carriers have the same query
        """Returns the user whose session this value names.

        Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the database raises.
        """
        key = self._key.of(value)
        rows = self._rows(key)
        if not rows:
            raise InvalidCredential("the table does not know the session")
        if len(rows) > MAX_ROWS or len({row[0] for row in rows}) > 1:
            raise InvalidCredential("the table names several users for the session, or has too many rows for it")
        return whose(rows[0][0], key, issued_at=_time(rows[0][1]) if len(rows[0]) > 1 else None)

    def _rows(self, key: str) -> list[Any]:
        try:
            return self._ask(key)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._ask(key)  # the database was restarted while the connection was idle; the pool has dropped it and its siblings

    def _ask(self, key: str) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(self._query, {"value": key}).fetchmany(MAX_ROWS + 1))


def _time(found: Any) -> float | None:
    if found is None:
        return None
    if isinstance(found, datetime):
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if isinstance(found, (int, float, Decimal)):
        return float(found)
    raise UsageError(f"the second column must be a number of seconds or a time, not {type(found).__name__}")


def _query_mistakes(query: str, prepared: TextClause) -> Iterator[str]:
    if not re.match(r"\s*(select|with)\b", query, re.IGNORECASE) or ";" in query.rstrip().rstrip(";"):
        yield "query: must be one SELECT, since an identifier only reads"
    try:
        parameters = set(prepared.compile().params)
    except CompileError as error:
        yield f"query: {error}"
        return
    if parameters != {"value"}:
        yield f"query: must have exactly one parameter, :value, and has {', '.join(f':{name}' for name in sorted(parameters)) or 'none'}"


def _engine(mistakes: Mistakes, database: str | URL, timeout: float) -> Engine | None:
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):  # its message would show the password
        mistakes.add(["database: must be a URL such as sqlite:///app.db or postgresql://user:password@host/name"])
        return None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    whole = max(1, math.ceil(timeout))
    arguments: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            mistakes.add(["database: must name the application's file, such as sqlite:///app.db"])
            return None
        if not url.database.startswith("file:"):  # as it is given, SQLite would create a file that is missing
            url = url.set(database=f"file:{quote(url.database)}").update_query_dict({"mode": "ro", "uri": "true"})
        arguments = {"timeout": timeout}
    elif url.get_driver_name() == "psycopg":
        arguments = {"connect_timeout": whole, "prepare_threshold": None}  # behind a pooler a prepared statement is another's
    elif url.get_driver_name() == "pymysql":
        arguments = {"connect_timeout": whole, "read_timeout": whole}
    return create_engine(
        url,
        connect_args=arguments,
        isolation_level="AUTOCOMMIT",  # a check is one statement, and each sees what is committed now
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=timeout,
        pool_recycle=1800,
    )
