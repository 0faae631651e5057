"""The contract of backends that own their sessions, with what a door adds to it: which user ids it takes, and as what."""

from __future__ import annotations

from uuid import UUID

import pytest

from sessionward import UsageError
from sessionward.testing import LoginContract, LoginWorld
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
