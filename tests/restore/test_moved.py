"""Mode companion on a backend that is empty: a new one, or one that was emptied. It knows of no revocation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.cli import main
from tests.companion.shops import SigningShop
from tests.doors.sides import ASGIHouse, House, WebTestHouse
from tests.restore.test_companions import signed_in
from tests.support.redis_servers import Node


@pytest.fixture(params=["sqlite", "redis"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database in which there is nothing."""
    if request.param == "redis":
        node: Node = request.getfixturevalue("own_redis")
        return node.url
    url = f"sqlite:///{tmp_path}/new.db"
    with closing(SQLBackend(url)) as backend:
        backend.create_tables()
    return url


def backend_over(url: str, side: str) -> Any:
    if url.startswith("redis"):
        return (AsyncRedisBackend if side == "asgi" else RedisBackend)(url, timeout=10.0)
    return (AsyncSQLBackend if side == "asgi" else SQLBackend)(url, timeout=10.0)


@pytest.fixture
def shop() -> SigningShop:
    return SigningShop()


@pytest.fixture
def house(shop: SigningShop, side: str, tmp_path: Path) -> Iterator[House]:
    """The shop on the backend of before."""
    url = f"sqlite:///{tmp_path}/old.db"
    with closing(SQLBackend(url)) as backend:
        backend.create_tables()
    kind = ASGIHouse if side == "asgi" else WebTestHouse
    made: House = kind(shop, backend_over(url, side), backend_timeout=10.0, identify=shop.identifier)
    yield made
    made.close()


@pytest.fixture
def moved(house: House, side: str, empty: str) -> Callable[[], str]:
    """Moves the house to the empty database, of which it returns the user that a revoked bare login cookie is taken for."""
    own, other = signed_in(house, "ann"), signed_in(house, "ann")
    thief = other.copied()
    assert own.press().json() == {"count": 1}
    assert thief.copied().me() == "nobody"

    def move() -> str:
        house.close()
        house.backend = backend_over(empty, side)
        house.open()
        return thief.copied().me()

    return move


def test_p6_after_restored_on_the_new_backend_a_login_cookie_that_was_revoked_stays_out(
    moved: Callable[[], str], house: House, empty: str
) -> None:
    assert main(["restored", "--backend", empty]) == 0
    assert moved() == "nobody"
    assert signed_in(house, "ann").me() == "ann"


def test_canary_without_it_that_login_cookie_passes_again(moved: Callable[[], str]) -> None:
    assert moved() == "ann"
