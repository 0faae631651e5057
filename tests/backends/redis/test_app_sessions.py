"""The record of the application's sessions: whole after a crash and a repeat, and without those whose companion was refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sessionward import StaleLogin, TooManySessions
from sessionward.backends.redis import revoking, sweeping
from sessionward.backends.redis.call import Call
from sessionward.backends.redis.login import MOMENT, MOST
from sessionward.credential.token import Credential, new_token
from sessionward.session.session import NewSession
from sessionward.settings.limits import AtLimit
from sessionward.testing import Client
from sessionward.testing.companion_world import APP_SESSION, adopted
from tests.contract.redis_world import RedisWorld
from tests.contract.stepping import Stepper

FEW = 20
"""Beyond so many sessions the tests have them noted, to be quick."""
HOW_MANY = 3 * FEW


class Crash(Exception):
    """The process ends here."""


@pytest.fixture
def batches(world: RedisWorld, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Few sessions are thousands here."""
    monkeypatch.setattr(revoking, "BATCH", FEW)
    monkeypatch.setattr(sweeping, "BATCH", 7)
    name = "hash-max-listpack-entries"
    before = world.looker.config_get(name)[name]
    world.looker.config_set(name, 8)  # a small hash is walked through in one step
    yield
    world.looker.config_set(name, before)


def digest(number: int) -> bytes:
    """A session of the application."""
    return number.to_bytes(32)


def companions(world: RedisWorld) -> list[Client]:
    """Companions of one user, each of a session of its own."""
    return [world.login(generation=0, app_session=digest(number), lasts=10 * 86_400.0) for number in range(HOW_MANY)]


def recorded(world: RedisWorld) -> list[bool]:
    """Of which sessions of the application a companion counts as revoked."""
    return [world.sessions.is_revoked_app_session(digest(number)) for number in range(HOW_MANY)]


def crash_before(stepper: Stepper, script: str, number: int, call: Callable[[], Any]) -> None:
    """Makes a call whose process ends before it runs a script for the ``number``-th time."""
    seen: list[Call] = []

    def before(call: Call) -> None:
        if call.script.name == script:
            seen.append(call)
            if len(seen) == number:
                raise Crash

    stepper.before = before
    with pytest.raises(Crash):
        call()
    stepper.before = lambda call: None


@pytest.mark.usefixtures("batches")
class TestCrashes:
    """A revocation that has ended thousands of companions, and whose process ends before all is recorded."""

    @pytest.mark.parametrize(
        ("script", "number"),
        [("sweep", 1), ("revoked_app_session", 1), ("sweep", 3), ("revoked_app_session", FEW), ("unmark", 1)],
        ids=["before the first batch", "after the first batch", "between two batches", "between two records", "before the end"],
    )
    @pytest.mark.parametrize("is_quiet", [True, False], ids=["quietly", "by the verb"])
    @pytest.mark.parametrize("has_become_few", [False, True], ids=["many", "few"])
    def test_p4_the_repeat_records_all(
        self,
        world: RedisWorld,
        stepper: Stepper,
        monkeypatch: pytest.MonkeyPatch,
        script: str,
        number: int,
        *,
        is_quiet: bool,
        has_become_few: bool,
    ) -> None:
        own, *_ = companions(world)
        crash_before(stepper, script, number, partial(world.sessions.revoke_others, own.session))
        if has_become_few:
            monkeypatch.setattr(revoking, "BATCH", 10 * HOW_MANY)
        repeat = world.sessions.revoke_others_quietly if is_quiet else world.sessions.revoke_others
        assert repeat(own.session) == 0
        assert recorded(world) == [False] + [True] * (HOW_MANY - 1)
        assert b"m" not in world.user()

    def test_a_quiet_repeat_of_what_is_recorded_records_nothing(self, world: RedisWorld, stepper: Stepper) -> None:
        own, *_ = companions(world)
        world.sessions.revoke_others(own.session)
        stepper.calls.clear()
        assert world.sessions.revoke_others_quietly(own.session) == 0
        assert [call.script.name for call in stepper.calls] == ["revoke", "read_state"], "the answer, and the lease"
        stepper.calls.clear()
        assert world.sessions.purge(0.0) == 0
        assert {call.script.name for call in stepper.calls} == {"sweep"}

    def test_p6_a_second_crash_loses_nothing(self, world: RedisWorld, stepper: Stepper) -> None:
        own, *_ = companions(world)
        crash_before(stepper, "revoked_app_session", 1, partial(world.sessions.revoke_others, own.session))
        crash_before(stepper, "sweep", 4, partial(world.sessions.revoke_others_quietly, own.session))
        world.sessions.revoke_others_quietly(own.session)
        assert recorded(world) == [False] + [True] * (HOW_MANY - 1)

    def test_purge_records_them_too_and_drops_them_when_it_has(self, world: RedisWorld, stepper: Stepper) -> None:
        own, *_ = companions(world)
        crash_before(stepper, "sweep", 3, partial(world.sessions.revoke_others, own.session))
        world.pass_time(86_400.0)
        assert world.sessions.purge(0.0) == 0
        assert recorded(world) == [False] + [True] * (HOW_MANY - 1)
        assert world.sessions.purge(0.0) == HOW_MANY - 1

    @pytest.mark.parametrize("limit", [None, 5], ids=["without a limit", "with max_sessions"])
    @pytest.mark.parametrize("later", [MOMENT + 1, 86_400.0], ids=["a moment later", "a day later"])
    def test_sign_ins_drop_none_that_is_not_recorded(
        self, world: RedisWorld, stepper: Stepper, monkeypatch: pytest.MonkeyPatch, later: float, limit: int | None
    ) -> None:
        monkeypatch.setattr(f"{__name__}.HOW_MANY", MOST + 50)
        own, *_ = companions(world)
        crash_before(stepper, "sweep", 3, partial(world.sessions.revoke_others, own.session))
        world.pass_time(later)
        new = world.login(generation=1, max_sessions=limit)
        world.sessions.revoke_others(new.session)
        assert all(recorded(world))


