"""The contract of the terms on which a client may revoke: a recent sign-in, a rate limit, and whether impersonations are covered."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import pytest

from sessionward.errors import RateLimited, SessionRevoked, SignInTooOld
from sessionward.session.rate import CALLS_WITHIN, ROUNDING
from sessionward.session.session import IMPERSONATION, Terms
from sessionward.testing.bridge import together
from sessionward.testing.world import Client, LoginWorld

MARGIN: Final = 30.0
"""Seconds that a test may take itself, where the clock of the backend is a real one."""

Call: TypeAlias = Callable[[LoginWorld, Client, Terms], int]


def others(world: LoginWorld, own: Client, terms: Terms) -> int:
    return world.sessions.revoke_others_quietly(own.session, terms)


def one(world: LoginWorld, own: Client, terms: Terms) -> int:
    """Revokes the newest other session, if there is one."""
    listed = world.sessions.list(own.session.user_id, limit=1, without=own.session.id)
    return world.sessions.revoke_one(own.session, (listed[0] if listed else own.session).id, terms)


def revoking(world: LoginWorld, own: Client, terms: Terms, call: Call = others) -> int:
    """Does the same with one more session to revoke."""
    world.sign_in(lasts=100 * CALLS_WITHIN)
    return call(world, own, terms)


both = pytest.mark.parametrize("call", [others, one], ids=["the others", "one"])


def impersonation(world: LoginWorld, actor: str = "root") -> Client:
    return world.login(generation=world.sessions.begin_login("ann"), kind=IMPERSONATION, actor=actor)


class TermsContract:
    """What a backend must do whose ``revoke_others_quietly`` and ``revoke_one`` take terms. A second base, with the fixture of
    ``LoginContract``."""

    # --- a recent sign-in

    @both
    def test_a_recent_sign_in_may_revoke_and_an_older_one_is_refused(self, world: LoginWorld, call: Call) -> None:
        own, other = world.sign_in(), world.sign_in()
        terms = Terms(recent=600.0)
        world.pass_time(600.0 + 1)
        with pytest.raises(SignInTooOld):
            call(world, own, terms)
        assert (world.lives(own, other), world.sessions.begin_login("ann")) == ([True, True], 0)
        world.pass_time(-1 - MARGIN)
        assert call(world, own, terms) == 1
        assert world.lives(own, other) == [True, False]

    @both
    def test_a_sign_in_of_the_future_is_not_recent(self, world: LoginWorld, call: Call) -> None:
        """The clock was set back, so the age of the sign-in is unknown."""
        own, other = world.sign_in(), world.sign_in()
        world.pass_time(-60.0)
        with pytest.raises(SignInTooOld):
            call(world, own, Terms(recent=600.0))
        assert world.lives(own, other) == [True, True]
        assert call(world, world.sign_in(), Terms(recent=600.0)) == (2 if call is others else 1)

    @both
    def test_p2_a_caller_that_is_not_live_is_told_so_and_not_to_sign_in_again(self, world: LoginWorld, call: Call) -> None:
        own, other = world.sign_in(), world.sign_in()
        world.log_out(own)
        world.pass_time(600.0)
        with pytest.raises(SessionRevoked):
            call(world, own, Terms(recent=60.0, rate_limit=1))
        assert world.lives(other) == [True]

    @both
    def test_a_sign_in_that_is_too_old_is_told_so_before_the_rate_limit_and_spends_nothing(self, world: LoginWorld, call: Call) -> None:
        own, _ = world.sign_in(), world.sign_in()
        world.pass_time(60.0)
        for _ in range(3):
            with pytest.raises(SignInTooOld):
                call(world, own, Terms(recent=10.0, rate_limit=1))
        assert call(world, own, Terms(rate_limit=1)) == 1
        with pytest.raises(SignInTooOld):
            call(world, own, Terms(recent=10.0, rate_limit=1))

    # --- the rate limit

    @both
    @pytest.mark.parametrize("limit", [1, 7, 60])
    def test_so_many_calls_pass_and_the_next_must_wait(self, world: LoginWorld, call: Call, limit: int) -> None:
        own, terms = world.sign_in(lasts=10 * CALLS_WITHIN), Terms(rate_limit=limit)
        for _ in range(limit):
            assert revoking(world, own, terms, call) == 1
        other = world.sign_in(lasts=10 * CALLS_WITHIN)
        with pytest.raises(RateLimited) as refused:
            call(world, own, terms)
        interval = CALLS_WITHIN / limit
        assert max(0.0, interval - MARGIN) < refused.value.retry_after <= interval + ROUNDING
        assert world.lives(own, other) == [True, True]
        world.pass_time(refused.value.retry_after)
        assert call(world, own, terms) == 1
        with pytest.raises(RateLimited):
            revoking(world, own, terms, call)

    @both
    def test_a_call_that_finds_nothing_to_revoke_is_neither_counted_nor_refused(self, world: LoginWorld, call: Call) -> None:
        """A client repeats a call whose answer it has not got."""
        own, terms = world.sign_in(), Terms(rate_limit=1)
        acted = impersonation(world)
        for _ in range(3):
            assert call(world, own, terms) == 0
        assert revoking(world, own, terms, others) == 1
        for _ in range(3):
            assert call(world, own, terms) == 0
        world.pass_time(1)
        world.sign_in()
        with pytest.raises(RateLimited):
            call(world, own, terms)
        assert world.lives(own, acted) == [True, True]

    def test_a_session_that_has_ended_or_expired_or_is_of_another_user_is_nothing_to_revoke(self, world: LoginWorld) -> None:
        own, terms = world.sign_in(lasts=10 * CALLS_WITHIN), Terms(rate_limit=1)
        ended, expired, bob = world.sign_in(), world.login(generation=0, lasts=60.0), world.sign_in("bob")
        world.log_out(ended)
        world.pass_time(61.0 + MARGIN)
        for client in (ended, expired, bob, own):
            assert world.sessions.revoke_one(own.session, client.session.id, terms) is False
        assert (world.lives(own, bob), revoking(world, own, terms)) == ([True, True], 1)

    def test_an_hour_later_as_many_pass_again(self, world: LoginWorld) -> None:
        own, terms = world.sign_in(lasts=10 * CALLS_WITHIN), Terms(rate_limit=3)
        for _ in range(3):
            world.sessions.revoke_others(own.session)
            for _ in range(3):
                revoking(world, own, terms)
            with pytest.raises(RateLimited):
                revoking(world, own, terms)
            world.pass_time(CALLS_WITHIN)

    def test_the_two_calls_spend_one_limit(self, world: LoginWorld) -> None:
        own, terms = world.sign_in(), Terms(rate_limit=2)
        revoking(world, own, terms, others)
        revoking(world, own, terms, one)
        for call in (others, one):
            with pytest.raises(RateLimited):
                revoking(world, own, terms, call)

    def test_each_session_has_a_limit_of_its_own(self, world: LoginWorld) -> None:
        """So a stolen session does not keep its owner from revoking it."""
        thief, owner, terms = world.sign_in(), world.sign_in(), Terms(rate_limit=1)
        assert world.sessions.revoke_one(thief.session, world.sign_in().session.id, terms) is True
        with pytest.raises(RateLimited):
            others(world, thief, terms)
        assert others(world, owner, terms) == 1
        assert world.lives(thief, owner) == [False, True]

    def test_a_refused_call_changes_nothing(self, world: LoginWorld) -> None:
        own, terms = world.sign_in(), Terms(rate_limit=1)
        revoking(world, own, terms)
        other, generation = world.sign_in(), world.sessions.begin_login("ann")
        for call in (others, one) * 10:
            with pytest.raises(RateLimited) as refused:
                call(world, own, terms)
            assert refused.value.retry_after <= CALLS_WITHIN + ROUNDING
        assert (world.lives(own, other), world.sessions.begin_login("ann")) == ([True, True], generation)

    def test_the_verbs_have_no_limit_and_spend_none(self, world: LoginWorld) -> None:
        own, terms = world.sign_in(), Terms(rate_limit=1)
        for _ in range(3):
            world.sign_in()
            world.sessions.revoke_others(own.session)
        revoking(world, own, terms)
        world.sign_in()
        assert world.sessions.revoke_others(own.session) == 1

    @pytest.mark.parametrize("hours", [2, 48])
    def test_a_clock_that_was_set_back_keeps_nobody_from_revoking(self, world: LoginWorld, hours: int) -> None:
        own, terms = world.sign_in(lasts=100 * CALLS_WITHIN), Terms(rate_limit=2)
        for passed in (-hours * CALLS_WITHIN, 0.0):
            for _ in range(2):
                revoking(world, own, terms)
            world.pass_time(passed)
        with pytest.raises(RateLimited):
            revoking(world, own, terms)

    def test_p10_of_calls_at_once_so_many_pass(self, world: LoginWorld) -> None:
        own, terms, clients = world.sign_in(), Terms(rate_limit=3), [world.sign_in() for _ in range(6)]
        answers = together(*(partial(world.sessions.revoke_one, own.session, client.session.id, terms) for client in clients))
        assert sorted(isinstance(answer, RateLimited) for answer in answers) == [False] * 3 + [True] * 3
        assert sorted(world.lives(*clients)) == [False] * 3 + [True] * 3

    # --- impersonations

    def test_an_impersonation_is_listed_and_found_with_its_actor(self, world: LoginWorld) -> None:
        client = impersonation(world, actor="ünïcode root")
        (listed,) = world.sessions.list("ann")
        for session in (client.session, world.found(client), listed):
            assert (session.user_id, session.kind, session.actor) == ("ann", IMPERSONATION, "ünïcode root")
        assert [(session.kind, session.actor) for session in [world.found(world.sign_in())]] == [("", None)]

    def test_p5_a_client_neither_revokes_nor_counts_impersonations(self, world: LoginWorld) -> None:
        own, other, acted = world.sign_in(), world.sign_in(), impersonation(world)
        assert others(world, own, Terms()) == 1
        assert world.sessions.revoke_one(own.session, acted.session.id, Terms()) is False
        assert world.lives(own, other, acted) == [True, False, True]

    def test_p5_a_client_revokes_and_counts_impersonations_where_the_terms_cover_them(self, world: LoginWorld) -> None:
        own, other, acted, more = world.sign_in(), world.sign_in(), impersonation(world), impersonation(world)
        covered = Terms(impersonations=True)
        assert world.sessions.revoke_one(own.session, more.session.id, covered) is True
        assert others(world, own, covered) == 2
        assert world.lives(own, other, acted, more) == [True, False, False, False]

    def test_p3_a_call_that_finds_only_impersonations_has_found_nothing(self, world: LoginWorld) -> None:
        own, acted = world.sign_in(), impersonation(world)
        for _ in range(3):
            assert others(world, own, Terms()) == 0
        assert (world.sessions.begin_login("ann"), world.lives(own, acted)) == (1, [True, True])

    def test_p1_the_verbs_revoke_and_count_impersonations(self, world: LoginWorld) -> None:
        own, first = world.sign_in(), impersonation(world)
        assert world.sessions.revoke_others(own.session) == 1
        second = impersonation(world)
        assert world.sessions.revoke_all("ann") == 2
        assert world.lives(own, first, second) == [False] * 3

    def test_an_impersonation_takes_no_place_of_the_limit_and_gives_none(self, world: LoginWorld) -> None:
        clients: list[Client] = []
        for actor in ("", "root", "", "root", ""):
            kind, generation = IMPERSONATION if actor else "", world.sessions.begin_login("ann")
            clients.append(world.login(generation=generation, kind=kind, actor=actor or None, max_sessions=2))
            assert len(clients) == 5 or all(world.lives(*clients))
            world.pass_time(1)
        assert world.lives(*clients) == [False, True, True, True, True]

    def test_p6_a_session_never_lives_beyond_the_one_from_which_it_inherits_its_end(self, world: LoginWorld) -> None:
        """By the clock of the backend: the login says when, and the backend does not add a lifetime to it."""
        first = impersonation(world)
        world.pass_time(600)
        end = world.found(first).expires_at
        assert end is not None
        second = world.login("bob", generation=0, replaces=first, kind=IMPERSONATION, actor="root", until=end)
        ordinary = world.login("bob", generation=0, lasts=60.0, until=end)
        assert world.found(second).expires_at == second.session.expires_at == end
        assert world.lives(first, second, ordinary) == [False, True, True]
        world.pass_time(61)
        assert world.lives(second, ordinary) == [True, False]
        world.pass_time(3000)
        assert world.lives(second) == [False]
