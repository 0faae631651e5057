"""The contract of the session API, over the sessions of users whose ids are names."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from django.contrib.auth import get_user_model

from sessionward.testing import Client, SessionAPIContract, World
from tests.backends.django.world import backend, clean, sign_in


class DjangoWorld(World):
    def sign_in(self, user: str = "ann") -> Client:
        if not get_user_model().objects.filter(pk=user).exists():
            get_user_model().objects.create_user(user)
        return self.client(sign_in(user))


def case_the_contract_of_the_session_api_holds() -> None:
    contract, held = SessionAPIContract(), list[str]()
    for name in dir(contract):
        if not name.startswith("test_"):
            continue
        test = getattr(contract, name)
        marks = getattr(test, "pytestmark", [])
        for value in marks[0].args[1] if marks else [None]:
            clean()
            test(DjangoWorld(backend()), *([] if value is None else [value]))
            held.append(name)
    assert len(held) > len(set(held)) > 15
