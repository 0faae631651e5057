"""A row that cannot be read: 503 for its user and for nobody else, also where a check needs no thread."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import make_url

from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.doors.sides import ASGIHouse, Browser, WebTestHouse, town

KINDS = {"asgi": (ASGIHouse, SQLBackend), "asgi, async": (ASGIHouse, AsyncSQLBackend), "wsgi": (WebTestHouse, SQLBackend)}


@pytest.mark.parametrize(("side", "kind"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("column", ["issued_at", "expires_at"])
def test_p7_a_row_that_cannot_be_read_is_503(side: type[ASGIHouse], kind: type[SQLBackend], column: str, sqlite_url: str) -> None:
    backend = SQLBackend(sqlite_url)
    backend.create_tables()
    backend.close()
    house = side(town, kind(sqlite_url))
    ann, bob = Browser(house), Browser(house)
    ann.sign_in("ann")
    bob.sign_in("bob")
    for _ in range(2):
        assert bob.me() == "bob"
    spares = house.backend._at_once._spares()
    kept = [*spares.idle]
    assert kept, "checks need no thread here"
    with closing(sqlite3.connect(str(make_url(sqlite_url).database), isolation_level=None)) as other:
        other.execute(f"UPDATE sessionward_sessions SET {column} = 'garbage' WHERE user_id = 'ann'")
    for _ in range(3):
        for answer in (ann.ask("GET", "/me"), ann.press()):
            assert (answer.status, answer.error) == (503, "backend_unavailable")
        assert bob.me() == "bob"
    assert [*spares.idle] == kept
    house.close()
