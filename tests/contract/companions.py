"""The contract of backends that keep companions of an application's own sessions (way 3)."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest

from sessionward import Session, StaleLogin
from sessionward.backends import CompanionStatus, Device, NewSession, Session
from sessionward.credential.token import Credential, new_token
from sessionward.session.identifier import app_session_digest
from sessionward.session.session import ADOPTION_PAUSE, MAX_ADOPTIONS
from tests.contract.bridge import together
from tests.contract.world import Client, SignsInWorld

LINK: Final = b"l" * 32
OTHER_LINK: Final = b"o" * 32
LONG: Final = 86_400.0
"""Seconds: longer than any request has been on its way."""

ENDS: Final = ["logged out", "ended by another", "ended by itself", "all ended", "replaced", "replaced by another user"]
"""How a companion, or another one of its user, is ended; each closes the user."""


class CompanionsContract:
    """A second base beside ``SignsInContract``, for a fixture ``world`` that can let time pass."""

    # --- standing

    def test_of_a_user_never_seen_nothing_is_known(self, world: SignsInWorld) -> None:
        assert world.sessions.companion_status("nobody", LINK) == CompanionStatus(
            companion_required=False, revoked_at=None, companions=0, may_adopt=True
        )
        assert world.sessions.begin_login("nobody") == 0

    def test_a_user_whose_sessions_were_ended_stands_with_the_time(self, world: SignsInWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_all("ann")
        standing = world.sessions.companion_status("ann", LINK)
        assert (standing.companion_required, standing.may_adopt, standing.companions) == (True, False, 0)
        assert standing.revoked_at is not None
        assert own.session.issued_at is not None
        assert 0 <= (standing.revoked_at - own.session.issued_at).total_seconds() < 60

    def test_p6_a_link_is_spent_once_a_companion_of_it_has_ended_in_whatever_way(self, world: SignsInWorld) -> None:
        client = adopted(world)
        assert not world.sessions.is_revoked_app_session(LINK)
        world.sessions.revoke(client.session.user_id, client.session.id)
        assert world.sessions.is_revoked_app_session(LINK)
        assert not world.sessions.is_revoked_app_session(app_session_digest("another"))

    def test_p6_a_link_is_spent_by_the_end_of_all_as_well(self, world: SignsInWorld) -> None:
        adopted(world)
        world.sessions.revoke_all("ann")
        assert world.sessions.is_revoked_app_session(LINK)

    # --- adopting

    def test_an_adopted_companion_is_found_with_its_user_and_its_link(self, world: SignsInWorld) -> None:
        client = adopted(world)
        found = world.found(client)
        assert (found, found.user_id, found.app_session) == (client.session, "ann", LINK)
        assert world.sessions.companion_status("ann", LINK).companions == 1

    def test_an_adopted_companion_expires(self, world: SignsInWorld) -> None:
        client = adopted(world, lasts=100.0)
        world.pass_time(99)
        assert world.lives(client) == [True]
        world.pass_time(2)
        assert world.lives(client) == [False]
        assert world.sessions.companion_status("ann", LINK).companions == 0

    def test_a_session_of_the_application_is_adopted_at_most_once_a_minute(self, world: SignsInWorld) -> None:
        adopted(world)
        world.pass_time(ADOPTION_PAUSE - 2)
        assert not world.sessions.companion_status("ann", LINK).may_adopt
        assert adoption(world) is None
        world.pass_time(3)
        assert world.sessions.companion_status("ann", LINK).may_adopt
        assert adoption(world) is not None

    def test_what_is_not_adopted_leaves_nothing_behind(self, world: SignsInWorld) -> None:
        adopted(world)
        assert adoption(world) is None
        assert len(world.sessions.list("ann")) == 1

    def test_a_session_of_the_application_has_at_most_five_live_companions(self, world: SignsInWorld) -> None:
        for number in range(MAX_ADOPTIONS):
            assert world.sessions.companion_status("ann", LINK) == CompanionStatus(
                companion_required=False, companions=number, may_adopt=True
            )
            adopted(world)
            world.pass_time(ADOPTION_PAUSE + 1)
        assert world.sessions.companion_status("ann", LINK) == CompanionStatus(
            companion_required=False, companions=MAX_ADOPTIONS, may_adopt=False
        )
        assert adoption(world) is None

    def test_a_companion_that_expired_makes_room(self, world: SignsInWorld) -> None:
        adopted(world, lasts=ADOPTION_PAUSE * (MAX_ADOPTIONS + 2))
        for _ in range(MAX_ADOPTIONS - 1):
            world.pass_time(ADOPTION_PAUSE + 1)
            adopted(world, lasts=LONG)
        world.pass_time(ADOPTION_PAUSE + 1)
        assert adoption(world) is None
        world.pass_time(ADOPTION_PAUSE * 2)
        assert adoption(world) is not None

    def test_sessions_of_the_application_are_counted_each_for_itself(self, world: SignsInWorld) -> None:
        adopted(world)
        assert world.sessions.companion_status("ann", OTHER_LINK) == CompanionStatus(companion_required=False, companions=0, may_adopt=True)
        assert world.sessions.companion_status("bob", LINK) == CompanionStatus(companion_required=False, companions=0, may_adopt=True)
        assert world.lives(adopted(world, app_session=OTHER_LINK), adopted(world, "bob")) == [True, True]

    def test_a_sign_in_is_a_companion_as_well(self, world: SignsInWorld) -> None:
        client = signed_in(world)
        assert world.found(client).app_session == LINK
        assert world.sessions.companion_status("ann", LINK) == CompanionStatus(companion_required=False, companions=1, may_adopt=False)

    def test_a_session_without_a_link_is_none(self, world: SignsInWorld) -> None:
        client = world.sign_in()
        assert world.found(client).app_session is None
        assert world.sessions.companion_status("ann", LINK).companions == 0

    # --- closing

    @pytest.mark.parametrize("how", ENDS)
    @pytest.mark.parametrize("made", ["adopted", "signed in"])
    def test_whatever_ends_a_companion_closes_its_user(self, world: SignsInWorld, made: str, how: str) -> None:
        client = (adopted if made == "adopted" else signed_in)(world)
        end(world, client, how)
        assert world.sessions.companion_status("ann", LINK).companion_required
        assert not world.sessions.companion_status("ann", OTHER_LINK).may_adopt
        for app_session in LINK, OTHER_LINK:
            with pytest.raises(StaleLogin):
                adoption(world, app_session=app_session)
        assert not world.sessions.companion_status("bob", LINK).companion_required

    def test_a_companion_is_one_also_where_its_session_is_told_without_the_link(self, world: SignsInWorld) -> None:
        client = adopted(world)
        world.sessions.revoke("ann", client.session.id)
        assert world.sessions.companion_status("ann", LINK).companion_required

    def test_a_companion_that_was_linked_later_closes_as_well(self, world: SignsInWorld) -> None:
        client = world.sign_in()
        world.sessions.extend(client.session, lifetime=3600.0, app_session=LINK)
        world.sessions.revoke(client.session.user_id, client.session.id)
        assert world.sessions.companion_status("ann", LINK).companion_required

    @pytest.mark.parametrize("replaced", [False, True], ids=["logged out", "replaced"])
    def test_a_session_that_is_no_companion_closes_nobody(self, world: SignsInWorld, replaced: bool) -> None:
        client = world.sign_in()
        if replaced:
            world.login(replaces=client)
        else:
            world.sessions.revoke(client.session.user_id, client.session.id)
        assert not world.sessions.companion_status("ann", LINK).companion_required

    def test_a_companion_that_expired_by_itself_closes_nobody(self, world: SignsInWorld) -> None:
        adopted(world, lasts=100.0)
        world.pass_time(101)
        world.sessions.purge(0.0)
        assert not world.sessions.companion_status("ann", LINK).companion_required
        assert adoption(world) is not None

    def test_a_logout_that_comes_when_the_companion_has_just_expired_closes_as_well(self, world: SignsInWorld) -> None:
        client = adopted(world, lasts=100.0)
        world.pass_time(101)
        assert not world.sessions.revoke(client.session.user_id, client.session.id)
        assert world.sessions.companion_status("ann", LINK).companion_required

    def test_a_closed_user_is_closed_for_good(self, world: SignsInWorld) -> None:
        end(world, adopted(world), "logged out")
        world.pass_time(LONG)
        world.sessions.purge(0.0)
        signed_in(world)
        world.pass_time(LONG)
        assert world.sessions.companion_status("ann", LINK).companion_required
        with pytest.raises(StaleLogin):
            adoption(world)

    def test_a_closed_user_signs_in_again_at_once(self, world: SignsInWorld) -> None:
        own = adopted(world)
        world.sessions.revoke_others(own.session)
        assert world.lives(signed_in(world, generation=world.sessions.begin_login("ann")), own) == [True, True]

    def test_p3_a_sign_in_that_began_before_the_end_is_refused(self, world: SignsInWorld) -> None:
        own = adopted(world)
        world.sessions.revoke_others(own.session)
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            signed_in(world, age=20.0)

    # --- touching

    def test_a_companion_lives_longer_once_it_is_touched(self, world: SignsInWorld) -> None:
        client = adopted(world, lasts=100.0)
        world.pass_time(90)
        assert world.sessions.extend(client.session, lifetime=100.0, app_session=None)
        world.pass_time(90)
        found = world.found(client)
        assert (found.id, found.app_session, found.issued_at is not None) == (client.session.id, LINK, True)
        world.pass_time(11)
        assert world.lives(client) == [False]

    def test_no_touch_makes_a_life_shorter_whatever_the_caller_had_seen(self, world: SignsInWorld) -> None:
        client = adopted(world, lasts=100.0)
        assert world.sessions.extend(client.session, lifetime=LONG, app_session=None)
        assert world.sessions.extend(client.session, lifetime=10.0, app_session=None)
        world.pass_time(200)
        assert world.lives(client) == [True]

    def test_a_companion_follows_a_new_link(self, world: SignsInWorld) -> None:
        client = adopted(world)
        assert world.sessions.extend(client.session, lifetime=3600.0, app_session=OTHER_LINK)
        assert world.found(client).app_session == OTHER_LINK
        assert [world.sessions.companion_status("ann", app_session).companions for app_session in (LINK, OTHER_LINK)] == [0, 1]

    def test_a_touch_without_a_link_leaves_the_link_that_another_request_gave(self, world: SignsInWorld) -> None:
        client = adopted(world)
        world.sessions.extend(client.session, lifetime=3600.0, app_session=OTHER_LINK)
        world.sessions.extend(client.session, lifetime=LONG, app_session=None)
        assert world.found(client).app_session == OTHER_LINK

    @pytest.mark.parametrize("how", [*ENDS, "expired"])
    def test_p6_what_has_ended_is_not_touched(self, world: SignsInWorld, how: str) -> None:
        client = adopted(world, lasts=100.0)
        if how == "expired":
            world.pass_time(101)
        elif how == "ended by itself":
            world.sessions.revoke_all("ann")
        else:
            end(world, client, how)
        assert not world.sessions.extend(client.session, lifetime=LONG, app_session=OTHER_LINK)
        assert world.lives(client) == [False]
        assert world.sessions.companion_status("ann", OTHER_LINK).companions == 0

    def test_p8_nobody_touches_the_companion_of_another_user(self, world: SignsInWorld) -> None:
        client = adopted(world, lasts=100.0)
        assert not world.sessions.extend(Session(id=client.session.id, user_id="bob"), lifetime=LONG, app_session=OTHER_LINK)
        assert world.found(client) == client.session

    # --- several at once

    def test_of_adoptions_of_one_session_at_once_exactly_one_is_made(self, world: SignsInWorld) -> None:
        for number in range(3):
            made = together(*(partial(adoption, world, f"user {number}") for _ in range(6)))
            assert sum(isinstance(one, Client) for one in made) == 1
            assert made.count(None) == 5
            assert len(world.sessions.list(f"user {number}")) == 1

    def test_p10_an_adoption_at_the_moment_of_an_end_is_ended_with_the_others_or_refused(self, world: SignsInWorld) -> None:
        for number in range(5):
            user = f"user {number}"
            own = adopted(world, user)
            counted, came = together(
                partial(world.sessions.revoke_others, own.session), partial(adoption, world, user, app_session=OTHER_LINK)
            )
            if isinstance(came, Client):
                assert (counted, world.lives(own, came)) == (1, [True, False])
            else:
                assert isinstance(came, StaleLogin)
                assert counted == 0

    def test_p10_a_touch_at_the_moment_of_an_end_brings_nothing_back(self, world: SignsInWorld) -> None:
        for number in range(5):
            user = f"user {number}"
            own, other = adopted(world, user), adopted(world, user, app_session=OTHER_LINK)
            counted, _ = together(
                partial(world.sessions.revoke_others, own.session),
                partial(world.sessions.extend, other.session, lifetime=LONG, app_session=LINK),
            )
            assert (counted, world.lives(own, other)) == (1, [True, False])


def adoption(world: SignsInWorld, user: str = "ann", *, app_session: bytes = LINK, lasts: float = 3600.0) -> Client | None:
    """An adoption as the door asks for it."""
    credential = Credential(new_token().encode())
    device = Device(ip_address="192.0.2.7")
    session = world.sessions.adopt(
        NewSession(user_id=user, digest=credential.digest, lifetime=lasts, device=device, app_session=app_session)
    )
    return None if session is None else Client(credential, session)


def adopted(world: SignsInWorld, user: str = "ann", *, app_session: bytes = LINK, lasts: float = 3600.0) -> Client:
    client = adoption(world, user, app_session=app_session, lasts=lasts)
    assert client is not None
    return client


def signed_in(
    world: SignsInWorld, user: str = "ann", *, generation: int | None = None, age: float = 0.0, replaces: Client | None = None
) -> Client:
    """A sign-in at the application, as the door asks for it."""
    credential = Credential(new_token().encode())
    new = NewSession(
        user_id=user,
        digest=credential.digest,
        lifetime=3600.0,
        generation=generation,
        age=lambda: age,
        replaces=None if replaces is None else replaces.session,
        app_session=LINK,
    )
    return Client(credential, world.sessions.login(new))


def end(world: SignsInWorld, client: Client, how: str) -> None:
    """End a companion in one of the ways of ``ENDS``, or by itself the others of its user."""
    match how:
        case "logged out":
            world.sessions.revoke(client.session.user_id, client.session.id)
        case "ended by another":
            world.sessions.revoke_others(signed_in(world).session)
        case "ended by itself":
            world.sessions.revoke_others(client.session)
        case "all ended":
            world.sessions.revoke_all("ann")
        case "replaced":
            signed_in(world, replaces=client)
        case "replaced by another user":
            signed_in(world, "bob", replaces=client)
        case _:
            raise AssertionError(how)
