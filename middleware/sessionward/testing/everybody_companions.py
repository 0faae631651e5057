"""The tests for backends that keep companions and can end all sessions of all users at once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

import pytest

from sessionward.errors import StaleLogin
from sessionward.session.identifier import app_session_digest
from sessionward.testing.bridge import together
from sessionward.testing.companion_world import APP_SESSION, adopted, signed_in
from sessionward.testing.fresh_login import LONG
from sessionward.testing.world import Client, LoginWorld

UNSEEN: Final = app_session_digest("never seen")
USERS: Final = ["ann", "never seen"]


class EverybodyCompanionsContract:
    """The tests for a backend with ``revoke_everybody`` that keeps companions. A second base to :class:`CompanionsContract`."""

    def test_no_companion_of_before_is_live(self, world: LoginWorld) -> None:
        clients = [adopted(world), signed_in(world, "bob")]
        world.sessions.revoke_everybody()
        assert world.lives(*clients) == [False, False]
        assert [world.sessions.companion_status(user, APP_SESSION).companions for user in ("ann", "bob")] == [0, 0]

    @pytest.mark.parametrize("user", USERS)
    def test_companions_are_compulsory_for_every_user_and_for_good(self, world: LoginWorld, user: str) -> None:
        adopted(world, "ann", lasts=60.0)
        world.sessions.revoke_everybody()
        for _ in range(2):
            for app_session in APP_SESSION, UNSEEN:
                status = world.sessions.companion_status(user, app_session)
                assert (status.companion_required, status.may_adopt) == (True, False)
                with pytest.raises(StaleLogin):
                    world.adopt(user, app_session)
            assert list(world.sessions.list(user)) == []
            world.pass_time(LONG)
            world.sessions.purge(0.0)

    @pytest.mark.parametrize("user", USERS)
    def test_the_status_of_every_user_has_the_time_of_the_revocation(self, world: LoginWorld, user: str) -> None:
        adopted(world, "ann")
        world.sessions.revoke_everybody()
        world.pass_time(1000)
        began, revoked_at = world.sign_in("bob").session.issued_at, world.sessions.companion_status(user, UNSEEN).revoked_at
        assert began is not None
        assert revoked_at is not None
        assert timedelta(seconds=1000) <= began - revoked_at < timedelta(seconds=1060)

    def test_the_status_has_the_later_of_both_times(self, world: LoginWorld) -> None:
        world.sessions.revoke_all("cid")
        world.pass_time(1000)
        world.sessions.revoke_everybody()
        world.pass_time(1000)
        world.sessions.revoke_all("ann")
        ann, bob, cid = (world.sessions.companion_status(user, APP_SESSION).revoked_at for user in ("ann", "bob", "cid"))
        assert ann is not None
        assert bob is not None
        assert cid is not None
        assert abs(cid - bob) < timedelta(seconds=60), "not that of his own raise; several servers have several clocks"
        assert timedelta(seconds=1000) <= ann - bob < timedelta(seconds=1060)

    def test_p6_a_session_of_the_application_that_had_a_companion_is_revoked(self, world: LoginWorld) -> None:
        adopted(world)
        assert not world.sessions.is_revoked_app_session(APP_SESSION)
        world.sessions.revoke_everybody()
        assert world.sessions.is_revoked_app_session(APP_SESSION)
        assert not world.sessions.is_revoked_app_session(UNSEEN)

    def test_p6_a_companion_of_before_is_not_extended(self, world: LoginWorld) -> None:
        client = adopted(world)
        world.sessions.revoke_everybody()
        assert not world.sessions.extend(client.session, lifetime=LONG, app_session=UNSEEN, idle_timeout=600.0)
        assert world.lives(client) == [False]
        assert world.sessions.companion_status("ann", UNSEEN).companions == 0

    def test_a_user_signs_in_again_at_once_and_has_a_companion(self, world: LoginWorld) -> None:
        adopted(world)
        world.sessions.revoke_everybody()
        client = signed_in(world, generation=world.sessions.begin_login("ann"))
        assert world.lives(client) == [True]
        assert world.sessions.companion_status("ann", APP_SESSION).companions == 1
        assert world.sessions.extend(client.session, lifetime=LONG, app_session=None)

    def test_p3_a_sign_in_at_the_application_that_began_before_is_refused(self, world: LoginWorld) -> None:
        adopted(world)
        world.sessions.revoke_everybody()
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            signed_in(world, age=20.0)

    def test_p10_an_adoption_at_the_moment_of_the_revocation_is_not_live_afterwards(self, world: LoginWorld) -> None:
        done, *came = together(
            world.sessions.revoke_everybody, *(partial(world.adopt, f"user {number}", APP_SESSION) for number in range(4))
        )
        assert done is None
        for one in came:
            if isinstance(one, Client):
                assert world.lives(one) == [False]
            else:
                assert isinstance(one, StaleLogin)
