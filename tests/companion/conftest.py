"""Sites: an application with its own login behind a door that keeps companions, once for each side and each place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.companion.identifiers import Awaited
from tests.companion.places import MemoryPlace, Place, SQLitePlace
from tests.companion.shops import Browser, Shop, SigningShop, StoringShop
from tests.doors.sides import ASGIHouse, House, WebTestHouse


@dataclass
class Site:
    """Opens applications on one side, over one place."""

    side: str
    place: Place
    opened: list[House] = field(default_factory=list)

    def open(self, shop: Shop, identify: Any = None, **settings: Any) -> House:
        identifier = getattr(shop, "identifier", None) if identify is None else identify
        kind = WebTestHouse if self.side == "webtest" else ASGIHouse
        house = kind(shop, self.place.backend, identify=Awaited(identifier) if "async" in self.side else identifier, **settings)
        self.opened.append(house)
        return house

    def signing(self, **settings: Any) -> tuple[SigningShop, Browser]:
        """The shop that signs its cookies, and a browser that is not signed in."""
        shop = SigningShop()
        return shop, Browser(self.open(shop, **settings))

    def storing(self, **settings: Any) -> tuple[StoringShop, Browser]:
        shop = StoringShop()
        return shop, Browser(self.open(shop, **settings))


@pytest.fixture(params=["asgi", "asgi, async identifier", "webtest"])
def side(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def memory(side: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """In memory only: for what fails, and what is counted."""
    place = MemoryPlace()
    monkeypatch.setattr("sessionward.door.time", place.now)
    yield from _site(side, place)


@pytest.fixture(params=["memory", "sqlite"])
def site(request: pytest.FixtureRequest, side: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """In memory and in SQLite."""
    if request.param == "memory":
        place: Place = MemoryPlace()
        assert isinstance(place, MemoryPlace)
        monkeypatch.setattr("sessionward.door.time", place.now)
    else:
        place = SQLitePlace(sqlite_url, is_async=side != "webtest")
    yield from _site(side, place)


def _site(side: str, place: Place) -> Iterator[Site]:
    site = Site(side, place)
    yield site
    for house in site.opened:
        house.close()
    place.close()
