"""A process that takes the write lock of an SQLite file and keeps it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from multiprocessing.connection import Connection


def hold_the_lock(path: str, line: Connection) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        line.send("held")
        line.poll(60)
        database.execute("ROLLBACK")
