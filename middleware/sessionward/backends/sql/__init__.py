"""Sessions in SQLite, PostgreSQL, MariaDB or MySQL, in both colours.

``SQLBackend`` is plain, ``AsyncSQLBackend`` is async; both ask the same questions of the same two tables. ``metadata``
is what Alembic needs to see of them.
"""

from sessionward.backends.sql.aio import AsyncSQLBackend
from sessionward.backends.sql.backend import SQLBackend
from sessionward.backends.sql.tables import metadata

__all__ = ["AsyncSQLBackend", "SQLBackend", "metadata"]
