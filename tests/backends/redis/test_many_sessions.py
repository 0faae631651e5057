"""Thousands of sessions of one user: one script revokes them all, and batches write it down afterwards."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from sessionward import SessionRevoked, StaleLogin
from sessionward.backends import RateLimited, SignInTooOld, Terms
from sessionward.backends.redis import revoking, sweeping
from sessionward.backends.redis.call import Call
from sessionward.backends.redis.entry import unpacked
from sessionward.backends.redis.layout import KEPT
from sessionward.session.session import IMPERSONATION
from sessionward.testing import Client, together
from sessionward.testing.companion_world import APP_SESSION, adopted
from tests.contract.redis_world import ID, RedisWorld
from tests.contract.stepping import Stepper

FEW = 20
"""Beyond so many sessions the tests have them noted, to be quick."""


class Crash(Exception):
    """The process ends here."""


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revoking, "BATCH", FEW)
    monkeypatch.setattr(sweeping, "BATCH", 7)


@pytest.fixture
def clients(world: RedisWorld) -> Iterator[list[Client]]:
    """Sessions of one user, each to be asked about."""
    name = "hash-max-listpack-entries"
    before = world.looker.config_get(name)[name]
    world.looker.config_set(name, 8)  # a small hash is walked through in one step
    yield [world.sign_in(lasts=86_400.0) for _ in range(3 * FEW)]
    world.looker.config_set(name, before)


@pytest.fixture
def after_the_commit(world: RedisWorld) -> Iterator[Stepper]:
    """A process that ends after the script that decides."""
    runner, place = world.backend._runner, world.place
    stepper = Stepper(world.looker)

    def before(call: Call) -> None:
        if call.script.name == "sweep":
            raise Crash

    stepper.before = before
    world.through(stepper)
    yield stepper
    world.backend._runner, world.backend._place = runner, place


def crashed(world: RedisWorld, call: Any) -> None:
    """Calls what crashes after its commit, and leaves the world to the next process."""
    with pytest.raises(Crash):
        call()
    runner = world.backend._runner
    runner.before = lambda call: None


class TestManySessions:
    def test_p5_all_others_are_revoked_and_counted(self, world: RedisWorld, clients: list[Client]) -> None:
        own, *others = clients
        world.log_out(others[0])
        assert world.sessions.revoke_others(own.session) == len(others) - 1
        assert world.lives(*clients) == [True] + [False] * len(others)
        assert world.sessions.list("ann").total == 1
        assert world.sessions.revoke_others(own.session) == 0

    def test_afterwards_each_is_written_with_its_reason_and_the_note_is_gone(self, world: RedisWorld, clients: list[Client]) -> None:
        own, *others = clients
        short = world.sign_in(lasts=60.0)
        world.pass_time(61)
        world.sessions.revoke_others(own.session)
        assert b"m" not in world.user()
        assert {world.entry(client).reason for client in others} == {"others"}
        assert {world.entry(client).ended_by for client in others} == {own.session.id.bytes}
        assert [world.entry(client).reason for client in (own, short)] == ["", "expired"]

    def test_p5_revoke_all_counts_them_too(self, world: RedisWorld, clients: list[Client]) -> None:
        assert world.sessions.revoke_all("ann") == len(clients)
        assert not any(world.lives(*clients))
        assert {world.entry(client).reason for client in clients} == {"all"}

    def test_p4_the_script_that_decides_is_enough(self, world: RedisWorld, clients: list[Client], after_the_commit: Stepper) -> None:
        own, *others = clients
        crashed(world, partial(world.sessions.revoke_others, own.session))
        assert len(world.user()[b"m"]) == struct.calcsize("<Iq16sBB")
        assert world.lives(*clients) == [True] + [False] * len(others)
        assert world.sessions.check(others[0].credential).has_ended
        assert [session.id for session in world.sessions.list("ann")] == [own.session.id]
        assert world.sessions.note_seen([client.session for client in clients], None).keys() == {own.session.id}
        assert not world.sessions.extend(others[0].session, lifetime=1e6, app_session=None)
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(others[0].session)
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_one(others[0].session, own.session.id)
        with pytest.raises(StaleLogin):
            world.login(replaces=others[0])
        assert world.log_out(others[1]) is False
        assert world.sessions.revoke_one(own.session, others[2].session.id) is False

    def test_p4_who_signs_in_afterwards_lives_and_a_repeat_completes_it(
        self, world: RedisWorld, clients: list[Client], after_the_commit: Stepper
    ) -> None:
        own, *others = clients
        crashed(world, partial(world.sessions.revoke_others, own.session))
        new = [world.login(generation=1) for _ in range(3)]
        assert world.lives(own, *new, *others) == [True] * 4 + [False] * len(others)
        assert world.sessions.revoke_others(new[0].session) == 3
        assert world.lives(own, *new, *others) == [False, True] + [False] * (2 + len(others))
        assert b"m" not in world.user()
        assert world.entry(own).ended_by == new[0].session.id.bytes
        assert world.entry(others[0]).ended_by == own.session.id.bytes

    def test_the_next_revocation_that_writes_each_session_drops_the_note(
        self, world: RedisWorld, clients: list[Client], after_the_commit: Stepper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own, *others = clients
        crashed(world, partial(world.sessions.revoke_others, own.session))
        monkeypatch.setattr(revoking, "BATCH", 10 * FEW)
        assert world.sessions.revoke_others(own.session) == 0
        assert b"m" not in world.user()
        assert world.lives(*clients) == [True] + [False] * len(others)
        assert {world.entry(client).ended_by for client in others} == {own.session.id.bytes}

    def test_two_notes_of_two_processes_that_ended_hold_both(
        self, world: RedisWorld, clients: list[Client], after_the_commit: Stepper
    ) -> None:
        before = after_the_commit.before
        own, *others = clients
        acted = world.login(generation=0, kind=IMPERSONATION, actor="root")
        crashed(world, partial(world.sessions.revoke_others, own.session))
        later = [world.login(generation=1) for _ in range(3)]
        acted_later = world.login(generation=1, kind=IMPERSONATION, actor="root")
        after_the_commit.before = before
        crashed(world, partial(world.sessions.revoke_others_quietly, later[0].session))
        assert world.lives(*later, acted_later) == [True, False, False, True]
        assert not any(world.lives(own, acted, *others))
        world.sessions.purge(86_400.0)
        assert b"m" not in world.user()
        assert world.lives(*later, acted_later, own, acted) == [True, False, False, True, False, False]

    def test_p6_a_note_that_comes_during_the_walk_of_another_process_stays(
        self, world: RedisWorld, clients: list[Client], after_the_commit: Stepper
    ) -> None:
        own, ends_here = clients[0], after_the_commit.before
        later: list[Client] = []
        walked: list[Call] = []

        def before(call: Call) -> None:
            if call.script.name == "sweep":
                walked.append(call)
                if len(walked) == 8:
                    after_the_commit.before = lambda call: None
                    later.extend(world.login(generation=1) for _ in range(2 * FEW))
                    after_the_commit.before = ends_here
                    crashed(world, partial(world.sessions.revoke_others, later[0].session))
                    after_the_commit.before = before

        after_the_commit.before = before
        assert world.sessions.revoke_others(own.session) == len(clients) - 1
        assert len(walked) > 8
        assert not any(world.lives(*clients, *later[1:]))
        assert world.lives(later[0]) == [True]

    def test_p6_purge_writes_the_note_out_and_drops_what_is_old(
        self, world: RedisWorld, clients: list[Client], after_the_commit: Stepper
    ) -> None:
        own, *others = clients
        crashed(world, partial(world.sessions.revoke_others, own.session))
        assert world.sessions.purge(0.0) == 0
        assert world.sessions.check(others[0].credential).has_ended
        world.pass_time(KEPT + 10)
        assert world.sessions.purge(0.0) == len(others)
        assert world.lives(own) == [True]

    def test_impersonations_are_spared_on_the_terms_of_a_client(self, world: RedisWorld, clients: list[Client]) -> None:
        own, *others = clients
        acted = world.login(generation=0, kind=IMPERSONATION, actor="root")
        assert world.sessions.revoke_others_quietly(own.session) == len(others)
        assert world.lives(own, acted, *others[:2]) == [True, True, False, False]
        assert world.sessions.revoke_others_quietly(own.session, Terms(impersonations=True)) == 1
        assert world.lives(own, acted) == [True, False]

    def test_the_terms_hold(self, world: RedisWorld, clients: list[Client]) -> None:
        own, *others = clients
        world.pass_time(100)
        with pytest.raises(SignInTooOld):
            world.sessions.revoke_others_quietly(own.session, Terms(recent=50.0))
        assert all(world.lives(*clients))
        assert world.sessions.revoke_others_quietly(own.session, Terms(rate_limit=1)) == len(others)
        for _ in range(2 * FEW):
            world.login(generation=1)
        with pytest.raises(RateLimited):
            world.sessions.revoke_others_quietly(own.session, Terms(rate_limit=1))
        assert world.sessions.list("ann").total == 2 * FEW + 1

    def test_p3_a_call_that_finds_nothing_among_thousands_that_ended_raises_only_after_the_pause(
        self, world: RedisWorld, clients: list[Client]
    ) -> None:
        own = clients[0]
        world.sessions.revoke_others(own.session)
        assert world.sessions.revoke_others_quietly(own.session) == 0
        assert world.sessions.begin_login("ann") == 1
        world.pass_time(3)
        assert world.sessions.revoke_others_quietly(own.session) == 0
        assert world.sessions.begin_login("ann") == 2
        assert b"m" not in world.user()

    def test_companions_become_compulsory_and_their_sessions_are_recorded(self, world: RedisWorld, clients: list[Client]) -> None:
        companion = adopted(world)
        world.sessions.revoke_others(clients[0].session)
        assert world.lives(companion) == [False]
        assert world.sessions.is_revoked_app_session(APP_SESSION)
        assert world.sessions.companion_status("ann", APP_SESSION).companion_required

    def test_p2_of_callers_at_once_one_survives(self, world: RedisWorld, clients: list[Client]) -> None:
        answers = together(*(partial(world.sessions.revoke_others, client.session) for client in clients[:6]))
        assert sorted(map(str, (answer for answer in answers if isinstance(answer, int)))) == [str(len(clients) - 1)]
        assert sum(isinstance(answer, SessionRevoked) for answer in answers) == 5
        assert sum(world.lives(*clients)) == 1

    def test_p5_with_sign_ins_at_the_same_time_the_count_is_what_was_ended(self, world: RedisWorld, clients: list[Client]) -> None:
        own = clients[0]
        count, *came = together(
            partial(world.sessions.revoke_others, own.session), *(partial(world.login, age=1000.0, generation=0) for _ in range(8))
        )
        new = [client for client in came if isinstance(client, Client)]
        assert count == len(clients) - 1 + len(new)
        assert not any(world.lives(*new))


def test_ten_thousand_sessions_hold_the_server_for_a_few_milliseconds_at_a_time(world: RedisWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """No script looks at more than a few hundred sessions. How long that takes is measured elsewhere."""
    monkeypatch.undo()
    own = world.sign_in()
    value = world.user()[own.session.id.bytes]
    filling = world.looker.pipeline(transaction=False)
    for _ in range(10_000):
        filling.hset(world.place.owner("ann").key, uuid4().bytes, value)
    filling.execute()
    stepper = Stepper(world.looker)
    world.through(stepper)
    assert world.sessions.revoke_others(own.session) == 10_000
    names = [call.script.name for call in stepper.calls]
    assert names.count("revoke") == 1
    assert 10_000 / sweeping.BATCH * 0.5 < names.count("sweep") < 10_000 / sweeping.BATCH * 2
    kept = [unpacked(packed) for name, packed in world.user().items() if len(name) == ID]
    assert (len(kept), sum(entry.reason == "others" for entry in kept)) == (10_001, 10_000)
