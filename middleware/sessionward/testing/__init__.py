"""The tests that your own backend or identifier must pass. Needs pytest.

::

    from sessionward.testing import BackendContract, Client, World

    class MyWorld(World):
        def sign_in(self, user: str = "ann") -> Client:
            ...                      # what the application does when a user signs in
            return self.client(key)  # the value of the cookie or header

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def world(self):
            world = MyWorld(MyBackend(...))
            yield world
            world.close()

=====================  ==================================  ==========================================
contract               for                                 its fixture
=====================  ==================================  ==========================================
BackendContract        every backend                       ``world``: World
LoginContract          a backend with ``login``            ``world``: LoginWorld
CompanionsContract     a backend that keeps companions     ``world``: LoginWorld (add it as a second base)
QuietContract          one with ``revoke_others_quietly``  ``world``: LoginWorld (add it as a second base)
RecordContract         a backend with ``which_revoked``    ``world``: RecordWorld
IdentifierContract     every identifier                    ``identifier``, and ``samples``: Samples
=====================  ==================================  ==========================================
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"sessionward.testing.{name}"
        for name in (
            "backend",
            "bounded",
            "companion_world",
            "companions",
            "fresh_login",
            "identifier",
            "login",
            "quiet",
            "record",
            "world",
        )
    )
)

from sessionward.testing.backend import BackendContract  # noqa: E402 - pytest must rewrite the assertions first
from sessionward.testing.bridge import together  # noqa: E402
from sessionward.testing.companions import CompanionsContract  # noqa: E402
from sessionward.testing.identifier import IdentifierContract, Samples  # noqa: E402
from sessionward.testing.login import LoginContract  # noqa: E402
from sessionward.testing.quiet import QuietContract  # noqa: E402
from sessionward.testing.record import RecordContract, RecordWorld  # noqa: E402
from sessionward.testing.world import Client, LoginWorld, World  # noqa: E402

__all__ = [
    "BackendContract",
    "Client",
    "CompanionsContract",
    "IdentifierContract",
    "LoginContract",
    "LoginWorld",
    "QuietContract",
    "RecordContract",
    "RecordWorld",
    "Samples",
    "World",
    "together",
]
