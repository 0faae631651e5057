"""allauth's usersessions is asked as well, and what it misses is covered."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from allauth.usersessions.models import UserSession
from django.contrib.auth import get_user_model
from django.utils import timezone

from sessionward.backends.django.completeness import mark_complete
from sessionward.backends.django.store import store_of
from sessionward.backends.django.tables import Entry
from tests.backends.django.world import backend, delete, person, session, sign_in, whom


def noted_by_allauth(user: str, key: str) -> None:
    known = get_user_model().objects.get(pk=user)
    UserSession.objects.create(user=known, session_key=key, ip="192.0.2.7", user_agent="", last_seen_at=timezone.now())


def case_a_session_that_only_allauth_knows_ends() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    noted_by_allauth(ann, other)
    Entry.objects.filter(session_key=other).delete()
    mark_complete(store_of())
    assert backend().revoke_others(session(own)) == 1
    assert whom(other) == "nobody"


def case_a_login_beside_allauth_is_not_in_its_table_and_ends() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    assert UserSession.objects.count() == 0
    assert delete(own) == (200, 1)
    assert whom(other) == "nobody"


def case_a_row_of_allauths_with_the_key_of_another_user_ends_nothing() -> None:
    ann, bob = person("ann"), person("bob")
    own, foreign = sign_in(ann), sign_in(bob)
    noted_by_allauth(ann, foreign)
    noted_by_allauth(ann, "g" * 32)
    assert delete(own) == (200, 0)
    assert whom(foreign) == bob
