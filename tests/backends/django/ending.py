"""Whose sessions end and whose do not, in every configuration."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from sessionward import BackendUnavailable, ConfigurationError
from sessionward.backends import Credential
from tests.backends.django.world import (
    backend,
    bare,
    cookie_of,
    delete,
    everything,
    found,
    person,
    refused,
    session,
    sign_in,
    visit,
    whom,
)


def case_the_others_end_and_the_caller_stays_with_its_cart() -> None:
    ann, bob = person("ann"), person("bob")
    own, other, third, bystander = sign_in(ann), sign_in(ann), sign_in(ann), sign_in(bob)
    visit("/cart/tea", own)
    assert delete(own) == (200, 2)
    assert [whom(key) for key in (own, other, third, bystander)] == [f"{ann} tea", "nobody", "nobody", bob]
    assert delete(own) == (200, 0)
    assert [delete(key) for key in (other, third)] == [(401, None)] * 2
    assert delete(bystander) == (200, 0)


def case_an_id_that_begins_like_another_or_differs_in_case_is_another_user() -> None:
    users = get_user_model()
    if users._meta.pk.get_internal_type() == "AutoField":
        one, eleven = users(pk=1), users(pk=11)
        for user in (one, eleven):
            user.set_username(f"number {user.pk}") if hasattr(user, "set_username") else setattr(user, users.USERNAME_FIELD, f"n{user.pk}")
            user.save()
        names = ["1", "11"]
    else:
        names = [person("Bob"), person("bobby")]
    own, bystander = sign_in(names[0]), sign_in(names[1])
    assert delete(own) == (200, 0)
    assert whom(bystander) == names[1]
    assert backend().revoke_all(names[1]) == 1
    assert (whom(own), whom(bystander)) == (names[0], "nobody")


def case_anonymous_and_expired_sessions_are_neither_counted_nor_touched() -> None:
    ann = person("ann")
    own, anonymous, expired = sign_in(ann), str(cookie_of(visit("/cart/tea"))), expired_session(ann)
    before = everything()
    assert found(anonymous) is None
    assert found(expired) is None
    assert everything() == before
    assert delete(own) == (200, 0)
    assert whom(anonymous) == "nobody tea"
    assert {table: rows for table, rows in everything().items() if not table.startswith("sessionward")} == {
        table: rows for table, rows in before.items() if not table.startswith("sessionward")
    }
    assert delete(anonymous) == delete(expired) == (401, None)


def expired_session(user: str) -> str:
    """One that has expired by Django's clock, as far as its engine keeps such."""
    from tests.backends.django.world import store

    key = sign_in(user)
    late: SessionBase = store()(key)
    late.set_expiry(timezone.now() - timedelta(days=1))
    late.save()
    return key


def case_finding_writes_nothing() -> None:
    ann = person("ann")
    own = sign_in(ann)
    sign_in(ann)
    delete(own)
    before = everything()
    strangers = [own, own[:-1], own.upper(), "x" * 32, "x" * 7, "x" * 200, "../../etc/passwd", "revoked:" + "0" * 32, "", "%00", "a b"]
    assert [found(key) is not None for key in strangers] == [True] + [False] * 10
    assert everything() == before


def case_revoke_all_revokes_the_caller_too_and_can_be_repeated() -> None:
    ann = person("ann")
    keys = [sign_in(ann) for _ in range(3)]
    assert backend().revoke_all(ann) == 3
    assert backend().revoke_all(ann) == 0
    assert [whom(key) for key in keys] == ["nobody"] * 3
    assert backend().revoke_all(person("never signed in")) == 0
    again = sign_in(ann)
    assert whom(again) == ann


def case_purge_forgets_only_what_is_older() -> None:
    ann = person("ann")
    keys = [sign_in(ann) for _ in range(2)]
    backend().revoke_all(ann)
    assert backend().purge(timedelta(days=400)) == 0
    assert [whom(key) for key in keys] == ["nobody"] * 2
    assert backend().purge(0.0) == (0 if not hasattr(backend(), "which_revoked") else 2)


def case_within_is_the_same_backend_with_another_deadline() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    ours = backend()
    view = ours.within(3.0)
    assert (view._timeout, ours._timeout) == (3.0, 10.0)
    known = view.find(Credential(own.encode()))
    assert known is not None
    assert view.revoke_others(known) == 1
    for name in ("which_revoked", "note"):
        assert hasattr(view, name) == hasattr(ours, name)
        if hasattr(view, name):
            assert getattr(view, name).__self__ is view
    assert whom(other) == "nobody"


def case_what_is_no_setting_is_refused() -> None:
    for wrong in ({"scan_limit": -1}, {"scan_limit": True}, {"scan_limit": "7"}, {"timeout": 0}, {"timeout": "soon"}):
        refused(lambda wrong=wrong: backend(**wrong), ConfigurationError)


def case_an_ended_session_does_not_come_back_by_a_request_in_flight() -> None:
    from tests.backends.django.views import meanwhile

    ann = person("ann")
    own = sign_in(ann)
    for page in ("/slow-me", "/slow-cart/book"):
        key = sign_in(ann)
        meanwhile.append(lambda: delete(own))
        answer = visit(page, key)
        assert not meanwhile
        assert whom(key) == "nobody"
        assert not cookie_of(answer), answer
    assert whom(own) == ann


def case_no_key_of_a_session_is_shown() -> None:
    own = sign_in(person("ann"))
    known, ours = session(own), backend(scan_limit=0)
    shown = [repr(known), str(known), repr(ours), str(vars(ours))]
    try:
        ours.revoke_others(known)
    except BackendUnavailable as error:
        shown += [repr(error), str(error)]
    assert not any(own in text for text in shown)
    assert bare("/me", own).status == 200
