"""A backend over a table of the application's own, as ``--backend`` can name it."""

from __future__ import annotations

import os
import sqlite3

from sessionward.backends.table import AsyncTableBackend


def fill(path: str) -> None:
    """Two sessions of one user, and one of another."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE logins (token TEXT PRIMARY KEY, account TEXT NOT NULL)")
        database.executemany("INSERT INTO logins VALUES (?, ?)", [("one", "ann"), ("two", "ann"), ("three", "bob")])
    database.close()


def backend() -> AsyncTableBackend:
    return AsyncTableBackend(f"sqlite:///{os.environ['LOGINS']}", "logins", key="token", user="account", cookie="sid")
