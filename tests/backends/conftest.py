"""Worlds for the contract, one for each class, and empty tables for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.backends.schemas import Schema
from tests.backends.tableworld import TableWorld
from tests.contract.sql_world import Database, Kind, SQLWorld
from tests.support.services import SERVERS, fresh_database

Place = Callable[[Database], str]
Open = Callable[..., TableWorld]

collect_ignore = [] if find_spec("fastapi_users") else ["test_table_fastapi_users.py"]
"""fastapi-users holds SQLAlchemy below 2.1, and PyJWT to few versions."""


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The URL of a database by its name; skips where its server does not run."""

    def url(database: Database) -> str:
        if database == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/sessions.db"
        found: str = request.getfixturevalue(f"{database}_url")
        return found

    return url


@pytest.fixture
def own_place(sqlite_url: str) -> Iterator[Place]:
    """The URL of a database by its name, which no other test has and which is gone after the test."""
    with ExitStack() as stack:
        yield lambda name: sqlite_url if name == "sqlite" else stack.enter_context(fresh_database(SERVERS[name]))


@pytest.fixture(scope="class")
def sql_world(request: pytest.FixtureRequest, place: Place) -> Iterator[SQLWorld]:
    """The world of a class whose ``kind`` says which."""
    kind: Kind = request.cls.kind
    world = SQLWorld(kind, place(kind.database), timeout=10.0)
    try:
        world.sessions.create_tables()
        yield world
    finally:
        world.close()


@pytest.fixture
def world(sql_world: SQLWorld) -> SQLWorld:
    """The same, with nobody in it."""
    sql_world.clean()
    return sql_world


def others(connection: Connection) -> set[int]:
    """The connections of others to this database, by the server's numbers."""
    asked = {
        "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
    }[connection.dialect.name]
    return set(connection.exec_driver_sql(asked).scalars())


@pytest.fixture
def open_world(kind: Kind, place: Place) -> Iterator[Open]:
    """Makes worlds that are closed at the end."""
    with ExitStack() as closing:

        def opened(schema: Schema, **options: Any) -> TableWorld:
            world = TableWorld(kind, place(kind.database), schema, **options)
            closing.callback(world.close)
            return world

        yield opened
