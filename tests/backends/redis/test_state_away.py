"""A slot of a cluster is being moved: a script does not reach the state of the tag, which is read before it."""

from __future__ import annotations

from functools import partial

import pytest

from sessionward import StaleLogin
from sessionward.backends.redis.call import Call
from sessionward.backends.redis.state import State
from sessionward.errors import BackendUnavailable
from sessionward.testing import Client
from sessionward.testing.companion_world import APP_SESSION, adopted
from tests.contract.redis_world import RedisWorld, elsewhere
from tests.contract.stepping import Stepper, between, is_undeclared

USERS = ["ann", "bob", "cid", "dan"]


def away(world: RedisWorld, runner: Stepper) -> None:
    """From now on no script reaches the state that it has not declared."""
    runner.is_away = is_undeclared
    runner.is_cluster = True
    world.through(runner)


class TestStateThatIsAway:
    """A slot is being moved: a script does not reach the state, which is read before it. Meanwhile something happens."""

    def test_the_state_is_made_and_the_script_repeated(self, world: RedisWorld, stepper: Stepper) -> None:
        away(world, stepper)
        own = world.sign_in()
        assert world.lives(own) == [True]
        assert world.state() == State()

    def test_p6_a_check_that_read_the_era_before_everybody_was_revoked_does_not_refuse_who_signed_in_after(
        self, world: RedisWorld, stepper: Stepper
    ) -> None:
        """A session of a later era than the state that was read is no ended one."""
        own = world.sign_in()
        new: list[Client] = []

        def action() -> None:
            elsewhere(world, "revoke_everybody")
            other = RedisWorld(world.url, world.looker)
            other.backend._place = world.place
            new.append(other.sign_in())
            value = world.looker.hget(world.place.owner("ann").key, new[0].session.id.bytes)
            # the same session in the place of the one that is asked about
            world.looker.hset(world.place.owner("ann").key, own.session.id.bytes, own.credential.digest[16:] + value[16:])
            other.sessions.close()

        away(world, stepper)
        done = between(stepper, "check", action)
        assert world.sessions.check(own.credential).session is not None
        assert done

    def test_p6_the_wait_of_an_ended_session_is_read_after_it(self, world: RedisWorld, stepper: Stepper) -> None:
        own = world.sign_in()
        world.log_out(own)
        away(world, stepper)
        done = between(stepper, "check", partial(elsewhere, world, "set_lease", 3.0))
        checked = world.sessions.check(own.credential)
        assert (checked.has_ended, checked.lease, checked.wait, done) == (True, 0.0, 3.0, [True])

    def test_p6_so_is_that_of_compulsory_companions(self, world: RedisWorld, stepper: Stepper) -> None:
        world.log_out(adopted(world))
        away(world, stepper)
        done = between(stepper, "companion_status", partial(elsewhere, world, "set_lease", 3.0))
        status = world.sessions.companion_status("ann", APP_SESSION)
        assert (status.companion_required, status.lease, status.wait, done) == (True, 0.0, 3.0, [True])

    def test_p3_a_sign_in_that_read_the_era_before_is_refused_once_somebody_has_signed_in_after(
        self, world: RedisWorld, stepper: Stepper
    ) -> None:
        away(world, stepper)

        def action() -> None:
            elsewhere(world, "revoke_everybody")
            elsewhere(world, "revoke_all", "ann")
            other = RedisWorld(world.url, world.looker)
            other.backend._place = world.place
            other.sign_in()
            other.sessions.close()

        done = between(stepper, "start", action)
        with pytest.raises(StaleLogin):
            world.login(generation=0)
        assert done
        assert world.sessions.list("ann").total == 1

    def test_p8_a_session_of_before_ends_nobody_who_signed_in_after(self, world: RedisWorld, stepper: Stepper) -> None:
        own, _ = world.sign_in(), world.sign_in()
        new: list[Client] = []

        def action() -> None:
            elsewhere(world, "revoke_everybody")
            other = RedisWorld(world.url, world.looker)
            other.backend._place = world.place
            new.append(other.sign_in())
            other.sessions.close()

        away(world, stepper)
        done = between(stepper, "revoke", action)
        with pytest.raises(Exception, match="not live"):
            world.sessions.revoke_others(own.session)
        assert done
        assert world.lives(*new) == [True]

    def test_p7_who_finds_another_era_again_and_again_gives_up(self, world: RedisWorld, stepper: Stepper) -> None:
        world.within(9.0).revoke_everybody()
        world.sign_in()
        away(world, stepper)

        def before(call: Call) -> None:
            if call.script.name == "user":
                world.looker.hset(call.key, "e", world.looker.incr(f"{world.prefix}:n").to_bytes(8, "little"))

        stepper.before = before
        with pytest.raises(BackendUnavailable):
            world.sessions.begin_login("ann")


class TestOneTagThatIsAway:
    """The slot of one tag is being moved, and that of the user is not."""

    def test_a_login_whose_session_of_the_application_is_away_begins_one_session(self, world: RedisWorld, stepper: Stepper) -> None:
        first, tag = world.sign_in(), world.place.app_session(APP_SESSION).tag
        assert tag != world.place.owner("ann").tag
        stepper.is_away = lambda call: is_undeclared(call) and b":{" + tag + b"}:" in call.key
        stepper.is_cluster = True
        world.through(stepper)
        stepper.calls.clear()
        second = world.login(replaces=first, app_session=APP_SESSION)
        assert world.lives(first, second) == [False, True]
        assert [call.script.name for call in stepper.calls].count("start") == 1

    def test_of_many_uses_those_of_the_other_users_are_recorded_once(self, world: RedisWorld, stepper: Stepper) -> None:
        clients = [world.sign_in(user) for user in USERS]
        world.pass_time(100)
        tag = world.place.owner("bob").tag
        stepper.is_away = lambda call: is_undeclared(call) and b":{" + tag + b"}:" in call.key
        due = world.sessions.note_seen([client.session for client in clients], None)
        assert list(due.values()) == [60.0] * len(USERS)