class TestRefusals:
    """A companion that was refused leaves nothing behind."""

    def refused(self, world: RedisWorld, how: str) -> None:
        new = NewSession(user_id="ann", digest=Credential(new_token().encode()).digest, lifetime=60.0, app_session=APP_SESSION)
        if how == "too late":
            world.sessions.revoke_all("ann")
            with pytest.raises(StaleLogin):
                world.login(generation=0, app_session=APP_SESSION)
        elif how == "after the limit":
            world.sign_in()
            limited = replace(new, generation=0, max_sessions=1, at_limit=AtLimit.REFUSE)
            with pytest.raises(TooManySessions):
                world.sessions.login(limited)
        else:
            world.sessions.revoke_all("ann")
            with pytest.raises(StaleLogin):
                world.sessions.adopt(new)

    @pytest.mark.parametrize("how", ["too late", "after the limit", "an adoption"])
    def test_it_does_not_count_as_revoked_in_the_next_era(self, world: RedisWorld, how: str) -> None:
        self.refused(world, how)
        assert list(world.keys("*:a:*")) == []
        world.sessions.revoke_everybody()
        assert not world.sessions.is_revoked_app_session(APP_SESSION)

    @pytest.mark.parametrize("how", ["too late", "an adoption"])
    def test_p6_what_had_a_companion_keeps_its_record(self, world: RedisWorld, how: str) -> None:
        world.login("bob", generation=0, app_session=APP_SESSION)
        self.refused(world, how)
        world.sessions.revoke_everybody()
        assert world.sessions.is_revoked_app_session(APP_SESSION)

    def test_p6_so_does_what_got_one_meanwhile(self, world: RedisWorld, stepper: Stepper) -> None:
        world.sessions.revoke_all("ann")

        def before(call: Call) -> None:
            if call.script.name == "forget_app_session":
                stepper.before = lambda call: None
                adopted(world, "bob")

        stepper.before = before
        with pytest.raises(StaleLogin):
            world.login(generation=0, app_session=APP_SESSION)
        assert world.sessions.companion_status("bob", APP_SESSION).companions == 1
        world.sessions.revoke_everybody()
        assert world.sessions.is_revoked_app_session(APP_SESSION)

    def test_p6_what_was_revoked_stays_so(self, world: RedisWorld) -> None:
        world.log_out(adopted(world))
        self.refused(world, "too late")
        assert world.sessions.is_revoked_app_session(APP_SESSION)
