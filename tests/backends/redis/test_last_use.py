"""Uses that two processes record at once: the later one stays."""

from __future__ import annotations

import pytest

from sessionward.backends.redis.call import Call
from tests.contract.redis_world import RedisWorld
from tests.contract.stepping import Stepper


@pytest.mark.parametrize("idle", [None, 900.0], ids=["without a limit", "with an idle limit"])
def test_a_use_that_is_written_late_moves_nothing_back(world: RedisWorld, idle: float | None) -> None:
    client = world.login(lasts=86_400.0, idle=idle)
    world.pass_time(300)
    stepper, other = Stepper(world.looker), RedisWorld(world.url, world.looker)
    other.backend._place = world.place

    def before(call: Call) -> None:
        if call.script.name == "note_seen":
            other.sessions.note_seen([client.session], idle)

    stepper.before = before
    world.sessions.close()
    world.through(stepper)
    try:
        due = world.sessions.note_seen([client.session], idle, lambda: 120.0)
    finally:
        other.sessions.close()
    assert list(due.values()) == [0.0]
    found = world.found(client)
    assert found.last_seen_at is not None
    assert found.issued_at is not None
    assert (found.last_seen_at - found.issued_at).total_seconds() >= 300
    assert idle is None or (found.expires_at is not None and (found.expires_at - found.last_seen_at).total_seconds() == idle)
