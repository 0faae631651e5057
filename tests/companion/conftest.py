"""Sites: an application with its own login behind a door that keeps companions, once for each side and each place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from sessionward.drive import run_sync
from sessionward.request.request import Sender
from tests.companion.identifiers import Awaited, Signed
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
        if "recalled" in self.side:
            if type(identifier) is not Signed:
                pytest.skip("not an identifier whose answers may be kept")
            identifier.cacheable = True
        kind = WebTestHouse if "webtest" in self.side else ASGIHouse
        house = kind(shop, self.place.backend, identify=Awaited(identifier) if "async" in self.side else identifier, **settings)
        self.opened.append(house)
        if "recalled" in self.side:
            _read_before(house, self.place, identifier)
        return house

    def signing(self, **settings: Any) -> tuple[SigningShop, Browser]:
        """The shop that signs its cookies, and a browser that is not signed in."""
        shop = SigningShop()
        return shop, Browser(self.open(shop, **settings))

    def storing(self, **settings: Any) -> tuple[StoringShop, Browser]:
        shop = StoringShop()
        return shop, Browser(self.open(shop, **settings))


@pytest.fixture(params=["asgi", "asgi, async identifier", "asgi, recalled", "webtest", "webtest, recalled"])
def side(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def memory(side: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """In memory only: for what fails, and what is counted."""
    place = MemoryPlace()
    monkeypatch.setattr("sessionward.door.handle.time", place.now)
    yield from _site(side, place)


@pytest.fixture(params=["memory", "sqlite"])
def site(request: pytest.FixtureRequest, side: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """In memory and in SQLite."""
    if request.param == "memory":
        place: Place = MemoryPlace()
        assert isinstance(place, MemoryPlace)
        monkeypatch.setattr("sessionward.door.handle.time", place.now)
    else:
        place = SQLitePlace(sqlite_url, is_async="webtest" not in side)
    yield from _site(side, place)


def _read_before(house: Any, place: Place, identifier: Any) -> None:
    """Has the mode read each request before it comes, as if the same had come before: one that was admitted takes the short way."""
    mode, ask = (house.app if isinstance(house, ASGIHouse) else house.door)._mode, house.ask

    def asked(method: str, path: str, *fields: tuple[str, str], **more: Any) -> Any:
        found = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        context = mode.context(Sender(None, None), [field for field in found if field[0] in mode.names], float, place.now)
        with place.unnoticed(), identifier.unnoticed(), suppress(Exception):
            run_sync(mode.on_request(context), lambda step: step.ask(place.aside))
        return ask(method, path, *fields, **more)

    house.ask = asked


def _site(side: str, place: Place) -> Iterator[Site]:
    site = Site(side, place)
    yield site
    for house in site.opened:
        house.close()
    place.close()
