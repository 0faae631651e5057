"""Stores that can tell which sessions they hold: they are looked through, within the limit, and page through once."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from sessionward.backends.django.completeness import mark_complete
from sessionward.backends.django.filling import fill
from sessionward.backends.django.store import store_of
from sessionward.backends.django.tables import Entry, user_digest
from tests.backends.django.world import backend, bare, cookie_of, delete, person, refused, session, sign_in, visit, whom


def case_sessions_from_before_the_installation_are_found() -> None:
    ann, bob = person("ann"), person("bob")
    own, other, foreign = (sign_in(user, through=bare) for user in (ann, ann, bob))
    assert delete(own) == (200, 1)
    assert [whom(key) for key in (own, other, foreign)] == [ann, "nobody", bob]


def case_beyond_the_limit_nothing_ends() -> None:
    ann = person("ann")
    own, other = sign_in(ann, through=bare), sign_in(ann, through=bare)
    sign_in(person("bob"), through=bare)
    known = session(own)
    assert "scan_limit" in refused(lambda: backend(scan_limit=2).revoke_others(known))
    assert whom(other) == ann
    assert backend(scan_limit=3).revoke_others(known) == 1


def case_a_walk_puts_all_into_the_index_and_looking_through_ends() -> None:
    ann = person("ann")
    keys = [sign_in(ann, through=bare) for _ in range(7)]
    anonymous = str(cookie_of(visit("/cart/tea")))
    steps: list[int] = []
    assert fill(store_of(), batch=3, progress=steps.append) == 8
    assert steps == [3, 3, 2]
    assert dict(Entry.objects.values_list("session_key", "user")) == dict.fromkeys(keys, user_digest(ann))
    assert backend(scan_limit=0).revoke_others(session(keys[0])) == 6
    assert whom(anonymous) == "nobody tea"


def case_logins_after_the_walk_are_noted_by_the_door() -> None:
    ann = person("ann")
    mark_complete(store_of())
    own, other = sign_in(ann), sign_in(ann)
    assert backend(scan_limit=0).revoke_others(session(own)) == 1
    assert whom(other) == "nobody"
