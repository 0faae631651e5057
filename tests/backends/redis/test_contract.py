"""The contract over one Redis server, sync and async, and as if the slot of every user were being moved between nodes."""

from __future__ import annotations

from sessionward.backends.redis.state import PACKED
from sessionward.testing import LoginWorld
from tests.contract.redis import RedisContract
from tests.contract.redis_world import RedisWorld


class TestRedis(RedisContract):
    is_async = False


class TestRedisAsync(RedisContract):
    is_async = True


class TestRedisWhoseStateIsAway(RedisContract):
    """No script reaches the state of the tag, which it has not declared. So each is run a second time, with the state."""

    is_away = True

    def test_p6_a_session_of_before_is_not_purged_within_an_hour(self, world: LoginWorld) -> None:
        """Nor later, while the slot is being moved: a state that was read before may be the older one of the two."""
        client = world.sign_in()
        world.sessions.revoke_everybody()
        world.pass_time(3700)
        assert world.sessions.purge(0.0) == 0
        assert world.sessions.check(client.credential).has_ended

    def test_each_script_on_a_user_has_got_the_state(self, world: RedisWorld) -> None:
        runner = world.backend._runner
        runner.calls.clear()
        own = world.sign_in()
        world.sessions.check(own.credential)
        world.sessions.revoke_others(own.session)
        on_users = [call for call in runner.calls if world.place.owner_of(call.key) is not None]
        assert [call.script.name for call in on_users] == ["user", "start", "check", "revoke"]
        assert all(len(call.arguments[1]) == PACKED.size for call in on_users)
