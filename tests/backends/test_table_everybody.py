"""All rows of the application's table end at once, after a backup of it has been restored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Column, DateTime, String, insert
from sqlalchemy.dialects import mysql

from sessionward import BackendUnavailable, SessionRevoked
from sessionward.backends.table import AsyncTableBackend, RevokedBy
from tests.backends.conftest import Open
from tests.backends.schemas import AUTHJS, BETTER_AUTH, HOUR, LARAVEL, OWN, Schema
from tests.backends.tableworld import TableWorld, simple
from tests.contract.sql_world import FROM_URL, PSYCOPG, SQLITE, Kind

every_driver = pytest.mark.parametrize("kind", FROM_URL, ids=str)
EARLIER = datetime(2020, 1, 1, tzinfo=UTC)
ways = pytest.mark.parametrize("schema", [AUTHJS, BETTER_AUTH, LARAVEL, OWN], ids=str)


def revoke_everybody(world: TableWorld) -> None:
    world.run(world.backend.revoke_everybody()) if isinstance(world.backend, AsyncTableBackend) else world.backend.revoke_everybody()


@every_driver
@ways
def test_p6_a_restored_backup_revives_the_revoked_and_this_ends_everybody(kind: Kind, schema: Schema, open_world: Open) -> None:
    world = open_world(schema)
    own, other, foreign = world.sign_in(), world.sign_in(), world.sign_in("bob")
    backup = [dict(row) for row in world.rows()]
    assert world.sessions.revoke_others(own.session) == 1
    world.clean()
    with world.safe.begin() as connection:
        connection.execute(insert(schema.table), backup)
    assert world.lives(own, other, foreign) == [True] * 3, "the backup must revive it, or this shows nothing"
    revoke_everybody(world)
    assert world.lives(own, other, foreign) == [False] * 3
    new, newer = world.sign_in(), world.sign_in()
    assert world.sessions.revoke_others(new.session) == 1
    assert world.lives(new, newer) == [True, False]
    revoke_everybody(world)
    revoke_everybody(world)
    assert world.lives(new) == [False]


@every_driver
def test_rows_without_a_user_and_rows_that_are_no_sessions_stay(kind: Kind, open_world: Open) -> None:
    schema = simple(Column("context", String(32)), where={"context": "session"})
    world = open_world(schema)
    kept = [world.insert("bob", context="reset_password"), world.insert("ann", owner=None, context="session")]
    kept.append(world.insert("ann", owner="", context="session"))
    ended = world.sign_in(context="session")
    revoke_everybody(world)
    assert sorted(row["token"] for row in world.rows("token")) == sorted(kept)
    assert world.lives(ended) == [False]


@every_driver
def test_the_time_at_which_a_session_was_revoked_stays(kind: Kind, open_world: Open) -> None:
    stamp: Any = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    world = open_world(simple(Column("revoked_at", stamp), revoked=RevokedBy.time("revoked_at")))
    earlier = world.insert("ann", revoked_at=EARLIER)
    live = world.insert("ann")
    revoke_everybody(world)
    at = {row["token"]: row["revoked_at"] for row in world.rows()}
    assert at[earlier].replace(tzinfo=None) == EARLIER.replace(tzinfo=None)
    assert at[live] is not None


@every_driver
def test_rows_that_have_expired_end_too(kind: Kind, open_world: Open) -> None:
    """By the clock of a database that was set back they would live again."""
    world = open_world(AUTHJS)
    world.insert("ann", lasts=-HOUR)
    revoke_everybody(world)
    assert list(world.rows()) == []


@every_driver
def test_p4_a_row_that_cannot_be_revoked_leaves_all_as_they_were(kind: Kind, open_world: Open) -> None:
    world = open_world(AUTHJS)
    clients = [world.sign_in(user) for user in ("ann", "bob", "carl")]
    with world.refusing(clients[1]), pytest.raises(BackendUnavailable):
        revoke_everybody(world)
    assert world.lives(*clients) == [True] * 3
    revoke_everybody(world)
    assert world.lives(*clients) == [False] * 3


def test_p7_a_table_that_keeps_its_rows_in_silence_is_no_success(place: Any) -> None:
    world = TableWorld(PSYCOPG, place("postgresql"), AUTHJS)
    client = world.sign_in()
    try:
        with world.safe.begin() as connection:
            connection.exec_driver_sql('CREATE RULE silent AS ON DELETE TO "Session" DO INSTEAD NOTHING')
        with pytest.raises(BackendUnavailable, match="did not revoke a locked row of Session"):
            world.backend.revoke_everybody()
        assert world.lives(client) == [True]
    finally:
        world.close()


@pytest.mark.parametrize("kind", [kind for kind in FROM_URL if not kind.is_async], ids=str)
def test_with_callers_at_once_it_ends_everybody(kind: Kind, open_world: Open) -> None:
    """Callers lock their own rows in the order of the keys; so does this, or both would wait for each other."""
    world = open_world(AUTHJS)
    for _ in range(5):
        users = [f"user {number}" for number in range(4)]
        callers = [world.sign_in(user) for user in users]
        others = [world.sign_in(user) for user in users for _ in range(10)]
        known = [caller.session for caller in callers]
        with ThreadPoolExecutor(5) as pool:
            calls = [pool.submit(world.backend.revoke_others, session) for session in known]
            pool.submit(world.backend.revoke_everybody).result()
            outcomes = [call.exception() or call.result() for call in calls]
        assert {type(outcome) for outcome in outcomes} <= {int, SessionRevoked}
        assert world.lives(*callers, *others) == [False] * 44


def test_within_a_deadline_that_is_too_short_nothing_changes(sqlite_url: str) -> None:
    world = TableWorld(SQLITE, sqlite_url, AUTHJS)
    client = world.sign_in()
    with pytest.raises(BackendUnavailable):
        world.backend.within(1e-9).revoke_everybody()
    assert world.lives(client) == [True]
    world.close()
