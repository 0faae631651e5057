"""The contract of ``AtLimit.REFUSE``: a login beyond ``max_sessions`` is refused, and changes nothing."""

from __future__ import annotations

from functools import partial

import pytest

from sessionward.credential.token import Credential, new_token
from sessionward.errors import StaleLogin, TooManySessions
from sessionward.session.session import NewSession
from sessionward.settings.limits import AtLimit
from sessionward.testing.bridge import together
from sessionward.testing.world import Client, LoginWorld


def refusing(
    world: LoginWorld,
    limit: int | None,
    user: str = "ann",
    *,
    age: float = 0.0,
    generation: int | None = None,
    replaces: Client | None = None,
    lasts: float = 3600.0,
    is_fresh: bool = True,
) -> Client:
    """Calls ``login`` as a middleware does with ``at_limit="refuse"``."""
    credential = Credential(new_token().encode())
    new = NewSession(
        user_id=user,
        digest=credential.digest,
        lifetime=lasts,
        age=lambda: age,
        generation=generation,
        replaces=None if replaces is None else replaces.session,
        max_sessions=limit,
        at_limit=AtLimit.REFUSE,
        is_fresh=is_fresh,
    )
    return Client(credential, world.sessions.login(new))


def refused(world: LoginWorld, limit: int, user: str = "ann", *, replaces: Client | None = None) -> TooManySessions:
    """Returns how the next login of the user is refused."""
    with pytest.raises(TooManySessions) as told:
        refusing(world, limit, user, replaces=replaces)
    return told.value


class RefusingContract:
    """The tests for a backend with ``judges_limit``. A second base, with the fixture of :class:`LoginContract`."""

    @pytest.mark.parametrize("limit", [1, 3])
    def test_a_login_beyond_the_limit_is_refused_and_changes_nothing(self, world: LoginWorld, limit: int) -> None:
        clients = [refusing(world, limit) for _ in range(limit)]
        before = world.sessions.list("ann")
        full = refused(world, limit)
        assert (full.count, full.generation, full.ticket) == (limit, 0, "")
        assert world.sessions.list("ann") == before
        assert world.lives(*clients) == [True] * limit
        assert world.sessions.begin_login("ann") == 0

    def test_the_refused_session_is_not_found(self, world: LoginWorld) -> None:
        refusing(world, 1)
        credential = Credential(new_token().encode())
        new = NewSession(user_id="ann", digest=credential.digest, lifetime=60.0, max_sessions=1, at_limit=AtLimit.REFUSE)
        with pytest.raises(TooManySessions):
            world.sessions.login(new)
        assert world.sessions.find(credential) is None

    def test_a_session_that_would_be_replaced_gives_its_place_or_stays(self, world: LoginWorld) -> None:
        first, second = refusing(world, 2), refusing(world, 2)
        third = refusing(world, 2, replaces=second)
        assert world.lives(first, second, third) == [True, False, True]
        full = refused(world, 1, replaces=third)
        assert full.count == 1, "the one that stays beside it"
        assert world.lives(first, third) == [True, True], "nothing was changed"

    def test_a_session_of_another_user_that_would_be_replaced_stays(self, world: LoginWorld) -> None:
        bobs = refusing(world, 1, "bob")
        refusing(world, 1)
        refused(world, 1, replaces=bobs)
        assert world.lives(bobs) == [True]

    def test_sessions_that_are_not_live_take_no_place_of_a_new_one(self, world: LoginWorld) -> None:
        short, gone = refusing(world, 2, lasts=5.0), refusing(world, 2)
        world.log_out(gone)
        world.pass_time(10)
        assert world.lives(short, gone) == [False, False]
        assert world.lives(refusing(world, 2), refusing(world, 2)) == [True, True]

    def test_a_limit_that_became_lower_ends_nobody(self, world: LoginWorld) -> None:
        clients = [refusing(world, 3) for _ in range(3)]
        assert refused(world, 1).count == 3
        assert world.lives(*clients) == [True] * 3

    def test_p3_a_refusal_tells_the_generation_and_a_stale_login_is_stale_first(self, world: LoginWorld) -> None:
        own = refusing(world, 1)
        world.sessions.revoke_others(own.session)
        world.pass_time(1)
        with pytest.raises(StaleLogin):
            refusing(world, 1, age=60.0)
        with pytest.raises(StaleLogin):
            refusing(world, 1, generation=0)
        assert refused(world, 1).generation == 1
        assert world.lives(own, refusing(world, 2, generation=1)) == [True, True]

    def test_p8_the_sessions_of_another_user_take_no_place(self, world: LoginWorld) -> None:
        refusing(world, 1, "bob")
        assert world.lives(refusing(world, 1)) == [True]

    def test_p10_of_logins_at_once_no_more_are_taken_than_the_limit_says(self, world: LoginWorld) -> None:
        results = together(*(partial(refusing, world, 3) for _ in range(6)))
        assert sum(isinstance(result, Client) for result in results) == 3
        assert sum(isinstance(result, TooManySessions) for result in results) == 3
        assert len(world.sessions.list("ann")) == 3

    def test_a_login_that_is_not_fresh_has_no_time_of_a_sign_in(self, world: LoginWorld) -> None:
        fresh, remembered = refusing(world, None), refusing(world, None, is_fresh=False)
        assert fresh.session.authenticated_at == fresh.session.issued_at is not None
        assert remembered.session.authenticated_at is None
        assert world.found(remembered).authenticated_at is None
