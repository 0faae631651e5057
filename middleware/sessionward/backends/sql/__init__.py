"""Sessions in SQLite, PostgreSQL, MariaDB or MySQL, sync and async.

``SQLBackend`` and ``AsyncSQLBackend`` run the same queries on the same three tables. ``metadata`` describes these tables to
Alembic.
"""

from sessionward.backends.sql.backend import AsyncSQLBackend, SQLBackend
from sessionward.backends.sql.tables import metadata

__all__ = ["AsyncSQLBackend", "SQLBackend", "metadata"]
