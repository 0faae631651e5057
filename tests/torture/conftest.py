"""Fixtures of the tortures: the databases, and the workers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from sessionward.backends.sql import SQLBackend
from tests.torture.crew import Crew
from tests.torture.redis_keys import forget, is_redis


class Databases(Mapping[str, str]):
    """A URL for each kind of database, with our tables, and for Redis; asked for when it is needed, so that a missing one skips there."""

    def __init__(self, makers: Mapping[str, Callable[[], str]]) -> None:
        self._makers = makers
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._made:
            url = self._makers[name]()
            if not is_redis(url):
                backend = SQLBackend(url, timeout=30)
                backend.create_tables()
                backend.close()
            self._made[name] = url
        return self._made[name]

    def used(self) -> Collection[str]:
        """The names of those that were asked for."""
        return self._made.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """``sqlite``, ``postgresql``, ``mariadb``, ``redis`` and ``redis cluster``."""
    folder: Path = tmp_path_factory.mktemp("torture")
    prefix = f"torture-{uuid4().hex[:12]}"
    made = Databases(
        {
            "sqlite": lambda: f"sqlite:///{folder}/sessions.db",
            "postgresql": lambda: str(request.getfixturevalue("postgresql_url")),
            "mariadb": lambda: str(request.getfixturevalue("mariadb_url")),
            "redis": lambda: f"{request.getfixturevalue('redis_url')}#{prefix}",
            "redis cluster": lambda: f"{request.getfixturevalue('shared_cluster').url}#{prefix}",
        }
    )
    yield made
    if "redis" in made.used():
        forget(made["redis"])


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    """Worker processes for the whole session."""
    with Crew() as workers:
        yield workers
