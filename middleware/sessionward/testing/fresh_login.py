"""The tests for a login: which are too old (P3), and which sessions a login revokes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from sessionward.errors import StaleLogin
from sessionward.testing.world import Client, LoginWorld

LONG: Final = 86_400.0
"""Seconds. No request takes so long."""

REVOKED_BY: Final[Sequence[str]] = ["another session", "revoke_all", "expiry", "a login that replaces it", "a logout"]
"""The ways in which a session stops being live."""


def revoke_by(how: str, world: LoginWorld, own: Client, other: Client) -> None:
    """Makes ``own``, which lives for a minute, stop being live in one of the ways of ``REVOKED_BY``."""
    match how:
        case "another session":
            world.sessions.revoke_others(other.session)
        case "revoke_all":
            world.sessions.revoke_all("ann")
        case "expiry":
            world.pass_time(61)
        case "a login that replaces it":
            world.login(replaces=own)
        case "a logout":
            world.log_out(own)
        case _:
            raise AssertionError(how)


class FreshLoginContract:
    """The part of :class:`LoginContract` about old logins."""

    # --- P3, in its three forms

    def test_p3_a_login_younger_than_the_raise_is_taken(self, world: LoginWorld) -> None:
        world.sessions.revoke_all("ann")
        world.pass_time(10)
        assert world.lives(world.login(age=5.0)) == [True]

    def test_p3_a_login_older_than_the_raise_is_refused(self, world: LoginWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_others(own.session)
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            world.login(age=20.0)
        assert len(world.sessions.list("ann")) == 1

    def test_p3_the_raise_of_another_user_is_no_matter(self, world: LoginWorld) -> None:
        world.sessions.revoke_all("bob")
        assert world.lives(world.login("ann", age=LONG)) == [True]

    def test_p3_a_raise_in_the_future_refuses_only_the_login_that_finds_it(self, world: LoginWorld) -> None:
        world.sessions.revoke_all("ann")
        world.pass_time(-LONG)  # the clock was set back
        with pytest.raises(StaleLogin):
            world.login(age=1.0)
        assert world.sessions.begin_login("ann") == 1
        world.pass_time(5)
        assert world.lives(world.login(age=1.0)) == [True]
        with pytest.raises(StaleLogin):
            world.login(age=60.0)

    def test_p3_without_a_raise_no_login_is_too_old(self, world: LoginWorld) -> None:
        world.log_out(world.sign_in())
        assert world.lives(world.login(age=LONG)) == [True]

    def test_p3_the_right_generation_decides_in_place_of_the_age(self, world: LoginWorld) -> None:
        world.sessions.revoke_all("ann")
        assert world.lives(world.login(generation=world.sessions.begin_login("ann"), age=LONG)) == [True]

    @pytest.mark.parametrize("off", [-1, 1, 1000])
    def test_p3_a_wrong_generation_is_refused_whatever_the_age(self, world: LoginWorld, off: int) -> None:
        world.sessions.revoke_all("ann")
        world.pass_time(LONG)
        with pytest.raises(StaleLogin):
            world.login(generation=world.sessions.begin_login("ann") + off, age=0.0)

    def test_p3_a_wrong_generation_is_refused_though_the_session_it_replaces_is_live(self, world: LoginWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_others(own.session)
        with pytest.raises(StaleLogin):
            world.login(generation=0, replaces=own)
        assert world.lives(own) == [True]

    def test_p3_the_right_generation_is_taken_though_the_session_it_replaces_is_not_live(self, world: LoginWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_all("ann")
        assert world.lives(world.login(generation=1, age=LONG, replaces=own)) == [True]

    def test_p3_a_live_session_renews_itself_in_place_of_the_age(self, world: LoginWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_others(own.session)
        renewed = world.login(age=LONG, replaces=own)
        assert world.lives(own, renewed) == [False, True]

    @pytest.mark.parametrize("how", REVOKED_BY)
    def test_p3_a_session_that_is_not_live_cannot_renew_itself(self, world: LoginWorld, how: str) -> None:
        own, other = world.sign_in(lasts=60.0), world.sign_in()
        revoke_by(how, world, own, other)
        world.pass_time(LONG)
        live = len(world.sessions.list("ann"))
        with pytest.raises(StaleLogin):
            world.login(age=0.0, replaces=own)
        assert len(world.sessions.list("ann")) == live

    @pytest.mark.parametrize("alive", [True, False], ids=["live", "on_invalid"])
    def test_p3_the_session_of_another_user_leaves_the_age_to_decide(self, world: LoginWorld, alive: bool) -> None:
        bob = world.sign_in("bob")
        if not alive:
            world.log_out(bob)
        world.sessions.revoke_all("ann")
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            world.login("ann", age=20.0, replaces=bob)
        assert world.lives(bob) == [alive]
        ann = world.login("ann", age=5.0, replaces=bob)
        assert world.lives(ann, bob) == [True, False]

    def test_a_login_revokes_the_session_that_it_replaces_and_no_other(self, world: LoginWorld) -> None:
        own, other, bob = world.sign_in(), world.sign_in(), world.sign_in("bob")
        renewed = world.login(replaces=own)
        assert world.lives(own, other, bob, renewed) == [False, True, True, True]
        assert world.sessions.revoke_others(renewed.session) == 1
