"""The tests for the two operations that every backend must have."""

from __future__ import annotations

from functools import partial

import pytest

from sessionward.credential.token import Credential, new_token
from sessionward.errors import SessionRevoked
from sessionward.testing.bridge import together
from sessionward.testing.world import World


class BackendContract:
    """The tests for every backend. Subclass it with a fixture ``world`` that returns a :class:`World`."""

    # --- find

    def test_a_live_session_is_found_with_its_user(self, world: World) -> None:
        ann, bob = world.sign_in("ann"), world.sign_in("bob")
        assert [world.found(client).user_id for client in (ann, bob)] == ["ann", "bob"]

    def test_finding_twice_gives_the_same_session(self, world: World) -> None:
        client = world.sign_in()
        assert world.found(client) == world.found(client)
        assert world.found(client).id == client.session.id

    def test_an_id_is_public_and_shows_nothing_of_the_credential(self, world: World) -> None:
        client = world.sign_in()
        assert client.credential.reveal() not in str(world.found(client).id)
        assert client.credential.reveal() not in repr(world.found(client))

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(new_token().encode(), id="a token of our form"),
            pytest.param(b"", id="empty"),
            pytest.param(b"' OR ''='", id="a piece of SQL"),
            pytest.param(b"%", id="a wildcard"),
            pytest.param(bytes(range(256)), id="all bytes"),
            pytest.param(b"x" * 16_384, id="very long"),
        ],
    )
    def test_an_unknown_credential_proves_nothing(self, world: World, value: bytes) -> None:
        world.sign_in()
        assert world.sessions.find(Credential(value)) is None

    # --- revoke_others

    def test_p5_the_others_are_revoked_and_counted(self, world: World) -> None:
        own, *others = [world.sign_in() for _ in range(4)]
        assert world.sessions.revoke_others(own.session) == 3
        assert world.lives(own, *others) == [True, False, False, False]

    def test_p5_a_repeat_counts_nothing(self, world: World) -> None:
        own, _ = world.sign_in(), world.sign_in()
        assert [world.sessions.revoke_others(own.session) for _ in range(3)] == [1, 0, 0]

    def test_p5_without_others_nothing_is_counted(self, world: World) -> None:
        own = world.sign_in()
        assert world.sessions.revoke_others(own.session) == 0
        assert world.lives(own) == [True]

    def test_the_session_that_find_gave_will_do(self, world: World) -> None:
        own, other = world.sign_in(), world.sign_in()
        assert world.sessions.revoke_others(world.found(own)) == 1
        assert world.lives(own, other) == [True, False]

    def test_a_request_in_flight_of_a_revoked_session_revokes_nothing(self, world: World) -> None:
        own, late = world.sign_in(), world.sign_in()
        in_flight = world.found(late)
        world.sessions.revoke_others(own.session)
        newer = world.sign_in()
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(in_flight)
        assert world.lives(own, newer, late) == [True, True, False]

    @pytest.mark.parametrize("other", ["bob", "ANN", "ann ", "anna", "an", "ann%", "ånn", "\N{CYRILLIC SMALL LETTER A}nn"])
    def test_p8_other_users_are_left_alone(self, world: World, other: str) -> None:
        own, bystander = world.sign_in("ann"), world.sign_in(other)
        seen = world.found(bystander)
        assert world.sessions.revoke_others(own.session) == 0
        assert world.found(bystander) == seen

    # --- two callers at once

    @pytest.mark.parametrize("callers", [2, 3, 8])
    def test_p2_of_callers_at_once_exactly_one_survives(self, world: World, callers: int) -> None:
        for number in range(3):
            clients = [world.sign_in(f"user {number}") for _ in range(callers)]
            answers = together(*(partial(world.sessions.revoke_others, client.session) for client in clients))
            counts = [answer for answer in answers if not isinstance(answer, BaseException)]
            assert counts == [callers - 1]
            assert all(isinstance(answer, (int, SessionRevoked)) for answer in answers)
            survivors = world.lives(*clients)
            assert survivors == [not isinstance(answer, BaseException) for answer in answers]
            assert world.sessions.revoke_others(clients[survivors.index(True)].session) == 0

    def test_p5_calls_of_one_session_at_once_count_each_other_session_once(self, world: World) -> None:
        own, *_ = [world.sign_in() for _ in range(6)]
        counts = together(*(lambda: world.sessions.revoke_others(own.session) for _ in range(4)))
        assert sorted(counts, key=str) == [0, 0, 0, 5]
        assert world.lives(own) == [True]

    def test_p8_callers_of_several_users_at_once_do_not_meet(self, world: World) -> None:
        users = [f"user {number}" for number in range(6)]
        owns, others = [world.sign_in(user) for user in users], [world.sign_in(user) for user in users]
        counts = together(*(partial(world.sessions.revoke_others, own.session) for own in owns))
        assert counts == [1] * len(users)
        assert world.lives(*owns, *others) == [True] * len(users) + [False] * len(users)
