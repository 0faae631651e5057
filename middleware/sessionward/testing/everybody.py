"""The tests for backends that can end all sessions of all users at once."""

from __future__ import annotations

from functools import partial

import pytest

from sessionward.errors import SessionRevoked, StaleLogin
from sessionward.lease import WAITED
from sessionward.session.capabilities import Capabilities
from sessionward.session.session import RevokedCount
from sessionward.testing.bridge import together
from sessionward.testing.fresh_login import LONG
from sessionward.testing.leases import SHORT, checked, waited
from sessionward.testing.world import Client, LoginWorld


def revoked(world: LoginWorld, *users: str) -> list[Client]:
    """Signs each user in twice, and revokes all sessions of all users. Returns the clients."""
    clients = [world.sign_in(user, lasts=LONG) for user in users for _ in range(2)]
    world.sessions.revoke_everybody()
    return clients


class EverybodyContract:
    """The tests for a backend with ``revoke_everybody``. A second base, with the fixture of ``LoginContract``."""

    # --- no session is live

    def test_after_everybody_was_revoked_nobody_is_signed_in(self, world: LoginWorld) -> None:
        clients = revoked(world, "ann", "bob", "cid")
        assert not any(world.lives(*clients))
        assert [(list(found), found.total) for found in map(world.sessions.list, ("ann", "bob", "cid"))] == [([], 0)] * 3

    def test_with_nobody_signed_in_everybody_can_be_revoked_again_and_again(self, world: LoginWorld) -> None:
        for _ in range(3):
            world.sessions.revoke_everybody()
        assert world.lives(world.sign_in()) == [True]

    def test_each_time_everybody_is_revoked(self, world: LoginWorld) -> None:
        first = revoked(world, "ann", "bob")
        second = revoked(world, "ann", "cid")
        assert not any(world.lives(*first, *second))
        assert world.lives(world.sign_in(), *first, *second)[:2] == [True, False]

    def test_of_many_sessions_asked_about_at_once_none_is_live(self, world: LoginWorld) -> None:
        clients = revoked(world, "ann", "bob")
        own = world.sign_in("bob")
        if Capabilities.of(world.backend).supports_many:
            asked = [client.credential for client in (*clients, own)]
            assert list(world.sessions.find_many(asked)) == [own.credential]
        assert world.lives(*clients, own) == [False] * 4 + [True]

    def test_p6_nobody_returns_when_the_clock_is_set_back(self, world: LoginWorld) -> None:
        clients = revoked(world, "ann", "bob")
        world.pass_time(-LONG / 2)
        assert not any(world.lives(*clients))
        assert list(world.sessions.list("ann")) == []

    def test_p6_no_use_lets_anybody_return(self, world: LoginWorld) -> None:
        clients = [world.login(user, generation=0, idle=600.0) for user in ("ann", "bob")]
        world.sessions.revoke_everybody()
        if Capabilities.of(world.backend).supports_seen:
            world.pass_time(300)
            assert world.sessions.note_seen([client.session for client in clients], 600.0) == {}
        assert not any(world.lives(*clients))

    # --- what a session of before does

    def test_p2_a_session_of_before_revokes_nobody(self, world: LoginWorld) -> None:
        old, other = revoked(world, "ann")
        new = world.sign_in()
        generation = world.sessions.begin_login("ann")
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(old.session)
        assert world.log_out(other) is False
        assert world.lives(old, other, new) == [False, False, True]
        assert world.sessions.begin_login("ann") == generation

    def test_p5_only_sessions_of_after_are_counted(self, world: LoginWorld) -> None:
        revoked(world, "ann", "bob")
        own, _ = world.sign_in(), world.sign_in()
        assert [world.sessions.revoke_others(own.session), world.sessions.revoke_all("ann"), world.sessions.revoke_all("bob")] == [1, 1, 0]

    def test_sessions_of_before_take_no_room(self, world: LoginWorld) -> None:
        revoked(world, "ann")
        own = world.sign_in()
        assert world.lives(own, world.login(generation=world.sessions.begin_login("ann"), max_sessions=2), own) == [True, True, True]
        assert [session.id for session in world.sessions.list("ann")].count(own.session.id) == 1
        world.login(generation=world.sessions.begin_login("ann"), max_sessions=2)
        assert (world.lives(own), world.sessions.list("ann").total) == ([False], 2)

    # --- sign-ins under way (P3)

    @pytest.mark.parametrize("user", ["ann", "never seen"])
    def test_p3_a_sign_in_that_began_before_is_refused_by_its_age(self, world: LoginWorld, user: str) -> None:
        revoked(world, "ann")
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            world.login(user, age=20.0)
        assert list(world.sessions.list(user)) == []

    @pytest.mark.parametrize("user", ["ann", "never seen"])
    def test_p3_a_sign_in_that_began_after_is_taken(self, world: LoginWorld, user: str) -> None:
        revoked(world, "ann")
        world.pass_time(10)
        assert world.lives(world.login(user, age=5.0)) == [True]

    @pytest.mark.parametrize("user", ["ann", "never seen"])
    def test_p3_a_ticket_of_before_is_refused_however_late(self, world: LoginWorld, user: str) -> None:
        before = world.sessions.begin_login(user)
        revoked(world, "ann")
        world.pass_time(LONG)
        with pytest.raises(StaleLogin):
            world.login(user, generation=before, age=0.0)
        assert world.lives(world.login(user, generation=world.sessions.begin_login(user), age=LONG)) == [True]

    def test_p3_the_generation_is_never_again_one_of_before(self, world: LoginWorld) -> None:
        seen = [world.sessions.begin_login("ann")]
        for _ in range(3):
            world.sessions.revoke_everybody()
            seen.append(world.sessions.begin_login("ann"))
            seen.append(getattr(world.sessions.revoke_all("ann"), "generation", -1))
        assert len(set(seen)) == len(seen)
        assert world.sessions.begin_login("ann") == seen[-1]

    def test_p3_a_generation_is_the_same_wherever_it_is_read(self, world: LoginWorld) -> None:
        revoked(world, "ann")
        own, other = world.sign_in(), world.sign_in()
        generation = world.sessions.begin_login("ann")
        listed = [session.generation for session in world.sessions.list("ann")]
        assert [own.session.generation, world.found(own).generation, *listed] == [generation] * 4
        count = world.sessions.revoke_others(own.session)
        assert isinstance(count, RevokedCount)
        assert (int(count), count.generation, world.found(own).generation) == (1, world.sessions.begin_login("ann"), count.generation)
        assert count.generation != generation
        assert world.lives(world.login(generation=count.generation, age=LONG), other) == [True, False]

    def test_p3_a_session_of_before_cannot_renew_itself(self, world: LoginWorld) -> None:
        old, other = revoked(world, "ann")
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            world.login(age=0.0, replaces=old)
        assert world.lives(world.login(generation=world.sessions.begin_login("ann"), replaces=other), old, other) == [True, False, False]

    def test_p3_a_raise_in_the_future_refuses_only_the_sign_in_that_finds_it(self, world: LoginWorld) -> None:
        revoked(world, "ann")
        world.pass_time(-LONG)  # the clock was set back
        with pytest.raises(StaleLogin):
            world.login(age=1.0)
        world.pass_time(5)
        assert world.lives(world.login(age=1.0), world.login("bob", age=1.0)) == [True, True]
        with pytest.raises(StaleLogin):
            world.login("cid", age=60.0)

    def test_p3_the_later_of_both_raises_decides(self, world: LoginWorld) -> None:
        revoked(world, "ann")
        world.pass_time(100)
        world.sessions.revoke_all("ann")
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            world.login("ann", age=50.0)
        assert world.lives(world.login("bob", age=50.0)) == [True]

    def test_p10_a_sign_in_at_the_moment_of_the_revocation_lives_only_if_it_was_after_it(self, world: LoginWorld) -> None:
        for number in range(5):
            user, ticket = f"user {number}", world.sessions.begin_login(f"user {number}")
            done, by_ticket, by_age = together(
                world.sessions.revoke_everybody,
                partial(world.login, user, generation=ticket),
                partial(world.login, user, age=0.0),
            )
            assert done is None
            assert isinstance(by_ticket, (Client, StaleLogin))
            assert isinstance(by_age, (Client, StaleLogin))
            if isinstance(by_ticket, Client):
                assert world.lives(by_ticket) == [False]

    def test_p2_callers_and_everybody_at_once_leave_nobody_signed_in(self, world: LoginWorld) -> None:
        for number in range(3):
            clients = [world.sign_in(f"user {number}") for _ in range(4)]
            done, *counts = together(
                world.sessions.revoke_everybody, *(partial(world.sessions.revoke_others, client.session) for client in clients)
            )
            assert done is None
            assert [count for count in counts if not isinstance(count, SessionRevoked)] in ([], [3])
            assert not any(world.lives(*clients))

    # --- afterwards

    def test_purge_removes_the_sessions_of_before_and_no_other(self, world: LoginWorld) -> None:
        clients = revoked(world, "ann", "bob")
        world.pass_time(4000)
        own = world.sign_in()
        world.sessions.purge(0.0)
        assert world.lives(own, *clients) == [True] + [False] * 4
        with pytest.raises(StaleLogin):
            world.login(generation=0)
        with pytest.raises(StaleLogin):
            world.login("bob", age=LONG)


