"""Ten thousand sessions of one user: a thief can make them, and the owner's call must not fail for ever."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import os
from datetime import timedelta

from django.utils import timezone

from sessionward.backends.django.completeness import mark_complete
from sessionward.backends.django.index import write
from sessionward.backends.django.store import store_of
from tests.backends.django.noted import saved_by_hand
from tests.backends.django.world import backend, bare, person, queries, rows, session, sign_in, store

MANY = 10_000


def made(user: str, number: int) -> list[str]:
    """So many rows, each with the data of a sign-in."""
    own = store()(saved_by_hand(user))
    data, expires, model = own.encode(own.load()), timezone.now() + timedelta(days=1), rows().model
    owner = {"user_id": user} if hasattr(model, "user") else {}
    keys = [f"{at:08d}{os.urandom(12).hex()}" for at in range(number - 1)]
    model._base_manager.bulk_create(
        [model(session_key=key, session_data=data, expire_date=expires, **owner) for key in keys], batch_size=1000
    )
    return [str(own.session_key), *keys]


def case_all_end_in_one_call_within_its_timeout() -> None:
    ann, bob = person("ann"), person("bob")
    own, bystander = sign_in(ann), sign_in(bob)
    for index_is_complete in (False, True):
        keys = made(ann, MANY)
        if index_is_complete:
            write("default", [(key, ann) for key in keys])
            mark_complete(store_of())
        assert backend().revoke_others(session(own)) == MANY
        assert [bare("/me", key).body.decode().strip() for key in (own, bystander)] == [ann, bob]


def case_the_statements_grow_by_sets_of_rows() -> None:
    ann = person("ann")
    own = sign_in(ann)
    backend().revoke_others(session(own))
    asked = {}
    for number in (100, 400, 2000):
        made(ann, number)
        asked[number] = len(queries(lambda: backend().revoke_others(session(own))))
    assert asked[400] <= asked[100] + 2, asked
    assert asked[2000] <= asked[100] + 20, asked
