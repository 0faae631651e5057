"""A user model without a session hash: a session is good for as long as its user exists, as Django has it."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from django.contrib.auth import get_user_model

from tests.backends.django.world import bare, delete, found, person, sign_in, store, whom


def case_a_session_needs_no_hash() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    assert not store()(own).get("_auth_user_hash")
    assert bare("/me", own).body.decode().strip() == ann
    assert delete(own) == (200, 1)
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_a_user_who_is_gone_is_not_signed_in() -> None:
    own = sign_in(person("ann"))
    get_user_model().objects.all().delete()
    assert found(own) is None
    assert delete(own) == (401, None)
