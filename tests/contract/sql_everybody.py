"""What backends over SQL keep when everybody is revoked: one row changes, and no query is torn between two eras."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from sessionward import BackendUnavailable, StaleLogin
from sessionward.testing import Client, EverybodyContract, EverybodyLeasesContract
from sessionward.testing.companion_world import adopted
from tests.contract.later import Later, until
from tests.contract.sql_world import SESSIONS, STATE, USERS, SQLWorld


class SQLEverybodyContract(EverybodyContract, EverybodyLeasesContract):
    """A base of ``SQLContract``."""

    def test_p4_only_the_row_of_the_state_changes(self, world: SQLWorld) -> None:
        for user in ("ann", "ann", "bob"):
            world.sign_in(user)
        before = world.everything()
        world.sessions.revoke_everybody()
        assert world.everything() == before

    def test_p4_a_revocation_of_everybody_that_fails_changes_nothing(self, world: SQLWorld) -> None:
        own = world.sign_in()
        with world.failing("beginning an era"), pytest.raises(BackendUnavailable):
            world.sessions.revoke_everybody()
        assert world.lives(own) == [True]
        world.sessions.revoke_everybody()
        assert world.lives(own) == [False]

    def test_a_table_of_the_state_without_a_row_gets_one(self, world: SQLWorld) -> None:
        with world.safe.begin() as connection:
            connection.execute(delete(STATE))
        try:
            own = adopted(world)
            assert world.lives(own) == [True]
            assert world.sessions.begin_login("bob") == 0
            world.sessions.revoke_everybody()
            assert world.lives(own, world.sign_in()) == [False, True]
            assert world.sessions.companion_status("bob", b"a" * 32).companion_required
        finally:
            with world.safe.begin() as connection:
                if connection.execute(select(STATE.c.id)).first() is None:
                    connection.execute(insert(STATE).values(id=1))

    def test_p3_a_sign_in_that_waited_for_the_lock_meanwhile_is_refused(self, world: SQLWorld) -> None:
        world.sign_in()
        before = world.sessions.begin_login("ann")
        assert isinstance(_overtaken(world, lambda: world.login(generation=before)), StaleLogin)
        assert list(world.sessions.list("ann")) == []

    def test_p3_a_sign_in_that_begins_while_the_new_era_waits_for_its_row_is_refused(self, world: SQLWorld) -> None:
        """The era is dated when it has the lock, not when its statement began."""
        world.sign_in()
        began = 0.0
        with world.hold_state():
            revoking = Later(world.sessions.revoke_everybody)
            until(world.somebody_waits)
            began = monotonic()
        revoking.answer()
        with pytest.raises(StaleLogin):
            world.login(age=lambda: monotonic() - began)

    def test_a_session_of_a_user_whose_row_is_lost_is_read_in_any_era(self, world: SQLWorld) -> None:
        world.sessions.revoke_everybody()
        own = world.sign_in()
        with world.safe.begin() as connection:
            connection.execute(delete(USERS))
        assert world.lives(own) == [True]
        assert world.sessions.revoke_all("ann") == 1
        assert world.lives(own) == [False]

    def test_p3_an_adoption_that_waited_for_the_lock_meanwhile_is_refused(self, world: SQLWorld) -> None:
        world.sign_in()
        assert isinstance(_overtaken(world, lambda: world.adopt("ann", b"a" * 32)), StaleLogin)
        assert list(world.sessions.list("ann")) == []

    def test_p8_a_sign_in_that_holds_its_lock_holds_up_no_new_era_and_is_refused_by_it(self, world: SQLWorld) -> None:
        world.sessions.revoke_all("ann")
        world.pass_time(10)
        is_sqlite = world.kind.database == "sqlite"  # which has one lock for all that is written

        def age() -> float:
            assert world.is_locked()
            if not is_sqlite:
                with world.safe.begin() as connection:
                    connection.execute(update(STATE).values(era=7))
            return 1.0

        answer = Later(lambda: world.login(age=age)).answer()
        assert isinstance(answer, Client if is_sqlite else StaleLogin)
        assert world.sessions.list("ann").total == is_sqlite

    def test_p5_a_call_at_the_same_moment_counts_all_or_is_refused(self, world: SQLWorld) -> None:
        """It waits for its own row, between two statements of which one could read the era of before, and the next another."""
        own, *others = (world.sign_in() for _ in range(4))
        counted = _overtaken(world, lambda: world.sessions.revoke_others(own.session), row=own)
        assert (int(counted), world.lives(own, *others)) == (3, [False] * 4)
        assert world.sign_in().session.generation not in (0, 1, counted.generation)


def _overtaken(world: SQLWorld, call: Callable[[], Any], *, row: Client | None = None) -> Any:
    """Revokes everybody while a call waits for the user's lock, or for the lock of a row. Returns what became of the call.

    SQLite has one lock for all that is written: there the one comes after the other.
    """
    if world.kind.database == "sqlite":
        if row is not None:
            answer = call()
            world.sessions.revoke_everybody()
            return answer
        world.sessions.revoke_everybody()
        return Later(call).answer()
    with world.hold("nobody") as connection:
        if row is None:
            world.lock(connection, "ann")
        else:
            connection.execute(select(SESSIONS.c.id).where(SESSIONS.c.id == world.id(row.session)).with_for_update())
        asked = Later(call)
        until(world.somebody_waits)
        world.sessions.revoke_everybody()
    return asked.answer()
