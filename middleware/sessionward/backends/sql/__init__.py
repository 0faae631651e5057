"""Sessions in SQLite, PostgreSQL, MariaDB or MySQL, sync and async.

``SQLBackend`` and ``AsyncSQLBackend`` ask the same queries of the same two tables. ``metadata`` is what Alembic needs to see
of them.
"""

from sessionward.backends.sql.backend import AsyncSQLBackend, SQLBackend
from sessionward.backends.sql.tables import metadata

__all__ = ["AsyncSQLBackend", "SQLBackend", "metadata"]
