"""Many sessions of one user in our own tables: one statement over a set of rows, within the promised time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from tests.backends.conftest import Place
from tests.contract.sql_world import FROM_URL, SESSIONS, Kind, SQLWorld

MANY = 10_000
PROMISED = 2.0
"""Seconds: the default ``backend_timeout``."""


@pytest.fixture
def world(kind: Kind, place: Place) -> Iterator[SQLWorld]:
    world = SQLWorld(kind, place(kind.database), timeout=PROMISED)
    world.sessions.create_tables()
    world.clean()
    yield world
    world.clean()
    world.close()


def fill(world: SQLWorld, like: Any, number: int) -> None:
    """So many sessions like one that there is."""
    with world.safe.begin() as connection:
        if world.kind.database == "sqlite":
            connection.exec_driver_sql("BEGIN")  # this Engine leaves transactions to us
        row = dict(connection.execute(select(SESSIONS).where(SESSIONS.c.id == world.id(like))).mappings().one())
        for start in range(0, number, 5000):
            made = [{**row, "id": uuid4(), "digest": os.urandom(32)} for _ in range(min(5000, number - start))]
            for one in made if world.kind.database == "mariadb" else ():
                one["id"] = one["id"].hex
            connection.execute(insert(SESSIONS), made)


@pytest.mark.parametrize("kind", FROM_URL, ids=str)
def test_ten_thousand_sessions_of_one_user_are_revoked_within_the_promised_time(kind: Kind, world: SQLWorld) -> None:
    own, bystander = world.sign_in(), world.sign_in("bob")
    fill(world, own.session, MANY)
    assert world.sessions.revoke_others(own.session) == MANY
    assert world.sessions.revoke_others(own.session) == 0
    assert world.lives(own, bystander) == [True, True]


@pytest.mark.parametrize("kind", FROM_URL, ids=str)
def test_a_login_brings_ten_thousand_sessions_down_to_the_limit_within_the_promised_time(kind: Kind, world: SQLWorld) -> None:
    own = world.sign_in()
    world.pass_time(10)
    fill(world, own.session, MANY)
    new = world.login(max_sessions=1000)
    assert len(world.sessions.list("ann")) == 1000
    assert world.lives(new) == [True]
