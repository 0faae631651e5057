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
LeasesContract         a backend with ``check``            ``world``: LoginWorld (add it as a second base)
ManyContract           a backend with ``find_many``        ``world``: LoginWorld (add it as a second base)
EverybodyContract      one with ``revoke_everybody``       ``world``: LoginWorld (add it as a second base)
SeenContract           a backend with ``note_seen``        ``world``: LoginWorld (add it as a second base)
SessionAPIContract     one with ``list``, ``revoke_one``   ``world``: World (add it as a second base)
TermsContract          one whose revocations take terms    ``world``: LoginWorld (add it as a second base)
RecordContract         a backend with ``which_revoked``    ``world``: RecordWorld
RefusingContract       one that knows ``AtLimit.REFUSE``   ``world``: LoginWorld (add it as a second base)
IdentifierContract     every identifier                    ``identifier``, and ``samples``: Samples
=====================  ==================================  ==========================================

Some contracts have a part for backends that can do something else, too: ``SeenCompanionsContract``, ``EverybodyCompanionsContract``
and ``EverybodyLeasesContract``.
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
            "everybody",
            "everybody_companions",
            "fresh_login",
            "identifier",
            "leases",
            "login",
            "many",
            "quiet",
            "record",
            "seen",
            "seen_companions",
            "session_api",
            "terms",
            "refusing",
            "world",
        )
    )
)

from sessionward.testing.backend import BackendContract  # noqa: E402 - pytest must rewrite the assertions first
from sessionward.testing.bridge import together  # noqa: E402
from sessionward.testing.companions import CompanionsContract  # noqa: E402
from sessionward.testing.everybody import EverybodyContract, EverybodyLeasesContract  # noqa: E402
from sessionward.testing.everybody_companions import EverybodyCompanionsContract  # noqa: E402
from sessionward.testing.identifier import IdentifierContract, Samples  # noqa: E402
from sessionward.testing.leases import LeasesContract  # noqa: E402
from sessionward.testing.login import LoginContract  # noqa: E402
from sessionward.testing.many import ManyContract  # noqa: E402
from sessionward.testing.quiet import QuietContract  # noqa: E402
from sessionward.testing.record import RecordContract, RecordWorld  # noqa: E402
from sessionward.testing.refusing import RefusingContract  # noqa: E402
from sessionward.testing.seen import SeenContract  # noqa: E402
from sessionward.testing.seen_companions import SeenCompanionsContract  # noqa: E402
from sessionward.testing.session_api import SessionAPIContract  # noqa: E402
from sessionward.testing.terms import TermsContract  # noqa: E402
from sessionward.testing.world import Client, LoginWorld, World  # noqa: E402

__all__ = [
    "BackendContract",
    "Client",
    "CompanionsContract",
    "EverybodyCompanionsContract",
    "EverybodyContract",
    "EverybodyLeasesContract",
    "IdentifierContract",
    "LeasesContract",
    "LoginContract",
    "LoginWorld",
    "ManyContract",
    "QuietContract",
    "RecordContract",
    "RecordWorld",
    "RefusingContract",
    "Samples",
    "SeenCompanionsContract",
    "SeenContract",
    "SessionAPIContract",
    "TermsContract",
    "World",
    "together",
]
