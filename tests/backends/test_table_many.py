"""Many sessions of one user in the application's own table: sets of rows, within the deadline, and no lock outlives it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, insert

from sessionward import BackendUnavailable
from sessionward.backends.sql.executor import Executor
from sessionward.backends.table import RevokedBy
from tests.backends.conftest import Place
from tests.backends.schemas import Schema
from tests.backends.tableworld import TableWorld, simple
from tests.contract.sql_world import FROM_URL, SQLITE, SQLITE_ASYNC, Kind

MANY = 10_000
ENOUGH = 60.0
"""Seconds, also on a machine whose disk is slow."""

_FLAG = Column("active", Boolean, default=True)
WAYS: dict[str, Schema] = {
    "deleted": simple(),
    "renamed": simple(rename=True),
    "marked": simple(_FLAG, revoked=RevokedBy.value("active", False)),
}


def fill(world: TableWorld, user: str, number: int) -> None:
    rows: list[dict[str, Any]] = [world.schema.row(user, 0.0) for _ in range(number)]
    with world.safe.begin() as connection:
        if world.kind.database == "sqlite":
            connection.exec_driver_sql("BEGIN")  # this Engine leaves transactions to us
        for start in range(0, number, 5000):
            connection.execute(insert(world.schema.table), rows[start : start + 5000])


@pytest.fixture(params=WAYS)
def world(request: pytest.FixtureRequest, kind: Kind, place: Place) -> Iterator[TableWorld]:
    world = TableWorld(kind, place(kind.database), WAYS[request.param], timeout=ENOUGH)
    yield world
    world.close()


@pytest.mark.parametrize("kind", FROM_URL, ids=str)
def test_ten_thousand_sessions_of_one_user_are_revoked_by_some_statements_over_sets_of_rows(
    kind: Kind, world: TableWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, bystander = world.sign_in(), world.sign_in("bob")
    fill(world, "ann", MANY)
    execute, statements = Executor._execute, list[object]()

    def counted(self: Executor, statement: Any, *arguments: Any) -> Any:
        statements.append(statement)
        return execute(self, statement, *arguments)

    monkeypatch.setattr(Executor, "_execute", counted)
    assert world.sessions.revoke_others(own.session) == MANY
    assert 0 < len(statements) < MANY / 100
    assert world.sessions.revoke_others(own.session) == 0
    assert world.lives(own, bystander) == [True, True]
    fill(world, "ann", 3)
    assert world.sessions.revoke_all("ann") == 4
    assert world.lives(own, bystander) == [False, True]


@pytest.mark.parametrize("kind", [SQLITE, SQLITE_ASYNC], ids=str)
def test_p8_rows_without_number_hold_up_the_writes_of_the_application_no_longer_than_the_deadline(kind: Kind, place: Place) -> None:
    world = TableWorld(kind, place(kind.database), WAYS["deleted"], timeout=0.3)
    own = world.sign_in()
    fill(world, "ann", 100_000)
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match="did not answer within"):
        world.sessions.revoke_others(own.session)
    world.insert("bob")
    assert time.monotonic() - began < 2.0
    assert len(world.rows()) == 100_002
    world.close()
