"""Houses with the session API, once for each door and for the sidecar's gate, and where their sessions are."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.api.houses import PLACES, Opener
from tests.doors.keepers import KINDS, Keeper, keeping

collect_ignore = [] if find_spec("schemathesis") else ["test_schemathesis.py"]


@pytest.fixture(params=[*PLACES])
def open_house(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens houses: every scenario runs in every place."""
    opened: list[Any] = []
    yield Opener(request.param, opened)
    for house in opened:
        house.close()


@pytest.fixture(params=KINDS)
def keeper(request: pytest.FixtureRequest, open_house: Opener, sqlite_url: str) -> Iterator[Keeper]:
    """Where the sessions are, for the scenarios that run on a database as well."""
    with keeping(request.param, sqlite_url, is_asgi=open_house.is_asgi) as keeper:
        yield keeper
