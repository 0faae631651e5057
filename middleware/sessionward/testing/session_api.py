"""The contract of ``list`` and ``revoke_one``: who is listed, in which order, page by page, and what a client may revoke."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID, uuid4

import pytest

from sessionward.errors import SessionRevoked
from sessionward.session.session import ANY_TERMS, Position, SessionList
from sessionward.testing.bridge import together
from sessionward.testing.world import Client, World

MANY = 501
"""One session more than the largest page has."""


def ids(sessions: SessionList) -> list[UUID]:
    return [session.id for session in sessions]


def of(*clients: Client) -> set[UUID]:
    return {client.session.id for client in clients}


def pages(world: World, size: int, between: Callable[[], object] = lambda: None, without: UUID | None = None) -> list[SessionList]:
    """Returns all pages of a user's sessions. ``between``: called after each page."""
    followed: list[SessionList] = []
    after: Position | None = None
    while True:
        page = world.sessions.list("ann", after=after, limit=size, without=without)
        followed.append(page)
        assert len(followed) <= MANY, "the pages do not come to an end"
        if len(page) < size:
            return followed
        after = Position.of(page[-1])
        between()


class SessionAPIContract:
    """What a backend must do that has ``list`` and ``revoke_one``. A second base, with the fixture of ``BackendContract``."""

    # --- list

    def test_the_list_has_the_live_sessions_of_one_user_in_the_order_of_their_places(self, world: World) -> None:
        clients = [world.sign_in() for _ in range(5)]
        world.sign_in("bob")
        listed = world.sessions.list("ann")
        assert set(ids(listed)) == of(*clients)
        assert (len(listed), listed.total, {session.user_id for session in listed}) == (5, 5, {"ann"})
        places = [Position.of(session) for session in listed]
        assert places == sorted(places, reverse=True)

    def test_the_newest_session_is_the_first_where_the_backend_knows_when_sessions_began(self, world: World) -> None:
        clients = [world.sign_in() for _ in range(3)]
        times = [world.found(client).issued_at for client in clients]
        if None not in times and len(set(times)) == 3:
            assert ids(world.sessions.list("ann")) == [client.session.id for client in reversed(clients)]

    def test_a_user_without_sessions_has_an_empty_list(self, world: World) -> None:
        world.sign_in("bob")
        listed = world.sessions.list("ann")
        assert (list(listed), listed.total) == ([], 0)

    def test_one_session_is_a_list_too(self, world: World) -> None:
        own = world.sign_in()
        assert ids(world.sessions.list("ann")) == [own.session.id]
        assert [(list(page), page.total) for page in [world.sessions.list("ann", without=own.session.id)]] == [([], 0)]

    def test_the_session_that_is_left_out_is_not_counted(self, world: World) -> None:
        own, *others = [world.sign_in() for _ in range(4)]
        listed = world.sessions.list("ann", without=own.session.id)
        assert (set(ids(listed)), listed.total) == (of(*others), 3)
        assert world.sessions.list("ann", without=world.sign_in("bob").session.id).total == 4

    def test_the_clock_of_the_list_is_that_of_its_sessions(self, world: World) -> None:
        world.sign_in()
        listed = world.sessions.list("ann")
        if listed.now is not None:
            assert all(session.issued_at is None or session.issued_at <= listed.now for session in listed)
            assert all(session.expires_at is None or session.expires_at > listed.now for session in listed)

    def test_pages_have_all_sessions_once_and_each_has_the_number_of_all(self, world: World) -> None:
        own, *others = [world.sign_in() for _ in range(8)]
        for size in (1, 2, 3, 7, 8):
            followed = pages(world, size, without=own.session.id)
            found = [one for page in followed for one in ids(page)]
            assert (len(found), set(found)) == (7, of(*others))
            assert {page.total for page in followed} == {7}

    def test_a_page_of_which_nothing_is_left_still_has_the_number_of_all(self, world: World) -> None:
        for _ in range(2):
            world.sign_in()
        last = world.sessions.list("ann")[-1]
        page = world.sessions.list("ann", after=Position.of(last), limit=10)
        assert (list(page), page.total) == ([], 2)

    def test_a_page_goes_on_behind_a_place_whose_session_is_gone(self, world: World) -> None:
        own, *_ = [world.sign_in() for _ in range(6)]
        everybody = ids(world.sessions.list("ann", without=own.session.id))
        page = world.sessions.list("ann", limit=2, without=own.session.id)
        for gone in page:
            assert world.sessions.revoke_one(own.session, gone.id, ANY_TERMS)
        rest = world.sessions.list("ann", after=Position.of(page[-1]), without=own.session.id)
        assert (ids(rest), rest.total) == (everybody[2:], 3)

    def test_five_hundred_sessions_and_one_are_listed_whole_and_by_pages(self, world: World) -> None:
        clients = [world.sign_in() for _ in range(MANY)]
        listed = world.sessions.list("ann")
        assert (len(listed), listed.total, set(ids(listed))) == (MANY, MANY, of(*clients))
        followed = pages(world, MANY - 1)
        assert [len(page) for page in followed] == [MANY - 1, 1]
        assert [one for page in followed for one in ids(page)] == ids(listed)

    @pytest.mark.parametrize("seed", range(3))
    def test_who_lives_all_the_time_is_met_once_while_others_come_and_go(self, world: World, seed: int) -> None:
        """The model: those that sign in and are revoked meanwhile are met at most once, the others exactly once."""
        chance = random.Random(seed)  # noqa: S311 - the same sessions in each run
        own, *others = [world.sign_in() for _ in range(chance.randrange(6, 16))]
        gone: set[UUID] = set()
        come: set[UUID] = set()

        def between() -> None:
            for _ in range(chance.randrange(3)):
                live = [client for client in others if client.session.id not in gone]
                if live and chance.random() < 0.6:
                    victim = chance.choice(live).session.id
                    assert world.sessions.revoke_one(own.session, victim, ANY_TERMS)
                    gone.add(victim)
                else:
                    others.append(world.sign_in())
                    come.add(others[-1].session.id)

        met = [one for page in pages(world, chance.randrange(1, 5), between) for one in ids(page)]
        assert len(met) == len(set(met))
        assert of(own, *others) - gone - come <= set(met) <= of(own, *others)
        assert set(ids(world.sessions.list("ann"))) == of(own, *others) - gone

    # --- revoke_one

    def test_it_revokes_this_session_and_no_other(self, world: World) -> None:
        own, other, third, bob = world.sign_in(), world.sign_in(), world.sign_in(), world.sign_in("bob")
        assert world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS) is True
        assert world.lives(own, other, third, bob) == [True, False, True, True]
        assert set(ids(world.sessions.list("ann"))) == of(own, third)

    def test_p5_who_is_revoked_already_is_not_revoked_again(self, world: World) -> None:
        own, other, _ = [world.sign_in() for _ in range(3)]
        world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS)
        assert world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS) is False
        assert world.sessions.revoke_others(own.session) == 1

    def test_an_unknown_id_revokes_nobody(self, world: World) -> None:
        own, other = world.sign_in(), world.sign_in()
        for unknown in (uuid4(), UUID(int=0), UUID(int=2**128 - 1)):
            assert world.sessions.revoke_one(own.session, unknown, ANY_TERMS) is False
        assert world.lives(own, other) == [True, True]

    def test_p8_a_session_of_another_user_stays(self, world: World) -> None:
        ann, bob = world.sign_in("ann"), world.sign_in("bob")
        assert world.sessions.revoke_one(ann.session, bob.session.id, ANY_TERMS) is False
        assert world.lives(ann, bob) == [True, True]

    def test_p8_nobody_revokes_the_own_session_by_it(self, world: World) -> None:
        own = world.sign_in()
        assert world.sessions.revoke_one(own.session, own.session.id, ANY_TERMS) is False
        assert world.lives(own) == [True]

    def test_p2_a_caller_that_is_not_live_any_more_revokes_nobody(self, world: World) -> None:
        own, other, third = [world.sign_in() for _ in range(3)]
        assert world.sessions.revoke_one(other.session, own.session.id, ANY_TERMS) is True
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_one(own.session, third.session.id, ANY_TERMS)
        assert world.lives(own, other, third) == [False, True, True]

    @pytest.mark.parametrize("number", [2, 3, 5])
    def test_p2_of_sessions_that_revoke_one_another_at_once_some_live(self, world: World, number: int) -> None:
        """Each revokes the next of a ring. The one that is revoked first is refused. So one of two lives, and some of more."""
        for _ in range(4):
            ring = [world.sign_in() for _ in range(number)]
            pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
            answers = together(*(partial(world.sessions.revoke_one, own.session, other.session.id, ANY_TERMS) for own, other in pairs))
            lives = world.lives(*ring)
            assert_linear(answers, lives)
            assert number > 2 or sorted(lives) == [False, True]
            survivor = ring[lives.index(True)]
            world.sessions.revoke_others(survivor.session)

    def test_p5_of_callers_that_revoke_one_session_at_once_one_has_done_it(self, world: World) -> None:
        other, *callers = [world.sign_in() for _ in range(5)]
        answers = together(*(partial(world.sessions.revoke_one, own.session, other.session.id, ANY_TERMS) for own in callers))
        assert sorted(map(repr, answers)) == ["False", "False", "False", "True"]
        assert world.lives(other, *callers) == [False, True, True, True, True]


def assert_linear(answers: Sequence[object], lives: Sequence[bool]) -> None:
    """Asserts that each caller of the ring was refused, since it was revoked before, or has revoked the next one."""
    assert any(lives)
    for index, answer in enumerate(answers):
        if isinstance(answer, SessionRevoked):
            assert not lives[index]
        else:
            assert answer is True
            assert not lives[(index + 1) % len(answers)]
    assert sum(not isinstance(answer, SessionRevoked) for answer in answers) == len(lives) - sum(lives)
