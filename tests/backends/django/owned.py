"""django-qsessions keeps the user in a column, but not always: what the column misses is covered."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import asyncio

from qsessions.models import Session

from sessionward.backends.django.completeness import mark_complete
from sessionward.backends.django.store import store_of
from sessionward.backends.django.tables import Entry
from tests.backends.django.world import backend, delete, person, refused, session, sign_in, store, whom


def saved_without_a_user(user: str) -> str:
    key = sign_in(user)

    async def again() -> None:
        known = store()(key)
        await known.aset("cart", "book")
        await known.asave()

    asyncio.run(again())
    assert Session.objects.get(session_key=key).user_id is None
    return key


def case_a_session_saved_without_its_user_is_found_and_ended() -> None:
    ann = person("ann")
    own, other = sign_in(ann), saved_without_a_user(ann)
    Entry.objects.all().delete()
    assert delete(own) == (200, 1)
    assert whom(other) == "nobody"


def case_and_so_it_is_by_the_index() -> None:
    ann = person("ann")
    own, other = sign_in(ann), saved_without_a_user(ann)
    mark_complete(store_of())
    assert backend(scan_limit=0).revoke_others(session(own)) == 1
    assert whom(other) == "nobody"


def case_a_column_that_names_another_user_than_the_session_ends_nothing() -> None:
    ann, bob = person("ann"), person("bob")
    own, foreign = sign_in(ann), sign_in(bob)
    Session.objects.filter(session_key=foreign).update(user_id=ann)
    assert delete(own) == (200, 0)
    assert whom(foreign) == bob


def case_only_rows_that_may_be_the_users_are_looked_through() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    for number in range(3):
        sign_in(person(f"user {number}"))
    assert backend(scan_limit=2).revoke_others(session(own)) == 1
    assert whom(other) == "nobody"
    saved_without_a_user(person("bob"))
    saved_without_a_user(person("carol"))
    assert "scan_limit" in refused(lambda: backend(scan_limit=2).revoke_others(session(own)))
