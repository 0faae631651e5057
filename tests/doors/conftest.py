"""Houses: an application behind a door, once for each side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.doors.keepers import KINDS, Keeper, keeping
from tests.doors.sides import SIDES, Builder, House


@pytest.fixture(params=[*SIDES])
def build(request: pytest.FixtureRequest) -> Iterator[Builder]:
    """Builds a house: every scenario runs through every side."""
    built: list[House] = []
    yield Builder(request.param, SIDES[request.param], built)
    for house in built:
        house.close()


@pytest.fixture(params=KINDS)
def keeper(request: pytest.FixtureRequest, build: Builder, sqlite_url: str) -> Iterator[Keeper]:
    """Where the sessions are, for the scenarios that run on a database as well."""
    with keeping(request.param, sqlite_url, is_asgi=build.is_asgi) as keeper:
        yield keeper


@pytest.fixture
def sqlite(build: Builder, sqlite_url: str) -> Iterator[Callable[..., Keeper]]:
    """Makes a keeper on SQLite with settings of its own."""
    made: list[Any] = []

    def make(**settings: Any) -> Keeper:
        aside = SQLBackend(sqlite_url)
        aside.create_tables()
        made.append(aside)
        return Keeper((AsyncSQLBackend if build.is_asgi else SQLBackend)(sqlite_url, **settings), aside)

    yield make
    for backend in made:
        backend.close()
