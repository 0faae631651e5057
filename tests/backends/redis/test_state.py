"""The state that each tag has a copy of: the era and the lease, made at first need, and never taken from an older answer."""

from __future__ import annotations

from functools import partial

import pytest

from sessionward.backends.redis import state
from sessionward.backends.redis.call import Call
from sessionward.backends.redis.entry import SECOND
from sessionward.backends.redis.layout import TAGS
from sessionward.backends.redis.state import NOTHING, PACKED, PENDING, State
from sessionward.session.session import LEASES_WITHIN
from sessionward.settings import MAX_LEASE
from sessionward.testing import together
from tests.contract.redis_world import RedisWorld, elsewhere
from tests.contract.stepping import Stepper, between

USERS = ["ann", "bob", "cid", "dan"]


class Crash(Exception):
    """The process ends here."""


def copies(world: RedisWorld) -> list[State]:
    """The copies of all tags; a missing one is as new."""
    packed = world.looker.mget([world.place.state(tag) for tag in TAGS])
    return [state.state_of(one or b"") for one in packed]


class TestCopies:
    """What is in the copies, and when."""

    def test_a_tag_gets_its_copy_when_it_is_first_needed(self, world: RedisWorld) -> None:
        assert list(world.keys()) == []
        world.sign_in("ann")
        assert [key for key in list(world.keys("*s")) if key.endswith(b":s")] == [world.place.owner("ann").state]
        assert world.state() == State()

    def test_a_copy_that_was_lost_is_made_again_of_the_state_of_all(self, world: RedisWorld) -> None:
        world.sessions.set_lease(2.0)
        world.sessions.set_lease(1.0)
        world.within(9.0).revoke_everybody()
        own = world.sign_in()
        world.pass_time(1000)
        made, raised = world.state(), world.state().era_at
        world.looker.delete(world.place.owner("ann").state)
        checked = world.sessions.check(own.credential)
        assert checked.session is not None
        assert (world.state().era, world.state().lease, world.state().serial) == (made.era, 1.0, made.serial)
        assert world.state().era_at - raised > 900 * SECOND, "a sign-in that is under way is refused rather than taken"
        assert (world.state().former_lease, world.state().lowered_at) == (0.0, 0)

    def test_a_copy_that_is_there_is_never_made_anew(self, world: RedisWorld, stepper: Stepper) -> None:
        """Between the two scripts of whoever found none, somebody else makes it and changes it."""
        made: list[State] = []

        def action() -> None:
            elsewhere(world, "revoke_everybody")
            made.append(world.state())

        between(stepper, "make_state", action)
        world.sessions.begin_login("ann")
        assert made == [world.state()]
        assert world.state().era == world.overall().era != 0
        assert len({copy.era for copy in copies(world)}) == 1

    def test_everybody_is_revoked_in_all_copies_and_in_the_state_of_all_last(self, world: RedisWorld, stepper: Stepper) -> None:
        world.within(9.0).revoke_everybody()
        keys = [call.key for call in stepper.calls if call.script.name == "set_era"]
        assert keys == [*(world.place.state(tag) for tag in TAGS), world.place.overall]
        assert {copy.era for copy in copies(world)} == {world.overall().era}

    def test_a_command_that_ended_half_way_leaves_each_user_all_or_nothing_and_its_repeat_completes_it(
        self, world: RedisWorld, stepper: Stepper
    ) -> None:
        clients = [world.sign_in(user) for user in USERS for _ in range(2)]
        half = sorted(TAGS.index(world.place.owner(user).tag) for user in USERS)[1]

        def before(call: Call) -> None:
            if call.script.name == "set_era" and call.key == world.place.state(TAGS[half + 1]):
                raise Crash

        stepper.before = before
        with pytest.raises(Crash):
            world.within(9.0).revoke_everybody()
        lives = world.lives(*clients)
        assert lives.count(False) == 4
        assert lives[::2] == lives[1::2]
        stepper.before = lambda call: None
        world.within(9.0).revoke_everybody()
        assert world.lives(*clients) == [False] * 8

    # --- the lease

    def test_p1_a_longer_lease_is_waited_for_before_anybody_trusts_it(self, world: RedisWorld, stepper: Stepper) -> None:
        waits: list[float] = []
        own = world.sign_in()

        def before(call: Call) -> None:
            if call.script.name == "copy_lease":
                waits.append(world.overall().lease)
                assert world.state().lease in (0.0, 3.0)

        stepper.before = before
        world.sessions.raise_lease(3.0)
        assert waits == [3.0] * len(TAGS)
        assert world.sessions.check(own.credential).lease == 3.0

    def test_p1_a_shorter_lease_is_waited_for_without_an_end_until_all_copies_have_it(self, world: RedisWorld, stepper: Stepper) -> None:
        world.sessions.set_lease(4.0)
        own = world.sign_in(lasts=10 * LEASES_WITHIN)

        def before(call: Call) -> None:
            if call.script.name == "copy_lease":
                raise Crash

        stepper.before = before
        with pytest.raises(Crash):
            world.sessions.set_lease(1.0)
        stepper.before = lambda call: None
        assert world.overall().lowered_at == PENDING
        world.pass_time(3 * LEASES_WITHIN)
        assert world.sessions.check(own.credential).lease == 4.0
        assert world.sessions.lease_wait() == 4.0
        lease = world.backend.lease()
        assert (lease.seconds, lease.wait, lease.former_until is not None) == (1.0, 4.0, True)
        world.sessions.raise_lease(1.0)  # as each worker does
        assert world.overall().is_done
        assert world.sessions.check(own.credential)[4:] == (1.0, 4.0)
        world.pass_time(LEASES_WITHIN + 10)
        assert (world.sessions.check(own.credential)[4:], world.sessions.lease_wait()) == ((1.0, 1.0), 1.0)

    def test_a_raise_that_ended_half_way_is_completed_by_the_next(self, world: RedisWorld, stepper: Stepper) -> None:
        def before(call: Call) -> None:
            if call.script.name == "copy_lease" and call.key == world.place.state(TAGS[500]):
                raise Crash

        stepper.before = before
        with pytest.raises(Crash):
            world.sessions.raise_lease(2.0)
        assert {copy.lease for copy in copies(world)} == {0.0, 2.0}
        stepper.before = lambda call: None
        world.sessions.raise_lease(1.0)
        assert {copy.lease for copy in copies(world)} == {2.0}

    def test_a_raise_with_nothing_to_change_is_one_question(self, world: RedisWorld, stepper: Stepper) -> None:
        world.sessions.raise_lease(2.0)
        stepper.calls.clear()
        world.sessions.raise_lease(2.0)
        world.sessions.raise_lease(0.5)
        assert [call.script.name for call in stepper.calls] == ["read_state"] * 2

    def test_an_older_change_never_overtakes_a_younger_one(self, world: RedisWorld, stepper: Stepper) -> None:
        """A worker is held up while it raises the lease; meanwhile an operator lowers it."""
        done = between(stepper, "copy_lease", partial(elsewhere, world, "set_lease", 0.5))
        world.sessions.raise_lease(5.0)
        assert done
        assert {copy.lease for copy in copies(world)} == {0.5} == {world.overall().lease}
        assert world.sessions.lease_wait() == 5.0

    def test_p1_who_is_late_ends_no_wait_for_the_change_of_another(self, world: RedisWorld, stepper: Stepper) -> None:
        """A worker has raised the lease and is held up. An operator lowers it, and the command ends half-way."""
        world.sessions.set_lease(1.0)

        def lowered() -> None:
            before = stepper.before

            def crash(call: Call) -> None:
                if call.script.name == "copy_lease":
                    raise Crash

            stepper.before = crash
            with pytest.raises(Crash):
                world.sessions.set_lease(0.5)
            stepper.before = before

        done = between(stepper, "lease_done", lowered)
        world.sessions.raise_lease(3.0)
        assert done
        assert (world.overall().lowered_at, world.overall().is_done) == (PENDING, False)
        world.pass_time(3 * LEASES_WITHIN)
        assert world.sessions.lease_wait() == 3.0

    @pytest.mark.parametrize("how", ["set_lease", "raise_lease", "revoke_everybody"])
    def test_p1_a_state_of_all_that_was_restored_from_before_is_mended_by_the_next_command(self, world: RedisWorld, how: str) -> None:
        """The copies have a longer lease, of a change that the state of all no longer knows."""
        own = world.sign_in()
        world.sessions.set_lease(1.0)
        before = world.looker.get(world.place.overall)
        for seconds in (3.0, 2.0, 4.0):
            world.sessions.set_lease(seconds)
        world.looker.set(world.place.overall, before)
        view = world.within(30.0)
        if how == "revoke_everybody":
            view.revoke_everybody()
        else:
            getattr(view, how)(2.0)
        lease = 1.0 if how == "revoke_everybody" else 2.0
        assert {copy.lease for copy in copies(world)} == {world.overall().lease} == {lease}
        assert world.overall().is_done
        assert world.sessions.check(own.credential).lease == lease
        assert world.sessions.lease_wait() == MAX_LEASE
        world.pass_time(LEASES_WITHIN + 10)
        assert world.sessions.lease_wait() == lease

    @pytest.mark.parametrize("how", ["set_lease", "raise_lease"])
    def test_p1_so_is_one_that_has_forgotten_as_many_changes_as_the_command_makes(self, world: RedisWorld, how: str) -> None:
        world.sign_in()
        world.sessions.set_lease(4.0)
        world.looker.delete(world.place.overall)
        getattr(world.within(30.0), how)(0.5)
        assert {copy.lease for copy in copies(world)} == {world.overall().lease} == {0.5}
        assert world.overall().is_done
        assert world.sessions.lease_wait() == MAX_LEASE

    def test_workers_and_operators_at_once_leave_all_copies_alike(self, world: RedisWorld) -> None:
        calls = [partial(world.sessions.raise_lease, seconds) for seconds in (1.0, 2.0, 1.0)]
        together(*calls, *(partial(world.sessions.set_lease, seconds) for seconds in (0.5, 3.0)))
        assert {copy.lease for copy in copies(world)} == {world.overall().lease}
        assert world.overall().is_done
        assert max(copy.wait(int(4e15)) for copy in copies(world)) <= world.sessions.lease_wait()

    def test_the_states_have_the_same_form_in_the_scripts(self, world: RedisWorld) -> None:
        world.sessions.set_lease(4.25)
        world.sessions.set_lease(0.125)
        assert len(world.looker.get(world.place.overall)) == PACKED.size == len(NOTHING)
        overall = world.overall()
        assert overall[:4] == (0, 0, 0.125, 4.25)
        assert 0 < overall.lowered_at < 4e15
        assert overall[5:] == (2, 2)


def test_a_lease_is_waited_for_an_hour_after_it_was_lowered_and_so_is_one_of_a_clock_that_was_set_back() -> None:
    now, hour = 10**15, round(LEASES_WITHIN * SECOND)
    lowered = State(lease=1.0, former_lease=4.0)
    waits = [lowered._replace(lowered_at=at).wait(now) for at in (0, PENDING, now, now + 10 * hour, now - hour + 1, now - hour)]
    assert waits == [1.0, 4.0, 4.0, 4.0, 4.0, 1.0]
