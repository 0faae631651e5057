"""Fixtures of the tortures: the databases, and the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sessionward.backends.sql import SQLBackend
from tests.torture.crew import Crew


class Databases(Mapping[str, str]):
    """A URL for each kind of database, with our tables; asked for when it is needed, so that a missing one skips there."""

    def __init__(self, makers: Mapping[str, Callable[[], str]]) -> None:
        self._makers = makers
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._made:
            url = self._makers[name]()
            backend = SQLBackend(url, timeout=30)
            backend.create_tables()
            backend.close()
            self._made[name] = url
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """``sqlite``, ``postgresql`` and ``mariadb``."""
    folder: Path = tmp_path_factory.mktemp("torture")
    return Databases(
        {
            "sqlite": lambda: f"sqlite:///{folder}/sessions.db",
            "postgresql": lambda: str(request.getfixturevalue("postgresql_url")),
            "mariadb": lambda: str(request.getfixturevalue("mariadb_url")),
        }
    )


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    """Worker processes for the whole session."""
    with Crew() as workers:
        yield workers
