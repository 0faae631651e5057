"""The contract of backends that own their sessions, with what a door adds to it: which user ids it takes, and as what."""

from __future__ import annotations

from uuid import UUID

import pytest

from sessionward import SessionRevoked, StaleLogin, UsageError
from sessionward.backends import SignInTooOld, Terms
from sessionward.session.session import ANY_TERMS
from sessionward.testing import LoginContract, LoginWorld
from sessionward.testing.companion_world import adopted
from tests.contract.doors import signed_in_through_the_door

NO_USERS = [
    pytest.param("", id="empty"),
    pytest.param("x" * 256, id="256 letters"),
    pytest.param("é" * 128, id="256 bytes"),
    pytest.param("a\x00b", id="NUL"),
    pytest.param("a\nb", id="line feed"),
    pytest.param("a\x7fb", id="DEL"),
    pytest.param("a\x85b", id="a control character beyond ASCII"),
    pytest.param("\ud800", id="half a surrogate pair"),
    pytest.param(None, id="None"),
    pytest.param(True, id="a truth value"),
    pytest.param(b"ann", id="bytes"),
    pytest.param(1.5, id="a float"),
]


class SignsInContract(LoginContract):
    """Subclass it with a fixture ``world`` that can let time pass."""

    @pytest.mark.parametrize("user", [7, 2**63, -1], ids=["small", "big", "less than zero"])
    def test_through_the_door_an_int_is_kept_as_its_text(self, world: LoginWorld, user: int) -> None:
        assert signed_in_through_the_door(world, user) is None
        assert [session.user_id for session in world.sessions.list(str(user))] == [str(user)]

    def test_through_the_door_a_uuid_is_kept_as_its_text(self, world: LoginWorld) -> None:
        user = UUID("0A1B2C3D-0000-4000-8000-00000000000F")
        assert signed_in_through_the_door(world, user) is None
        assert [session.user_id for session in world.sessions.list("0a1b2c3d-0000-4000-8000-00000000000f")] == [str(user)]

    @pytest.mark.parametrize("user", NO_USERS)
    def test_what_is_no_user_id_is_refused(self, world: LoginWorld, user: str) -> None:
        assert isinstance(signed_in_through_the_door(world, user), UsageError)
        for question in world.sessions.revoke_all, world.sessions.list:
            with pytest.raises(UsageError):
                question(user)

    # --- list, revoke_one and the terms, where they meet sign-ins and companions

    def test_a_session_is_listed_as_it_was_begun_and_as_it_is_found(self, world: LoginWorld) -> None:
        own = world.sign_in()
        (listed,) = world.sessions.list("ann")
        assert listed == world.found(own) == own.session
        assert (listed.methods, listed.ip_address, listed.user_agent) == (("password", "totp"), "192.0.2.7", "a browser")
        assert listed.last_seen_at == world.found(own).last_seen_at == own.session.issued_at

    def test_a_session_that_has_expired_is_neither_listed_nor_revoked_and_stays_so(self, world: LoginWorld) -> None:
        own, short = world.sign_in(), world.sign_in(lasts=60.0)
        world.pass_time(61)
        listed = world.sessions.list("ann")
        assert ([session.id for session in listed], listed.total) == ([own.session.id], 1)
        assert world.sessions.revoke_one(own.session, short.session.id, ANY_TERMS) is False
        world.pass_time(-3600)  # P6
        assert world.lives(own, short) == [True, False]

    def test_a_caller_that_has_expired_revokes_nobody(self, world: LoginWorld) -> None:
        own, other = world.sign_in(lasts=60.0), world.sign_in()
        world.pass_time(61)
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS)
        assert world.lives(other) == [True]

    def test_p3_the_revocation_of_one_session_refuses_no_sign_in(self, world: LoginWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        assert world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS)
        assert world.sessions.begin_login("ann") == 0
        assert world.lives(world.login(age=3600.0), world.login(generation=0), other) == [True, True, False]

    def test_p6_who_was_revoked_alone_cannot_renew_itself(self, world: LoginWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS)
        with pytest.raises(StaleLogin):
            world.login(replaces=other)

    def test_p6_the_revocation_of_one_companion_makes_companions_compulsory(self, world: LoginWorld) -> None:
        own, other = adopted(world, app_session=b"a" * 32), adopted(world, app_session=b"b" * 32)
        assert world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS)
        assert world.sessions.is_revoked_app_session(b"b" * 32)
        assert world.sessions.companion_status("ann", b"b" * 32).companion_required
        with pytest.raises(StaleLogin):
            world.adopt("ann", b"c" * 32)

    def test_nobody_saw_the_sign_in_of_an_adopted_companion_so_it_is_never_recent(self, world: LoginWorld) -> None:
        own = adopted(world, app_session=b"a" * 32)
        (listed,) = world.sessions.list("ann")
        assert [session.authenticated_at for session in (own.session, world.found(own), listed)] == [None] * 3
        assert listed.issued_at is not None
        with pytest.raises(SignInTooOld):
            world.sessions.revoke_others_quietly(own.session, Terms(recent=3600.0))
        assert world.sessions.revoke_others_quietly(own.session, Terms(rate_limit=1)) == 0
