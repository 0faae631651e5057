"""P1-P10 on a Redis Cluster whose slots move: every answer is right, and no call fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any, Final

import pytest

from sessionward import SessionRevoked, StaleLogin
from sessionward.backends.redis.layout import TAGS
from sessionward.credential.token import Credential, new_token
from tests.contract.redis_world import RedisWorld
from tests.support.load import under_load
from tests.support.redis_backends import opened
from tests.support.redis_cluster import Cluster
from tests.support.redis_servers import until
from tests.torture.redis_keys import client_of

SLOTS: Final = 300 if os.environ.get("FULL_SIZE") == "1" else 60
"""So many slots of a primary move there and back. Users have 1 024 slots, about 340 on each primary."""

both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both
def test_every_answer_is_right_while_slots_move(shared_cluster: Cluster, is_async: bool) -> None:
    with opened(shared_cluster.url, is_async=is_async, timeout=5.0) as backend, under_load(backend) as tally:
        until(lambda: tally.rounds >= 5, "calls succeed")
        users = sorted({shared_cluster.slot_of(b"{" + tag + b"}") for tag in TAGS})
        for source in shared_cluster.primaries()[:2]:
            moving = [slot for slot in users if any(slot in part for part in source.slots())][:SLOTS]
            target = shared_cluster.primaries()[2]
            shared_cluster.reshard(moving, target)
            shared_cluster.reshard(moving, source)
        before = tally.rounds
        until(lambda: tally.rounds >= before + 5, "calls succeed")
    print(tally)
    shared_cluster.until_ready()
    assert not tally.wrong, tally
    assert not tally.failed, tally


@both
def test_every_answer_is_right_while_replicas_take_over_as_agreed(shared_cluster: Cluster, is_async: bool) -> None:
    with opened(shared_cluster.url, is_async=is_async, timeout=5.0) as backend, under_load(backend) as tally:
        until(lambda: tally.rounds >= 5, "calls succeed")
        for primary in shared_cluster.primaries():
            shared_cluster.fail_over(primary)
            shared_cluster.until_ready()
        before = tally.rounds
        until(lambda: tally.rounds >= before + 5, "calls succeed")
    print(tally)
    assert not tally.wrong, tally


# --- one slot, half moved -------------------------------------------------------------------------------------------------

PARTS: Final = ("the user", "the state", "what leads to a session")
MOVED: Final = [moved for number in range(len(PARTS) + 1) for moved in combinations(PARTS, number)]


@pytest.fixture(scope="module", params=[False, True], ids=["sync", "async"])
def redis_world(request: pytest.FixtureRequest, shared_cluster: Cluster) -> Iterator[RedisWorld]:
    with client_of(shared_cluster.url) as looker:
        world = RedisWorld(shared_cluster.url, looker, is_async=request.param, timeout=10.0)
        yield world
        world.close()


@contextmanager
def half_moved(cluster: Cluster, world: RedisWorld, keys: dict[str, bytes], moved: tuple[str, ...]) -> Iterator[None]:
    """The slots of some keys are on their way, and these have arrived; the others have not. At the end they all have."""
    slots = {cluster.slot_of(key) for key in keys.values()}
    ways = {slot: (source := cluster.serving(slot), next(node for node in cluster.primaries() if node is not source)) for slot in slots}
    for slot, (source, target) in ways.items():
        cluster.begin_to_move(slot, source, target)
    for part in moved:
        cluster.move_keys([keys[part]], *ways[cluster.slot_of(keys[part])])
    try:
        yield
    finally:
        for slot, (source, target) in ways.items():
            while rest := source.cluster("GETKEYSINSLOT", slot, 100):
                cluster.move_keys(rest, source, target)
            cluster.finish_moving(slot, source, target)
        cluster.until_ready()


def _keys(world: RedisWorld, session: Any) -> dict[str, bytes]:
    owner = world.place.owner("ann")
    return dict(zip(PARTS, (owner.key, owner.state, world.pointer(session)), strict=True))


@pytest.mark.parametrize("moved", MOVED, ids=lambda moved: " and ".join(moved) or "nothing")
@pytest.mark.parametrize("forgets", [False, True], ids=["what was asked before is known", "nothing is known"])
def test_every_answer_is_right_in_a_slot_that_is_half_moved(
    shared_cluster: Cluster, world: RedisWorld, moved: tuple[str, ...], forgets: bool
) -> None:
    own, other, third, out = (world.sign_in() for _ in range(4))
    world.log_out(out)
    ticket = world.sessions.begin_login("ann")
    with half_moved(shared_cluster, world, _keys(world, other), moved):
        if forgets:
            world.place.pointers.clear()
        assert world.lives(own, other, third, out) == [True, True, True, False]
        assert world.sessions.check(out.credential).has_ended
        assert world.sessions.check(Credential(new_token().encode())).has_ended is False
        assert set(world.sessions.find_many([one.credential for one in (own, other, third, out)])) == {
            one.credential for one in (own, other, third)
        }
        assert {session.id for session in world.sessions.list("ann")} == {one.session.id for one in (own, other, third)}
        late = world.login(generation=ticket)
        assert world.lives(late) == [True]
        assert world.sessions.revoke("ann", third.session.id)
        assert world.sessions.revoke_others(own.session) == 2
        assert world.lives(own, other, third, late) == [True, False, False, False]
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(other.session)
        with pytest.raises(StaleLogin):
            world.login(generation=ticket)
        with pytest.raises(StaleLogin):
            world.login(age=60.0)
        assert world.sessions.begin_login("ann") == 1
        assert world.sessions.check(other.credential).has_ended
        assert [session.id for session in world.sessions.list("ann")] == [own.session.id]
    world.place.pointers.clear()
    assert world.lives(own, other, third, late, out) == [True, False, False, False, False]
    assert world.sessions.revoke_all("ann") == 1


@pytest.mark.parametrize("moved", MOVED, ids=lambda moved: " and ".join(moved) or "nothing")
def test_an_era_that_began_while_a_slot_was_half_moved_ends_everybody(
    shared_cluster: Cluster, world: RedisWorld, moved: tuple[str, ...]
) -> None:
    own = world.sign_in()
    ticket = world.sessions.begin_login("ann")
    with half_moved(shared_cluster, world, _keys(world, own), moved):
        world.sessions.revoke_everybody()
        assert world.lives(own) == [False]
        assert world.sessions.check(own.credential).has_ended
        with pytest.raises(StaleLogin):
            world.login(generation=ticket)
        anew = world.sign_in()
        assert world.lives(own, anew) == [False, True]
        assert [session.id for session in world.sessions.list("ann")] == [anew.session.id]
    assert world.lives(own, anew) == [False, True]


COMPANION: Final = ("the user", "its state", "the application's session", "the state of that")
MOVED_COMPANION: Final = [moved for number in range(len(COMPANION) + 1) for moved in combinations(COMPANION, number)]


@pytest.mark.parametrize("moved", MOVED_COMPANION, ids=lambda moved: " and ".join(moved) or "nothing")
def test_a_companion_begins_once_and_is_revoked_for_good_in_slots_that_are_half_moved(
    shared_cluster: Cluster, world: RedisWorld, moved: tuple[str, ...]
) -> None:
    app_session = Credential(new_token().encode()).digest
    first = world.adopt("ann", app_session)
    assert first is not None
    owner, record = world.place.owner("ann"), world.place.app_session(app_session)
    keys = dict(zip(COMPANION, (owner.key, owner.state, record.key, record.state), strict=True))
    world.pass_time(61)
    with half_moved(shared_cluster, world, keys, moved):
        second = world.adopt("ann", app_session)
        assert second is not None
        assert world.lives(first, second) == [True, True]
        status = world.sessions.companion_status("ann", app_session)
        assert (status.companions, status.companion_required) == (2, False)
        assert not world.sessions.is_revoked_app_session(app_session)
        assert world.sessions.extend(second.session, lifetime=7200.0, app_session=app_session)
        assert world.log_out(first)
        assert world.sessions.is_revoked_app_session(app_session)
        assert world.sessions.companion_status("ann", app_session).companion_required
        with pytest.raises(StaleLogin):
            world.adopt("ann", app_session)
    assert world.lives(first, second) == [False, True]
    assert world.sessions.is_revoked_app_session(app_session)
