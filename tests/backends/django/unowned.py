"""A session model with a column ``user`` that says nothing of the user model: what is in the session decides."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from sessionward.backends.django.tables import Entry
from tests.backends.django.world import backend, delete, person, sign_in, whom


def case_sessions_from_before_the_installation_are_found() -> None:
    ann, bob = person("ann"), person("bob")
    own, other, bystander = sign_in(ann), sign_in(ann), sign_in(bob)
    Entry.objects.all().delete()
    assert delete(own) == (200, 1)
    assert [whom(key) for key in (own, other, bystander)] == [ann, "nobody", bob]


def case_a_user_whose_id_is_anothers_name_ends_nothing_of_theirs() -> None:
    ann = person("ann")
    bystander = sign_in(person(ann))
    assert backend().revoke_all(ann) == 0
    assert whom(bystander) not in (ann, "nobody")
