"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.services import MARIADB, POSTGRESQL, fresh_database

settings.register_profile("sessionward", deadline=None, database=None)  # no test hangs on how busy the machine is
settings.load_profile("sessionward")


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A fresh PostgreSQL database, as ``postgresql://...``."""
    with fresh_database(POSTGRESQL) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """A fresh MariaDB database, as ``mysql://...``."""
    with fresh_database(MARIADB) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database file that does not exist yet, as ``sqlite:///...``."""
    return f"sqlite:///{tmp_path}/sessions.db"
