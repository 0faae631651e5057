"""A worker that begins an era by itself, since its PostgreSQL server may have lost commits."""

from __future__ import annotations

from time import monotonic

import pytest
from sqlalchemy import text

from sessionward import StaleLogin
from sessionward.backends.sql import SQLBackend
from tests.backends.conftest import Place
from tests.contract.later import Later, until
from tests.contract.sql_world import PSYCOPG, SQLWorld


def test_p3_a_sign_in_that_begins_while_such_an_era_waits_for_its_row_is_refused(own_place: Place) -> None:
    url = own_place("postgresql")
    world = SQLWorld(PSYCOPG, url, timeout=10.0)
    world.sessions.create_tables()
    with world.safe.begin() as connection:
        connection.execute(text("UPDATE sessionward_state SET lineage = '9/1 0'"))  # a copy of another server
    worker = SQLBackend(url, timeout=10.0, on_rollback="revoke")
    try:
        with world.hold_state():
            asked = Later(lambda: worker.begin_login("ann"))
            until(world.somebody_waits)
            began = monotonic()
        assert asked.answer() != 0
        with pytest.raises(StaleLogin):
            world.login(age=lambda: monotonic() - began)
    finally:
        worker.close()
        world.close()
