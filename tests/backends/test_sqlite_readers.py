"""A file of the application's own is not in WAL mode: there a writer holds up readers, and a read must end at its deadline too."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sessionward import BackendUnavailable
from sessionward.backends.table import AsyncTableBackend, TableBackend
from sessionward.credential.token import Credential
from sessionward.testing.bridge import Loop

TIMEOUT: Final = 0.3
MARGIN: Final = 1.2
"""Seconds for a busy machine. Connections would wait 2 s by themselves, and those of an Engine 5 s."""
TABLE: Final[dict[str, Any]] = {"table": "tokens", "key": "key", "user": "user_id", "cookie": "sid"}
TOKEN: Final = Credential(b"a-token-of-ann-that-nobody-guesses")

Find = Callable[[], Any]


@contextmanager
def sync(database: Any) -> Iterator[Find]:
    backend = TableBackend(database, **TABLE)
    yield lambda: backend.within(TIMEOUT).find(TOKEN)
    backend.close()


@contextmanager
def asynchronous(database: Any) -> Iterator[Find]:
    loop, backend = Loop(), AsyncTableBackend(database, **TABLE)
    yield lambda: loop.run(backend.within(TIMEOUT).find(TOKEN))
    loop.run(backend.close())
    loop.close()


WAYS: Final[dict[str, Callable[[str], Any]]] = {
    "sync, a URL": lambda file: sync(f"sqlite:///{file}"),
    "sync, an Engine": lambda file: sync(create_engine(f"sqlite:///{file}", poolclass=NullPool)),
    "async, a URL": lambda file: asynchronous(f"sqlite:///{file}"),
    "async, an Engine": lambda file: asynchronous(create_async_engine(f"sqlite+aiosqlite:///{file}", poolclass=NullPool)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_p7_a_read_that_waits_for_a_writer_is_given_up_within_the_deadline(way: Callable[[str], Any], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as application:
        application.execute("CREATE TABLE tokens (key TEXT PRIMARY KEY, user_id TEXT NOT NULL)")
        application.execute("INSERT INTO tokens VALUES (?, 'ann')", [TOKEN.reveal()])
        with way(str(tmp_path / "app.db")) as find:
            for _ in range(2):  # on a new connection, and on one that was kept
                application.execute("BEGIN EXCLUSIVE")
                began = monotonic()
                with pytest.raises(BackendUnavailable):
                    find()
                assert monotonic() - began < TIMEOUT + MARGIN
                application.execute("ROLLBACK")
                assert find().user_id == "ann"


def test_an_engine_of_the_applications_keeps_its_own_limit(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db", connect_args={"timeout": 7})
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE tokens (key TEXT PRIMARY KEY, user_id TEXT NOT NULL)")
        connection.exec_driver_sql("INSERT INTO tokens VALUES (?, 'ann')", (TOKEN.reveal(),))
        connection.commit()
    with sync(engine) as find:
        assert find().user_id == "ann"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 7000
    engine.dispose()
