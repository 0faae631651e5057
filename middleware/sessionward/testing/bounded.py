"""The contract of ``max_sessions``: a login or an adoption beyond it revokes the oldest session, and counts as no revocation."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from uuid import uuid4

import pytest

from sessionward.testing.bridge import together
from sessionward.testing.companion_world import APP_SESSION, adopted
from sessionward.testing.world import Client, LoginWorld


def signed_in(world: LoginWorld, number: int, limit: int | None, user: str = "ann") -> list[Client]:
    """Signs the user in ``number`` times, a second apart."""
    clients: list[Client] = []
    for _ in range(number):
        clients.append(world.login(user, max_sessions=limit, generation=world.sessions.begin_login(user)))
        world.pass_time(1)
    return clients


class BoundedContract:
    """A part of :class:`LoginContract`."""

    @pytest.mark.parametrize("limit", [1, 2, 5])
    def test_a_login_beyond_the_limit_revokes_the_oldest_session_and_never_the_new_one(self, world: LoginWorld, limit: int) -> None:
        clients = signed_in(world, limit + 3, limit)
        assert world.lives(*clients) == [False] * 3 + [True] * limit
        assert len(world.sessions.list("ann")) == limit

    def test_without_a_limit_nothing_is_revoked(self, world: LoginWorld) -> None:
        assert world.lives(*signed_in(world, 6, None)) == [True] * 6

    def test_a_limit_that_became_lower_revokes_all_beyond_it_at_once(self, world: LoginWorld) -> None:
        clients = [*signed_in(world, 6, None), *signed_in(world, 1, 2)]
        assert world.lives(*clients) == [False] * 5 + [True] * 2

    def test_sessions_that_are_not_live_take_no_place(self, world: LoginWorld) -> None:
        first, second, third = signed_in(world, 3, 3)
        short = world.login(lasts=5.0, age=0.0)
        world.log_out(second)
        world.pass_time(10)
        assert world.lives(first, third, short, *signed_in(world, 1, 3)) == [True, True, False, True]

    def test_a_session_that_is_replaced_gives_its_place_to_the_new_one(self, world: LoginWorld) -> None:
        first, second = signed_in(world, 2, 2)
        third = world.login(max_sessions=2, replaces=second)
        assert world.lives(first, second, third) == [True, False, True]

    def test_p8_the_limit_of_one_user_is_no_matter_to_another(self, world: LoginWorld) -> None:
        bystanders = signed_in(world, 3, 3, "bob")
        signed_in(world, 5, 2)
        assert world.lives(*bystanders) == [True] * 3

    def test_p3_the_limit_revokes_nobodys_sign_in(self, world: LoginWorld) -> None:
        signed_in(world, 4, 2)
        assert world.sessions.begin_login("ann") == 0
        assert world.lives(world.login(age=3600.0, max_sessions=2)) == [True]

    def test_p5_what_the_limit_has_revoked_is_not_counted_again(self, world: LoginWorld) -> None:
        *_, own = signed_in(world, 6, 3)
        assert world.sessions.revoke_others(own.session) == 2

    def test_p6_what_the_limit_has_revoked_stays_so_when_the_clock_is_set_back(self, world: LoginWorld) -> None:
        clients = signed_in(world, 4, 2)
        world.pass_time(-3600)
        assert world.lives(*clients) == [False, False, True, True]

    def test_p10_of_logins_at_once_as_many_live_as_the_limit_says(self, world: LoginWorld) -> None:
        clients = together(*(partial(world.login, "ann", max_sessions=3) for _ in range(6)))
        assert all(isinstance(client, Client) for client in clients)
        assert len(world.sessions.list("ann")) == 3

    def test_the_log_says_it_once_without_the_user_id(self, world: LoginWorld, caplog: pytest.LogCaptureFixture) -> None:
        user = f"user {uuid4()}"  # that no earlier test has warned of
        digest = hashlib.sha256(user.encode()).hexdigest()[:8]
        with caplog.at_level(logging.WARNING, "sessionward"):
            signed_in(world, 2, 2, user)
            assert digest not in caplog.text
            signed_in(world, 4, 2, user)
        assert caplog.text.count(digest) == 1
        assert user not in caplog.text


class BoundedCompanionsContract:
    """A part of :class:`CompanionsContract`."""

    def test_an_adoption_beyond_the_limit_revokes_the_oldest_companion(self, world: LoginWorld) -> None:
        clients: list[Client | None] = []
        for number in range(5):
            clients.append(world.adopt("ann", bytes([number]) * 32, max_sessions=3))
            world.pass_time(1)
        found = [client for client in clients if client is not None]
        assert world.lives(*found) == [False, False, True, True, True]

    def test_a_companion_that_the_limit_has_revoked_is_adopted_again(self, world: LoginWorld) -> None:
        evicted = adopted(world)
        world.pass_time(1)
        world.adopt("ann", b"2" * 32, max_sessions=1)
        assert world.lives(evicted) == [False]
        assert not world.sessions.companion_status("ann", APP_SESSION).companion_required
        assert not world.sessions.is_revoked_app_session(APP_SESSION)
        again = world.adopt("ann", APP_SESSION, max_sessions=2)
        assert again is not None
        assert world.lives(again) == [True]

    def test_an_adoption_that_is_refused_revokes_nothing(self, world: LoginWorld) -> None:
        first = adopted(world)
        assert world.adopt("ann", APP_SESSION, max_sessions=1) is None
        assert world.lives(first) == [True]
