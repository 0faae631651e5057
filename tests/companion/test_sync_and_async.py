"""Backends and identifiers of every kind, sync and async, those that wait included, behind both doors: the same story."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.identify import Function, Identity
from tests.companion.identifiers import Awaited, Signed, sealed
from tests.companion.shops import Browser, SigningShop
from tests.doors.sides import COOKIE, ASGIHouse, House, WebTestHouse


class Waiting(Signed):
    """One that reads a store. ``threads``: where it was asked."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def identify(self, name: str, value: str, /) -> Identity | None:
        self.threads.add(threading.get_ident())
        return super().identify(name, value)


BACKENDS: Final[dict[str, Callable[[str], Any]]] = {
    "memory": lambda url: MemoryBackend(),
    "sync SQL": SQLBackend,
    "async SQL": AsyncSQLBackend,
}
IDENTIFIERS: Final[dict[str, Callable[[], Any]]] = {
    "in place": Signed,
    "waiting": Waiting,
    "async": lambda: Awaited(Signed()),
    "a function": lambda: Function(Signed().identify, cookies=Signed.cookies, lifetime=1000),
}
COMBINATIONS: Final = [
    pytest.param(house, backend, identifier, id=f"{house.__name__}, {backend}, {identifier}")
    for house in (ASGIHouse, WebTestHouse)
    for backend in BACKENDS
    for identifier in IDENTIFIERS
    if not (house is WebTestHouse and (backend == "async SQL" or identifier == "async"))
    and not (backend == "sync SQL" and identifier == "async")
]


@pytest.fixture
def opened(sqlite_url: str) -> Iterator[Callable[..., House]]:
    """Opens a house."""
    aside = SQLBackend(sqlite_url)
    aside.create_tables()
    made: list[House] = []

    def open_house(kind: Callable[..., House], backend: str, identify: Any, **settings: Any) -> House:
        made.append(kind(SigningShop(), BACKENDS[backend](sqlite_url), identify=identify, **settings))
        return made[-1]

    yield open_house
    for house in made:
        house.close()
    aside.close()


@pytest.mark.parametrize(("kind", "backend", "identifier"), COMBINATIONS)
def test_the_same_story_sync_and_async(opened: Callable[..., House], kind: Callable[..., House], backend: str, identifier: str) -> None:
    house = opened(kind, backend, IDENTIFIERS[identifier]())
    first, second, old = Browser(house), Browser(house), Browser(house, {"session": sealed("ann.0")})
    first.get("/login/ann.1")
    second.get("/remember/ann.2")
    thief = second.copied()
    assert [browser.me() for browser in (first, second, old)] == ["ann"] * 3
    assert old.companion is not None
    assert first.press().json() == {"count": 2}
    assert [browser.me() for browser in (first, second, old, thief)] == ["ann", "nobody", "nobody", "nobody"]
    second.get("/login/bob.1")
    assert [second.me(), first.me()] == ["bob", "ann"]
    first.get("/logout")
    assert [first.me(), COOKIE in first.jar, second.press().json()] == ["nobody", False, {"count": 0}]


@pytest.mark.parametrize("backend", ["memory", "sync SQL", "async SQL"])
def test_an_identifier_that_waits_is_never_asked_on_the_event_loop(opened: Callable[..., House], backend: str) -> None:
    identifier = Waiting()
    browser = Browser(opened(ASGIHouse, backend, identifier))
    browser.get("/login/ann.1")
    assert browser.me() == "ann"
    assert identifier.threads
    assert threading.get_ident() not in identifier.threads


@pytest.mark.parametrize("backend", ["memory", "async SQL"])
def test_p7_an_async_identifier_that_never_answers_is_503_within_the_deadline(opened: Callable[..., House], backend: str) -> None:
    async def silent(name: str, value: str) -> str:
        await asyncio.wait_for(asyncio.Event().wait(), 8)
        raise AssertionError

    house = opened(ASGIHouse, backend, Function(silent, cookies=["session"]), backend_timeout=0.2)
    began = time.monotonic()
    answer = Browser(house, {"session": sealed("ann.1")}).ask("GET", "/me")
    assert (answer.status, answer.error, house.seen) == (503, "backend_unavailable", [])
    assert 0.1 < time.monotonic() - began < 5


def test_p7_a_sync_identifier_that_never_answers_is_503_within_the_deadline(opened: Callable[..., House]) -> None:
    goes_on = threading.Event()

    def silent(name: str, value: str) -> None:
        goes_on.wait(8)

    house = opened(ASGIHouse, "async SQL", Function(silent, cookies=["session"]), backend_timeout=0.2)
    began = time.monotonic()
    try:
        answer = Browser(house, {"session": sealed("ann.1")}).ask("GET", "/me")
    finally:
        goes_on.set()
    assert (answer.status, house.seen) == (503, [])
    assert time.monotonic() - began < 5
