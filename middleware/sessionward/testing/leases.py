"""The tests for backends whose answers workers may trust for a while (CONTRACT.md 5)."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from sessionward.credential.token import Credential, new_token
from sessionward.errors import SessionRevoked, StaleLogin, UsageError
from sessionward.lease import WAITED
from sessionward.session.session import LEASES_WITHIN, Checked
from sessionward.settings import MAX_LEASE
from sessionward.testing.bridge import together
from sessionward.testing.fresh_login import REVOKED_BY, revoke_by
from sessionward.testing.world import Client, LoginWorld

SHORT = 0.05
"""Seconds of a lease that a test waits for."""


def checked(world: LoginWorld, client: Client) -> Checked:
    return world.sessions.check(client.credential)


def waited(call: Callable[[], Any]) -> float:
    """Returns how long a call takes."""
    began = monotonic()
    call()
    return monotonic() - began


class LeasesContract:
    """The tests for a backend with ``check``. A second base, with the fixture of ``LoginContract``."""

    # --- check

    def test_a_check_finds_what_find_finds(self, world: LoginWorld) -> None:
        client = world.sign_in()
        found = checked(world, client)
        assert found.session == world.found(client)
        assert (found.has_ended, found.user_id) == (False, "ann")

    def test_a_check_says_how_long_the_session_lives(self, world: LoginWorld) -> None:
        client = world.sign_in(lasts=3600.0)
        first = checked(world, client).remaining
        world.pass_time(600)
        second = checked(world, client).remaining
        assert 3000 < first <= 3600
        assert 2400 < second <= first - 600

    def test_a_check_tells_unknown_from_ended_from_expired(self, world: LoginWorld) -> None:
        out, short = world.sign_in(), world.sign_in(lasts=60.0)
        world.log_out(out)
        world.pass_time(61)
        assert world.sessions.check(Credential(new_token().encode())) == Checked(None)
        assert checked(world, out)[:4] == (None, True, "ann", 0.0)
        assert checked(world, short)[:4] == (None, False, "ann", 0.0)

    @pytest.mark.parametrize("how", [how for how in REVOKED_BY if how != "expiry"])
    def test_a_session_that_was_ended_by_anything_is_ended(self, world: LoginWorld, how: str) -> None:
        own, other = world.sign_in(), world.sign_in()
        revoke_by(how, world, own, other)
        assert checked(world, own)[:3] == (None, True, "ann")

    def test_p6_a_session_that_ended_is_not_purged_within_an_hour(self, world: LoginWorld) -> None:
        out, short = world.sign_in(), world.sign_in(lasts=60.0)
        world.log_out(out)
        world.pass_time(61)
        world.sessions.purge(0.0)
        assert (checked(world, out).has_ended, checked(world, short)) == (True, Checked(None))
        world.pass_time(3600)
        world.sessions.purge(0.0)
        assert checked(world, out) == Checked(None)

    def test_p6_a_session_that_expired_before_it_was_ended_is_not_purged_either(self, world: LoginWorld) -> None:
        short, own = world.sign_in(lasts=60.0), world.sign_in(lasts=100_000.0)
        world.pass_time(7200)
        world.log_out(short)
        world.sessions.purge(3600.0)
        assert checked(world, short).has_ended
        assert world.lives(own) == [True]

    # --- the lease

    def test_at_first_nothing_is_trusted_or_waited_for(self, world: LoginWorld) -> None:
        client = world.sign_in()
        assert checked(world, client)[4:] == (0.0, 0.0)
        assert world.sessions.lease_wait() == 0.0

    def test_a_check_reads_the_lease_whether_the_session_lives_or_not(self, world: LoginWorld) -> None:
        live, out = world.sign_in(), world.sign_in()
        world.sessions.revoke(out.session.user_id, out.session.id)
        world.sessions.set_lease(0.25)
        assert [checked(world, client)[4:] for client in (live, out)] == [(0.25, 0.25)] * 2
        assert world.sessions.lease_wait() == 0.25

    def test_to_raise_a_lease_never_lowers_it(self, world: LoginWorld) -> None:
        leases: list[float] = []
        for seconds in (1.0, 0.5, 0.0, 2.0, 2.0):
            world.sessions.raise_lease(seconds)
            leases.append(world.sessions.lease_wait())
        assert leases == [1.0, 1.0, 1.0, 2.0, 2.0]

    def test_p1_a_lease_that_was_lowered_is_waited_for_for_an_hour(self, world: LoginWorld) -> None:
        client = world.sign_in(lasts=3 * LEASES_WITHIN)
        world.sessions.set_lease(4.0)
        world.sessions.set_lease(1.0)
        assert (checked(world, client)[4:], world.sessions.lease_wait()) == ((1.0, 4.0), 4.0)
        world.pass_time(LEASES_WITHIN - 60)
        assert (checked(world, client)[4:], world.sessions.lease_wait()) == ((1.0, 4.0), 4.0)
        world.pass_time(61)
        assert (checked(world, client)[4:], world.sessions.lease_wait()) == ((1.0, 1.0), 1.0)

    def test_p1_of_leases_that_were_lowered_one_after_the_other_the_largest_is_waited_for(self, world: LoginWorld) -> None:
        for seconds in (4.0, 3.0, 0.0):
            world.sessions.set_lease(seconds)
        assert world.sessions.lease_wait() == 4.0
        world.pass_time(LEASES_WITHIN + 1)
        assert world.sessions.lease_wait() == 0.0
        for seconds in (2.0, 1.0, 5.0, 0.5):
            world.sessions.set_lease(seconds)
        assert world.sessions.lease_wait() == 5.0

    def test_p1_a_clock_that_was_set_back_shortens_no_wait(self, world: LoginWorld) -> None:
        world.sessions.set_lease(4.0)
        world.sessions.set_lease(1.0)
        world.pass_time(-10 * LEASES_WITHIN)
        assert world.sessions.lease_wait() == 4.0

    def test_what_is_no_lease_is_refused(self, world: LoginWorld) -> None:
        wrong: list[Any] = [-0.1, MAX_LEASE + 0.1, float("nan"), float("inf"), "1", None, True]
        for seconds in wrong:
            for setting in (world.sessions.set_lease, world.sessions.raise_lease):
                with pytest.raises(UsageError):
                    setting(seconds)
        assert world.sessions.lease_wait() == 0.0

    def test_p1_leases_that_are_set_at_once_are_all_waited_for(self, world: LoginWorld) -> None:
        world.sessions.set_lease(5.0)
        answers = together(*(lambda seconds=seconds: world.sessions.set_lease(seconds) for seconds in (4.0, 3.0, 2.0, 1.0)))
        assert answers == [None] * 4
        assert world.sessions.lease_wait() == 5.0

    # --- sign-ins that revoke

    def test_a_login_says_whether_it_has_ended_another_session(self, world: LoginWorld) -> None:
        first = world.sign_in()
        second = world.login(replaces=first)
        third = world.login(generation=0, max_sessions=2)
        fourth = world.login(generation=0, max_sessions=2)
        assert [client.session.has_ended_others for client in (first, second, third, fourth)] == [False, True, False, True]

    # --- verbs that a job or a shell calls

    def test_p1_a_verb_returns_only_when_no_worker_can_trust_what_it_read(self, world: LoginWorld) -> None:
        own, other, third = (world.sign_in() for _ in range(3))
        world.sessions.set_lease(SHORT)
        for call in (
            lambda: world.sessions.revoke_others(own.session),
            lambda: world.sessions.revoke_others(own.session),  # the repeat of a call whose process ended before it waited
            lambda: world.log_out(own),
            lambda: world.log_out(own),
            lambda: world.login(generation=world.sessions.begin_login("ann"), replaces=third),
            lambda: world.login(generation=world.sessions.begin_login("ann"), max_sessions=1),
            lambda: world.sessions.revoke_all("ann"),
            lambda: world.sessions.revoke_all("nobody"),
        ):
            assert waited(call) >= WAITED * SHORT
        assert world.lives(own, other, third) == [False] * 3

    def test_p10_a_refusal_that_shows_a_revocation_comes_as_late(self, world: LoginWorld) -> None:
        own = world.sign_in()
        world.log_out(own)
        world.sessions.revoke_all("ann")
        world.sessions.set_lease(SHORT)
        for kind, call in (
            (SessionRevoked, lambda: world.sessions.revoke_others(own.session)),
            (StaleLogin, lambda: world.login(generation=0)),
            (StaleLogin, lambda: world.login(replaces=own)),
        ):

            def refused(kind: type[Exception] = kind, call: Callable[[], Any] = call) -> None:
                with pytest.raises(kind):
                    call()

            assert waited(refused) >= WAITED * SHORT

    def test_a_view_for_a_middleware_waits_for_no_lease(self, world: LoginWorld) -> None:
        world.sign_in()
        world.sessions.set_lease(MAX_LEASE)
        view = world.within(10.0)
        assert waited(lambda: view.revoke_all("ann")) < WAITED * MAX_LEASE