class EverybodyLeasesContract:
    """The tests for a backend with ``revoke_everybody`` and leases. A second base, with the fixture of ``LoginContract``."""

    def test_a_session_of_before_has_ended(self, world: LoginWorld) -> None:
        old, _ = revoked(world, "ann")
        own = world.sign_in()
        assert checked(world, old)[:4] == (None, True, "ann", 0.0)
        assert checked(world, own).session == world.found(own)

    def test_p6_a_session_of_before_is_not_purged_within_an_hour(self, world: LoginWorld) -> None:
        old, _ = revoked(world, "ann")
        world.pass_time(1000)
        world.sessions.purge(0.0)
        assert checked(world, old).has_ended
        world.pass_time(2700)
        world.sessions.purge(4000.0)
        assert checked(world, old).has_ended
        assert world.sessions.purge(0.0) == 2
        assert not checked(world, old).has_ended

    def test_p1_it_returns_only_when_no_worker_can_trust_what_it_read(self, world: LoginWorld) -> None:
        world.sign_in()
        world.sessions.set_lease(SHORT)
        assert waited(world.sessions.revoke_everybody) >= WAITED * SHORT
        assert waited(world.sessions.revoke_everybody) >= WAITED * SHORT

    def test_it_leaves_the_lease_as_it_was(self, world: LoginWorld) -> None:
        world.sessions.set_lease(SHORT)
        revoked(world, "ann")
        assert (checked(world, world.sign_in()).lease, world.sessions.lease_wait()) == (SHORT, SHORT)
