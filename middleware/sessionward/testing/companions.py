"""The tests for backends that keep companions of an application's own sessions."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest

from sessionward.errors import StaleLogin
from sessionward.session.identifier import app_session_digest
from sessionward.session.session import ADOPTION_PAUSE, MAX_ADOPTIONS, CompanionStatus, Session
from sessionward.testing.bounded import BoundedCompanionsContract
from sessionward.testing.bridge import together
from sessionward.testing.companion_world import APP_SESSION, REVOKED_BY, adopted, revoke_companion, signed_in
from sessionward.testing.fresh_login import LONG
from sessionward.testing.world import Client, LoginWorld

OTHER: Final = app_session_digest("another")


class CompanionsContract(BoundedCompanionsContract):
    """The tests for a backend that keeps companions. Add it as a second base to :class:`LoginContract`; it uses the same ``world``."""

    # --- companion_status

    def test_of_a_user_never_seen_nothing_is_known(self, world: LoginWorld) -> None:
        assert world.sessions.companion_status("nobody", APP_SESSION) == CompanionStatus(
            companion_required=False, revoked_at=None, companions=0, may_adopt=True
        )
        assert world.sessions.begin_login("nobody") == 0

    def test_the_status_of_a_user_has_the_time_of_the_last_revocation(self, world: LoginWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_all("ann")
        status = world.sessions.companion_status("ann", APP_SESSION)
        assert (status.companion_required, status.may_adopt, status.companions) == (True, False, 0)
        assert status.revoked_at is not None
        assert own.session.issued_at is not None
        assert 0 <= (status.revoked_at - own.session.issued_at).total_seconds() < 60

    def test_p6_a_session_of_the_application_is_revoked_once_a_companion_of_it_is(self, world: LoginWorld) -> None:
        client = adopted(world)
        assert not world.sessions.is_revoked_app_session(APP_SESSION)
        world.log_out(client)
        assert world.sessions.is_revoked_app_session(APP_SESSION)
        assert not world.sessions.is_revoked_app_session(app_session_digest("another"))

    def test_p6_revoke_all_revokes_the_sessions_of_the_application_as_well(self, world: LoginWorld) -> None:
        adopted(world)
        world.sessions.revoke_all("ann")
        assert world.sessions.is_revoked_app_session(APP_SESSION)

    # --- adopting

    def test_an_adopted_companion_is_found_with_its_user_and_its_session(self, world: LoginWorld) -> None:
        client = adopted(world)
        found = world.found(client)
        assert (found, found.user_id, found.app_session) == (client.session, "ann", APP_SESSION)
        assert world.sessions.companion_status("ann", APP_SESSION).companions == 1

    def test_an_adopted_companion_expires(self, world: LoginWorld) -> None:
        client = adopted(world, lasts=100.0)
        world.pass_time(99)
        assert world.lives(client) == [True]
        world.pass_time(2)
        assert world.lives(client) == [False]
        assert world.sessions.companion_status("ann", APP_SESSION).companions == 0

    def test_a_session_of_the_application_is_adopted_at_most_once_a_minute(self, world: LoginWorld) -> None:
        adopted(world)
        world.pass_time(ADOPTION_PAUSE - 2)
        assert not world.sessions.companion_status("ann", APP_SESSION).may_adopt
        assert world.adopt("ann", APP_SESSION) is None
        world.pass_time(3)
        assert world.sessions.companion_status("ann", APP_SESSION).may_adopt
        assert world.adopt("ann", APP_SESSION) is not None

    def test_what_is_not_adopted_leaves_nothing_behind(self, world: LoginWorld) -> None:
        adopted(world)
        assert world.adopt("ann", APP_SESSION) is None
        assert len(world.sessions.list("ann")) == 1

    def test_a_session_of_the_application_has_at_most_five_live_companions(self, world: LoginWorld) -> None:
        for number in range(MAX_ADOPTIONS):
            assert world.sessions.companion_status("ann", APP_SESSION) == CompanionStatus(
                companion_required=False, companions=number, may_adopt=True
            )
            adopted(world)
            world.pass_time(ADOPTION_PAUSE + 1)
        assert world.sessions.companion_status("ann", APP_SESSION) == CompanionStatus(
            companion_required=False, companions=MAX_ADOPTIONS, may_adopt=False
        )
        assert world.adopt("ann", APP_SESSION) is None

    def test_a_companion_that_expired_makes_room(self, world: LoginWorld) -> None:
        adopted(world, lasts=ADOPTION_PAUSE * (MAX_ADOPTIONS + 2))
        for _ in range(MAX_ADOPTIONS - 1):
            world.pass_time(ADOPTION_PAUSE + 1)
            adopted(world, lasts=LONG)
        world.pass_time(ADOPTION_PAUSE + 1)
        assert world.adopt("ann", APP_SESSION) is None
        world.pass_time(ADOPTION_PAUSE * 2)
        assert world.adopt("ann", APP_SESSION) is not None

    def test_sessions_of_the_application_are_counted_each_for_itself(self, world: LoginWorld) -> None:
        adopted(world)
        assert world.sessions.companion_status("ann", OTHER) == CompanionStatus(companion_required=False, companions=0, may_adopt=True)
        assert world.sessions.companion_status("bob", APP_SESSION) == CompanionStatus(
            companion_required=False, companions=0, may_adopt=True
        )
        assert world.lives(adopted(world, app_session=OTHER), adopted(world, "bob")) == [True, True]

    def test_a_sign_in_is_a_companion_as_well(self, world: LoginWorld) -> None:
        client = signed_in(world)
        assert world.found(client).app_session == APP_SESSION
        assert world.sessions.companion_status("ann", APP_SESSION) == CompanionStatus(
            companion_required=False, companions=1, may_adopt=False
        )

    def test_a_session_without_one_of_the_application_is_no_companion(self, world: LoginWorld) -> None:
        client = world.sign_in()
        assert world.found(client).app_session is None
        assert world.sessions.companion_status("ann", APP_SESSION).companions == 0

    # --- compulsory companions

    @pytest.mark.parametrize("how", REVOKED_BY)
    @pytest.mark.parametrize("made", ["adopted", "signed in"])
    def test_whatever_revokes_a_companion_makes_companions_compulsory(self, world: LoginWorld, made: str, how: str) -> None:
        client = (adopted if made == "adopted" else signed_in)(world)
        revoke_companion(world, client, how)
        assert world.sessions.companion_status("ann", APP_SESSION).companion_required
        assert not world.sessions.companion_status("ann", OTHER).may_adopt
        for app_session in APP_SESSION, OTHER:
            with pytest.raises(StaleLogin):
                world.adopt("ann", app_session)
        assert not world.sessions.companion_status("bob", APP_SESSION).companion_required

    def test_a_companion_is_one_also_where_only_its_id_is_told(self, world: LoginWorld) -> None:
        client = adopted(world)
        world.sessions.revoke("ann", client.session.id)
        assert world.sessions.companion_status("ann", APP_SESSION).companion_required

    def test_a_companion_that_became_one_later_counts_as_well(self, world: LoginWorld) -> None:
        client = world.sign_in()
        world.sessions.extend(client.session, lifetime=3600.0, app_session=APP_SESSION)
        world.log_out(client)
        assert world.sessions.companion_status("ann", APP_SESSION).companion_required

    @pytest.mark.parametrize("replaced", [False, True], ids=["a logout", "a login that replaces it"])
    def test_a_session_that_is_no_companion_makes_nothing_compulsory(self, world: LoginWorld, replaced: bool) -> None:
        client = world.sign_in()
        if replaced:
            world.login(replaces=client)
        else:
            world.log_out(client)
        assert not world.sessions.companion_status("ann", APP_SESSION).companion_required

    def test_a_companion_that_expired_by_itself_makes_nothing_compulsory(self, world: LoginWorld) -> None:
        adopted(world, lasts=100.0)
        world.pass_time(101)
        world.sessions.purge(0.0)
        assert not world.sessions.companion_status("ann", APP_SESSION).companion_required
        assert world.adopt("ann", APP_SESSION) is not None

    def test_a_logout_that_comes_when_the_companion_has_just_expired_counts_as_well(self, world: LoginWorld) -> None:
        client = adopted(world, lasts=100.0)
        world.pass_time(101)
        assert not world.log_out(client)
        assert world.sessions.companion_status("ann", APP_SESSION).companion_required

    def test_companions_are_compulsory_for_good(self, world: LoginWorld) -> None:
        revoke_companion(world, adopted(world), "a logout")
        world.pass_time(LONG)
        world.sessions.purge(0.0)
        signed_in(world)
        world.pass_time(LONG)
        assert world.sessions.companion_status("ann", APP_SESSION).companion_required
        with pytest.raises(StaleLogin):
            world.adopt("ann", APP_SESSION)

    def test_a_user_with_compulsory_companions_signs_in_again_at_once(self, world: LoginWorld) -> None:
        own = adopted(world)
        world.sessions.revoke_others(own.session)
        assert world.lives(signed_in(world, generation=world.sessions.begin_login("ann")), own) == [True, True]

    def test_p3_a_sign_in_that_began_before_the_revocation_is_refused(self, world: LoginWorld) -> None:
        own = adopted(world)
        world.sessions.revoke_others(own.session)
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            signed_in(world, age=20.0)

    # --- extending

    def test_a_companion_lives_longer_once_it_is_extended(self, world: LoginWorld) -> None:
        client = adopted(world, lasts=100.0)
        world.pass_time(90)
        assert world.sessions.extend(client.session, lifetime=100.0, app_session=None)
        world.pass_time(90)
        found = world.found(client)
        assert (found.id, found.app_session, found.issued_at is not None) == (client.session.id, APP_SESSION, True)
        world.pass_time(11)
        assert world.lives(client) == [False]

    def test_extending_makes_no_life_shorter_whatever_the_caller_had_seen(self, world: LoginWorld) -> None:
        client = adopted(world, lasts=100.0)
        assert world.sessions.extend(client.session, lifetime=LONG, app_session=None)
        assert world.sessions.extend(client.session, lifetime=10.0, app_session=None)
        world.pass_time(200)
        assert world.lives(client) == [True]

    def test_a_companion_follows_a_new_session_of_the_application(self, world: LoginWorld) -> None:
        client = adopted(world)
        assert world.sessions.extend(client.session, lifetime=3600.0, app_session=OTHER)
        assert world.found(client).app_session == OTHER
        assert [world.sessions.companion_status("ann", app_session).companions for app_session in (APP_SESSION, OTHER)] == [0, 1]

    def test_extending_leaves_the_session_that_another_request_gave(self, world: LoginWorld) -> None:
        client = adopted(world)
        world.sessions.extend(client.session, lifetime=3600.0, app_session=OTHER)
        world.sessions.extend(client.session, lifetime=LONG, app_session=None)
        assert world.found(client).app_session == OTHER

    @pytest.mark.parametrize("how", [*REVOKED_BY, "expiry"])
    def test_p6_what_is_not_live_is_not_extended(self, world: LoginWorld, how: str) -> None:
        client = adopted(world, lasts=100.0)
        if how == "expiry":
            world.pass_time(101)
        elif how == "itself, others":
            world.sessions.revoke_all("ann")
        else:
            revoke_companion(world, client, how)
        assert not world.sessions.extend(client.session, lifetime=LONG, app_session=OTHER)
        assert world.lives(client) == [False]
        assert world.sessions.companion_status("ann", OTHER).companions == 0

    def test_p8_nobody_extends_the_companion_of_another_user(self, world: LoginWorld) -> None:
        client = adopted(world, lasts=100.0)
        assert not world.sessions.extend(Session(id=client.session.id, user_id="bob"), lifetime=LONG, app_session=OTHER)
        assert world.found(client) == client.session

    # --- several at once

    def test_of_adoptions_of_one_session_at_once_exactly_one_is_made(self, world: LoginWorld) -> None:
        for number in range(3):
            made = together(*(partial(world.adopt, f"user {number}", APP_SESSION) for _ in range(6)))
            assert sum(isinstance(one, Client) for one in made) == 1
            assert made.count(None) == 5
            assert len(world.sessions.list(f"user {number}")) == 1

    def test_p10_an_adoption_at_the_moment_of_a_revocation_is_revoked_with_the_others_or_refused(self, world: LoginWorld) -> None:
        for number in range(5):
            user = f"user {number}"
            own = adopted(world, user)
            counted, came = together(partial(world.sessions.revoke_others, own.session), partial(world.adopt, user, OTHER))
            if isinstance(came, Client):
                assert (counted, world.lives(own, came)) == (1, [True, False])
            else:
                assert isinstance(came, StaleLogin)
                assert counted == 0

    def test_p10_extending_at_the_moment_of_a_revocation_brings_nothing_back(self, world: LoginWorld) -> None:
        for number in range(5):
            user = f"user {number}"
            own, other = adopted(world, user), adopted(world, user, app_session=OTHER)
            counted, _ = together(
                partial(world.sessions.revoke_others, own.session),
                partial(world.sessions.extend, other.session, lifetime=LONG, app_session=APP_SESSION),
            )
            assert (counted, world.lives(own, other)) == (1, [True, False])
