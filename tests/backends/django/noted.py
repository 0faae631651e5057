"""The index of sessions whose saving Django tells of: what is in it, what is made of it, and what it spares."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.db import connection, transaction

from sessionward.backends.django.completeness import mark_complete, mark_incomplete
from sessionward.backends.django.index import Index, write
from sessionward.backends.django.raw_sql import Answer, Statement
from sessionward.backends.django.store import store_of
from sessionward.backends.django.tables import Entry, begin_revocation, user_digest
from tests.backends.django.world import (
    at_once,
    backend,
    bare,
    cookie_of,
    drop_ours,
    person,
    queries,
    refused,
    session,
    sign_in,
    store,
    tables,
    visit,
    whom,
)


def index() -> dict[str, str]:
    return dict(Entry.objects.values_list("session_key", "user"))


def saved_by_hand(user: str) -> str:
    """A session that signs somebody in, saved without a request."""
    known = get_user_model().objects.get(pk=user)
    made = store()()
    made[SESSION_KEY] = user
    made[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    made[HASH_SESSION_KEY] = known.get_session_auth_hash()
    made.save()
    return str(made.session_key)


def case_a_login_is_in_it_and_so_is_the_key_after_a_rotation() -> None:
    backend()
    ann, bob = person("ann"), person("bob")
    first, other = sign_in(ann, through=bare), sign_in(bob, through=bare)
    assert index() == {first: user_digest(ann), other: user_digest(bob)}
    second = str(cookie_of(bare("/rotate", first)))
    assert second != first
    assert index()[second] == user_digest(ann)
    mark_complete(store_of())
    assert backend().revoke_all(ann) == 1
    assert [whom(key) for key in (second, other)] == ["nobody", bob]


def case_an_anonymous_session_is_not_in_it() -> None:
    visit("/cart/tea")
    assert index() == {}


def case_what_is_rolled_back_is_not_in_it() -> None:
    backend()
    ann = person("ann")
    with transaction.atomic():
        saved_by_hand(ann)
        transaction.set_rollback(True)
    assert index() == {}
    with transaction.atomic():
        key = saved_by_hand(ann)
        assert index() == {}
    assert set(index()) == {key}


def case_its_table_is_not_made_inside_a_transaction_of_the_application() -> None:
    backend()
    ann = person("ann")
    drop_ours()
    with transaction.atomic():
        saved_by_hand(ann)
        assert "sessionward_django_index" not in tables()
    assert "sessionward_django_index" in tables()


def case_an_entry_of_a_key_that_is_now_anothers_ends_nothing() -> None:
    ann, bob = person("ann"), person("bob")
    key = sign_in(bob)
    Entry.objects.filter(session_key=key).update(user=user_digest(ann))
    mark_complete(store_of())
    assert backend().revoke_all(ann) == 0
    assert whom(key) == bob


def case_an_entry_of_a_session_that_is_gone_is_not_counted() -> None:
    ann = person("ann")
    own, gone = sign_in(ann), sign_in(ann)
    visit("/logout", gone)
    Entry.objects.get_or_create(session_key="g" * 32, defaults={"user": user_digest(ann)})
    mark_complete(store_of())
    assert backend().revoke_others(session(own)) == 0


def case_once_it_is_complete_nothing_is_looked_through() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours = session(own), backend(scan_limit=0)
    assert "sessionward index" in refused(lambda: ours.revoke_others(known))
    assert whom(other) == ann
    mark_complete(store_of())
    assert ours.revoke_others(known) == 1
    assert whom(other) == "nobody"
    sign_in(ann)
    few = len(queries(lambda: ours.revoke_others(known)))
    for number in range(10):
        sign_in(person(f"user {number}"), through=bare)
    sign_in(ann)
    assert len(queries(lambda: ours.revoke_others(known))) == few


def case_before_it_is_complete_sessions_that_nobody_noted_are_found() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    Entry.objects.all().delete()
    assert backend().revoke_others(session(own)) == 1
    assert whom(other) == "nobody"


def case_a_login_while_the_caller_waits_for_the_lock_ends_too() -> None:
    """Only because the index is read again once the lock is held."""
    ann = person("ann")
    own = sign_in(ann)
    late: list[object] = []
    known, ask = session(own), backend()

    def waits(using: str, user_id: str, timeout: float, then: Sequence[Statement]) -> tuple[bool, Sequence[Answer]]:
        if not late:
            late.extend(at_once([lambda: sign_in(ann, through=bare)]))
        return begin_revocation(using, user_id, timeout, then)

    with patch("sessionward.backends.django.index.begin_revocation", waits):
        assert ask.revoke_others(known) == 1
    assert whom(str(late[0])) == "nobody"
    assert whom(own) == ann


def case_what_another_process_has_changed_is_noted_again() -> None:
    """The session was ann's, in another process bob's, and is ann's again."""
    backend()
    ann, bob = person("ann"), person("bob")
    key = saved_by_hand(ann)
    mark_complete(store_of())
    for change in (lambda: write("default", [(key, bob)]), Entry.objects.all().delete):
        change()
        kept = store()(key)
        kept["cart"] = "book"
        kept.save()
        assert index() == {key: user_digest(ann)}
    assert backend().revoke_all(ann) == 1


def case_beside_the_application_a_complete_index_proves_nothing() -> None:
    ann = person("ann")
    own = sign_in(ann)
    mark_complete(store_of())
    with patch.object(Index, "_note_later"), patch.object(Index, "note", return_value=True):  # by the application, without us
        others = [sign_in(ann) for _ in range(2)]
    assert backend().revoke_others(session(own)) == 0, "this is what a sidecar must not answer"
    sidecar = backend().for_sidecar()
    assert sidecar.revoke_others(session(own)) == 2
    assert [whom(key) for key in (own, *others)] == [ann, "nobody", "nobody"]
    assert "scan_limit" in refused(lambda: backend(scan_limit=0).for_sidecar().within(9.0).revoke_all(ann))


def case_that_it_is_complete_can_be_taken_back() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    mark_complete(store_of())
    Entry.objects.all().delete()
    mark_incomplete(store_of())
    assert backend().revoke_others(session(own)) == 1
    assert whom(other) == "nobody"


def case_the_application_does_not_depend_on_it() -> None:
    ann = person("ann")
    sign_in(ann)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sessionward_django_index RENAME TO away")
    try:
        assert bare(f"/login/{ann}").status == 200
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO sessionward_django_index")
