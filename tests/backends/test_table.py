"""The application's own table: the contract of every backend over it, and the tables that are in the field."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sessionward import BackendUnavailable, SessionRevoked
from sessionward.backends import Credential
from sessionward.testing import BackendContract, SessionAPIContract
from tests.backends.conftest import Place
from tests.backends.schemas import SCHEMAS
from tests.backends.tableworld import TableWorld
from tests.contract.sql_world import FROM_URL, KINDS, Kind


@pytest.fixture(scope="class")
def made(kind: Kind, name: str, place: Place) -> Iterator[TableWorld]:
    world = TableWorld(kind, place(kind.database), SCHEMAS[name])
    yield world
    world.close()


@pytest.fixture
def world(made: TableWorld) -> TableWorld:
    made.clean()
    return made


@pytest.mark.parametrize("kind", KINDS, ids=str, scope="class")
@pytest.mark.parametrize("name", ["authjs"], scope="class")
class TestContract(BackendContract, SessionAPIContract):
    """Auth.js: tokens as they are, users as text under whatever collation the database has."""


@pytest.mark.parametrize("kind", FROM_URL, ids=str, scope="class")
@pytest.mark.parametrize("name", SCHEMAS, scope="class")
class TestSchemas:
    """Each table in each database, through each driver."""

    def test_the_caller_stays_and_the_others_are_out_and_another_user_is_untouched(self, world: TableWorld) -> None:
        bob, own, *others = world.sign_in("bob"), *(world.sign_in() for _ in range(4))
        before = [world.row(client) for client in (bob, own)]
        assert own.session.user_id == world.text_of("ann")
        assert world.sessions.revoke_others(own.session) == 3
        assert world.lives(bob, own, *others) == [True, True, False, False, False]
        assert [world.row(client) for client in (bob, own)] == before
        assert world.sessions.revoke_others(own.session) == 0

    def test_p5_expired_rows_are_neither_found_nor_counted_nor_touched(self, world: TableWorld) -> None:
        own, expired, _ = world.sign_in(), world.sign_in_expired(), world.sign_in()
        before = world.row(expired)
        if not world.schema.expires:  # then there are none
            assert world.sessions.revoke_others(own.session) == 2
            return
        assert world.sessions.find(expired) is None
        assert world.sessions.revoke_others(own.session) == 1
        assert world.row(expired) == before

    def test_a_session_that_has_gone_meanwhile_ends_nobody(self, world: TableWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        world.sign_out(own)
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(own.session)
        assert world.lives(own, other) == [False, True]

    def test_a_forged_credential_is_nobodys(self, world: TableWorld) -> None:
        key = world.insert()
        assert world.sessions.find(Credential(world.schema.credential(key).encode())) is not None
        assert world.sessions.find(Credential(world.schema.forged(key).encode())) is None

    def test_p4_an_end_that_fails_changes_nothing_and_a_repeat_completes_it(self, world: TableWorld) -> None:
        own, *others = [world.sign_in() for _ in range(4)]
        before = world.rows()
        with world.refusing(others[1]), pytest.raises(BackendUnavailable):
            world.sessions.revoke_others(own.session)
        assert sorted(map(str, world.rows())) == sorted(map(str, before))
        assert world.sessions.revoke_others(own.session) == 3

    def test_revoke_all_revokes_every_session_of_the_user(self, world: TableWorld) -> None:
        clients, bob = [world.sign_in() for _ in range(3)], world.sign_in("bob")
        assert world.sessions.revoke_all(world.text_of("ann")) == 3
        assert world.lives(*clients, bob) == [False, False, False, True]
        assert world.sessions.revoke_all("nobody\N{SNOWMAN}") == 0

    def test_a_request_in_flight_of_the_victim_does_not_bring_it_back(self, world: TableWorld) -> None:
        """An UPDATE by the key finds nothing, unless the row is kept: then it must not be what made it live."""
        own, victim = world.sign_in(), world.sign_in()
        seen = world.sessions.find(victim.credential)
        world.sessions.revoke_others(own.session)
        touched = {
            name: row[name] for row in world.rows() for name in row if name in ("expires", "updatedAt", "last_activity", "updated_at")
        }
        if touched:
            assert world.rewrite(victim, **touched) == 0
        assert world.lives(own, victim) == [True, False]
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(seen)

    def test_the_victim_signs_in_again_at_once(self, world: TableWorld) -> None:
        own, victim = world.sign_in(), world.sign_in()
        world.sessions.revoke_others(own.session)
        again = world.sign_in()
        assert world.lives(own, victim, again) == [True, False, True]

    @pytest.mark.parametrize("callers", [2, 8])
    def test_p2_of_callers_at_once_exactly_one_survives(self, world: TableWorld, callers: int) -> None:
        BackendContract().test_p2_of_callers_at_once_exactly_one_survives(world, callers)
