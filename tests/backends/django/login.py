"""Whom a session signs in: what Django decides, without its side effects."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import override_settings

from tests.backends.django.noted import saved_by_hand
from tests.backends.django.world import (
    backend,
    bare,
    cookie_of,
    delete,
    everything,
    found,
    person,
    queries,
    rows,
    session,
    sign_in,
    store,
    whom,
)


def both(key: str) -> bool:
    """Whether we recognise it, which must be what Django decides; looked at first, since Django changes what it refuses."""
    before = everything()
    ours = found(key)
    assert everything() == before
    theirs = bare("/me", key).body.decode().strip()
    assert theirs == ("nobody" if ours is None else ours.user_id), (ours, theirs)
    return ours is not None


def user(pk: str) -> Any:
    return get_user_model().objects.get(pk=pk)


def case_an_inactive_user_is_not_signed_in() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    get_user_model().objects.filter(pk=ann).update(is_active=False)
    assert delete(own) == (401, None)
    assert [both(key) for key in (own, other)] == [False, False]


def case_the_sessions_of_a_disabled_user_are_revoked_like_anyones() -> None:
    ann, bob = person("ann"), person("bob")
    own, other, bystander = sign_in(ann), sign_in(ann), sign_in(bob)
    get_user_model().objects.filter(pk=ann).update(is_active=False)
    assert backend().revoke_all(ann) == 2
    assert backend().revoke_all(ann) == 0
    get_user_model().objects.filter(pk=ann).update(is_active=True)
    assert [both(key) for key in (own, other, bystander)] == [False, False, True]


def case_sessions_of_an_authentication_backend_that_comes_back_do_not() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    with override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"]):
        assert backend().revoke_all(ann) == 0
    assert [both(key) for key in (own, other)] == [False, False]


def case_an_id_that_no_user_can_have_ends_nothing() -> None:
    own = sign_in(person("ann"))
    assert [backend().revoke_all(odd) for odd in ("x", "6fa459ea-ee8a-3ca4-894e-db77e160355e", "-1", 10**30)] == [0] * 4
    assert both(own)


def case_user_id_0_is_a_user() -> None:
    get_user_model().objects.create_user("nought", pk=0)
    own, other = sign_in("0"), sign_in("0")
    assert (session(own).user_id, delete(own)) == ("0", (200, 1))
    assert [both(key) for key in (own, other)] == [True, False]
    assert backend().revoke_all(0) == 1


def case_a_deleted_user_is_not_signed_in() -> None:
    own = sign_in(person("ann"))
    get_user_model().objects.all().delete()
    assert not both(own)


def case_a_backend_that_is_no_longer_used_signs_nobody_in() -> None:
    own = sign_in(person("ann"))
    with override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"]):
        assert not both(own)
    own = sign_in(person("bob"))
    assert both(own)


def case_a_session_from_before_a_change_of_the_password_is_dead_and_not_counted() -> None:
    ann = person("ann")
    old, older = sign_in(ann), sign_in(ann)
    known = user(ann)
    known.set_password("another")
    known.save()
    own, other = sign_in(ann), sign_in(ann)
    assert delete(old) == (401, None)
    assert delete(own) == (200, 1)
    assert rows().filter(session_key__in=[old, older]).count() == 0, "a password that is put back would revive them"
    assert [both(key) for key in (old, own, other)] == [False, True, False]


def case_a_fallback_secret_is_good_and_its_session_keeps_its_key() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    secrets = {
        "SECRET_KEY": "a-new-secret-of-the-application-with-more-than-fifty-characters",
        "SECRET_KEY_FALLBACKS": [settings.SECRET_KEY],
    }
    with override_settings(SECRET_KEY=secrets["SECRET_KEY"]):
        assert found(own) is None
    with override_settings(**secrets):
        before = everything()
        assert session(own).user_id == ann
        assert everything() == before
        assert delete(own) == (200, 1)
        assert rows().filter(session_key=own).exists()
        answer = bare("/me", own)
        assert answer.body.decode().strip() == ann
        assert cookie_of(answer) not in (None, own), "Django itself gives it a new key: the reason not to ask get_user()"
        assert whom(other) == "nobody"


def case_a_session_without_a_hash_signs_nobody_in() -> None:
    ann = person("ann")
    for wrong in ("", None, 7, "é", "x"):
        own = store()(saved_by_hand(ann))
        own["_auth_user_hash"] = wrong
        own.save()
        assert found(str(own.session_key)) is None
    own = store()(saved_by_hand(ann))
    del own["_auth_user_hash"]
    own.save()
    assert not both(str(own.session_key))


def case_an_id_of_another_kind_than_the_primary_key_signs_nobody_in() -> None:
    ann = person("ann")
    own, odd = sign_in(ann), store()(saved_by_hand(ann))
    odd["_auth_user_id"] = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
    odd.save()
    assert found(str(odd.session_key)) is None
    assert delete(own) == (200, 0)


def case_finding_asks_and_does_not_write() -> None:
    own = sign_in(person("ann"))
    asked = queries(lambda: found(own))
    assert not [sql for sql in asked if sql.split()[0] in ("INSERT", "UPDATE", "DELETE")], asked
    assert len([sql for sql in asked if sql.split()[0] == "SELECT"]) == 2
    assert queries(lambda: found("no key")) == []
