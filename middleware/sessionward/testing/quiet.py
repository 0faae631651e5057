"""The contract of ``revoke_others_quietly``: a session that repeats the call does not block the sign-ins of its user (P3)."""

from __future__ import annotations

from functools import partial

import pytest

from sessionward.errors import SessionRevoked, StaleLogin
from sessionward.session.rate import MAX_RAISES, RAISES_WITHIN
from sessionward.session.session import RAISE_PAUSE
from sessionward.testing.bridge import together
from sessionward.testing.world import Client, LoginWorld

SLOW = 0.5
"""Seconds that the application checks a password for."""


def generation(world: LoginWorld) -> int:
    return world.sessions.begin_login("ann")


def spend(world: LoginWorld, client: Client) -> None:
    """Raises as often as one session may."""
    for _ in range(MAX_RAISES):
        world.pass_time(RAISE_PAUSE + 1)
        assert world.sessions.revoke_others_quietly(client.session) == 0


class QuietContract:
    """What a backend must do that has ``revoke_others_quietly``. A second base, with the fixture of ``LoginContract``."""

    def test_p5_what_the_endpoint_revokes_is_counted_and_raises(self, world: LoginWorld) -> None:
        own, *others = [world.sign_in() for _ in range(3)]
        assert world.sessions.revoke_others_quietly(own.session) == 2
        assert world.lives(own, *others) == [True, False, False]
        assert generation(world) == 1
        again = world.sign_in()
        assert world.sessions.revoke_others_quietly(own.session) == 1
        assert world.lives(own, again) == [True, False]
        assert generation(world) == 2

    def test_p2_a_caller_that_is_not_live_is_told(self, world: LoginWorld) -> None:
        own = world.sign_in()
        world.log_out(own)
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others_quietly(own.session)
        assert generation(world) == 0

    def test_p3_the_first_call_raises_though_it_finds_nothing(self, world: LoginWorld) -> None:
        own = world.sign_in()
        assert world.sessions.revoke_others_quietly(own.session) == 0
        assert generation(world) == 1
        with pytest.raises(StaleLogin):
            world.login(age=SLOW)

    def test_p3_a_repeat_that_finds_nothing_raises_only_after_the_pause(self, world: LoginWorld) -> None:
        own, _ = world.sign_in(), world.sign_in()
        world.sessions.revoke_others_quietly(own.session)
        world.pass_time(RAISE_PAUSE - 1)
        assert world.sessions.revoke_others_quietly(own.session) == 0
        assert generation(world) == 1
        assert world.lives(world.login(age=SLOW)) == [True]
        world.sessions.revoke_others(own.session)
        world.pass_time(RAISE_PAUSE + 1)
        assert world.sessions.revoke_others_quietly(own.session) == 0
        assert generation(world) == 3

    def test_p3_one_session_raises_ten_times_an_hour_without_revoking_anything(self, world: LoginWorld) -> None:
        own = world.sign_in(lasts=10 * RAISES_WITHIN)
        spend(world, own)
        assert generation(world) == MAX_RAISES
        world.pass_time(RAISE_PAUSE + 1)
        assert world.sessions.revoke_others_quietly(own.session) == 0
        assert generation(world) == MAX_RAISES
        world.pass_time(RAISES_WITHIN)
        spend(world, own)
        assert generation(world) == 2 * MAX_RAISES

    def test_p3_a_session_that_has_spent_its_raises_still_raises_with_what_it_revokes(self, world: LoginWorld) -> None:
        own = world.sign_in()
        spend(world, own)
        world.pass_time(RAISE_PAUSE + 1)
        other = world.sign_in()
        assert world.sessions.revoke_others_quietly(own.session) == 1
        assert (world.lives(own, other), generation(world)) == ([True, False], MAX_RAISES + 1)

    def test_p3_the_verbs_always_raise(self, world: LoginWorld) -> None:
        own = world.sign_in()
        spend(world, own)
        for number in range(3):
            assert world.sessions.revoke_others(own.session) == 0
            assert generation(world) == MAX_RAISES + 1 + number
        assert world.sessions.revoke_all("ann") == 1
        assert generation(world) == MAX_RAISES + 4

    def test_p3_another_session_has_raises_of_its_own(self, world: LoginWorld) -> None:
        thief = world.sign_in()
        spend(world, thief)
        world.log_out(thief)
        owner = world.sign_in()
        world.pass_time(RAISE_PAUSE + 1)
        world.sessions.revoke_others_quietly(owner.session)
        assert generation(world) == MAX_RAISES + 1

    def test_p3_a_clock_that_was_set_back_keeps_nobody_from_raising(self, world: LoginWorld) -> None:
        own = world.sign_in(lasts=100 * RAISES_WITHIN)
        spend(world, own)
        world.pass_time(-20 * RAISES_WITHIN)
        assert world.sessions.revoke_others_quietly(own.session) == 0
        assert generation(world) == MAX_RAISES + 1
        for _ in range(2 * MAX_RAISES):
            world.pass_time(RAISE_PAUSE + 1)
            world.sessions.revoke_others_quietly(own.session)
        assert generation(world) == 2 * MAX_RAISES

    def test_p3_a_stolen_session_that_calls_on_and_on_does_not_lock_its_owner_out(self, world: LoginWorld) -> None:
        """Five calls a second for a minute; its owner tries to sign in every three seconds."""
        thief = world.sign_in()
        refused: list[bool] = []
        for call in range(60 * 5):
            world.sessions.revoke_others_quietly(thief.session)
            world.pass_time(0.2)
            if call % 15 == 14:
                try:
                    owner = world.login(age=SLOW)
                except StaleLogin:
                    refused.append(True)
                else:
                    refused.append(False)
                    world.log_out(owner)  # else the thief's next call revokes it, which is not what is asked here
        assert not any(refused[-10:])
        assert sum(refused) <= len(refused) // 2

    def test_p10_of_calls_at_once_that_find_nothing_one_raises(self, world: LoginWorld) -> None:
        own = world.sign_in()
        assert together(*(partial(world.sessions.revoke_others_quietly, own.session) for _ in range(6))) == [0] * 6
        assert generation(world) == 1
