"""A login that moves to a new session id within a lease: the user stays signed in, in each worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from sessionward.process import clock
from tests.companion.places import SQLitePlace
from tests.companion.shops import Browser, StoringShop
from tests.doors.sides import ASGIHouse, House, WebTestHouse

LEASE: Final = 0.2
"""Seconds. The clock of the workers stands, so that every answer is still trusted."""


@pytest.fixture(params=[ASGIHouse, WebTestHouse], ids=["asgi", "wsgi"])
def workers(request: pytest.FixtureRequest, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[House]]:
    """Two workers of one application. Each trusts what it has read by itself."""
    now = clock()
    for module in ("asgi", "wsgi"):
        monkeypatch.setattr(f"sessionward.{module}.clock", lambda: now)
    place, shop = SQLitePlace(sqlite_url, is_async=False), StoringShop()
    place.aside.set_lease(LEASE)
    houses = [request.param(shop, place.backend, identify=shop.identifier, lease=LEASE) for _ in range(2)]
    yield houses
    for house in houses:
        house.close()
    place.close()


def moved(workers: list[House]) -> Browser:
    """A browser whose session both workers trust, and which has then got a new id from the first one."""
    browser = Browser(workers[0])
    browser.get("/login/ann")
    for house in workers:
        browser.house = house
        assert browser.get("/sessions/session") == "ann"
    browser.house = workers[0]
    before = browser.jar["sid"]
    browser.get("/regenerate")
    assert browser.jar["sid"] != before
    return browser


@pytest.mark.parametrize("worker", [0, 1], ids=["the same worker", "another worker"])
def test_a_user_with_a_new_session_id_stays_signed_in_within_a_lease(workers: list[House], worker: int) -> None:
    browser = moved(workers)
    browser.house = workers[worker]
    assert [browser.me(), browser.get("/sessions/session")] == ["ann", "ann"]


@pytest.mark.parametrize("worker", [0, 1], ids=["the same worker", "another worker"])
def test_the_button_works_within_a_lease_after_the_id_has_changed(workers: list[House], worker: int) -> None:
    browser = moved(workers)
    browser.house = workers[worker]
    answer = browser.press()
    assert (answer.status, answer.json()) == (200, {"count": 0})
    assert browser.me() == "ann"


@pytest.mark.parametrize("worker", [0, 1], ids=["the same worker", "another worker"])
def test_p1_a_companion_that_has_ended_meanwhile_does_not_go_with_the_new_id(workers: list[House], worker: int) -> None:
    browser = moved(workers)
    workers[0].backend.revoke_all("ann")
    browser.house = workers[worker]
    assert [browser.get("/sessions/session"), browser.me()] == ["nobody", "nobody"]
    assert browser.press().status == 401
