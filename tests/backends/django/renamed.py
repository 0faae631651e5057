"""On an engine that is revocation_sticks, an ended session is a row with another key: nothing of it is lost, and nothing brings it back."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import hashlib

from tests.backends.django.world import backend, bare, cookie_of, delete, person, rows, session, sign_in, store, visit, whom


def renamed() -> list[str]:
    return [key for key in rows().values_list("session_key", flat=True) if key.startswith("revoked:")]


def case_row_and_data_are_still_there_under_another_key() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    visit("/cart/book", other)
    row = rows().get(session_key=other)
    delete(own)
    (key,) = renamed()
    left = rows().get(session_key=key)
    assert (left.session_data, left.expire_date) == ("revoked:" + row.session_data, row.expire_date)
    assert store()().decode(left.session_data.removeprefix("revoked:"))["cart"] == "book"
    assert rows().count() == 2


def case_the_new_key_is_refused_by_django_and_by_us() -> None:
    ann = person("ann")
    own = sign_in(ann)
    sign_in(ann)
    delete(own)
    (key,) = renamed()
    assert bare("/me", key).body == b"nobody"
    assert whom(key) == "nobody"
    assert delete(key) == (401, None)
    assert "_auth_user_id" not in store()(key).load()


def case_the_new_key_is_found_by_who_has_the_old_one_and_cannot_be_guessed() -> None:
    ann = person("ann")
    own, others = sign_in(ann), [sign_in(ann) for _ in range(6)]
    delete(own)
    keys = renamed()
    assert set(keys) == {"revoked:" + hashlib.sha256(key.encode()).hexdigest()[:32] for key in others}
    assert {len(key) for key in keys} == {40}
    assert not any(part in " ".join(keys) for key in others for part in (key, key[:8], key[-8:]))


def case_a_row_that_is_restored_is_revoked_again_and_the_one_before_it_stays() -> None:
    ann = person("ann")
    own, other, third = sign_in(ann), sign_in(ann), sign_in(ann)
    backup = rows().get(session_key=other)
    delete(own)
    for number in (1, 2):
        backup.save(force_insert=True)
        assert delete(own) == (200, 1)
        assert bare("/me", other).body == b"nobody"
        assert len(renamed()) == rows().count() - 1 == 2 + number
    assert third not in str(renamed())


def case_a_write_in_flight_is_told_so_and_creates_nothing() -> None:
    from tests.backends.django.views import meanwhile

    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    meanwhile.append(lambda: delete(own))
    assert visit("/slow-cart/book", other).status == 400
    assert rows().count() == 2
    assert bare("/me", other).body == b"nobody"
    assert not meanwhile


def case_a_session_in_the_middle_of_being_saved_by_hand_is_not_put_back() -> None:
    from django.contrib.sessions.backends.base import UpdateError

    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    held = store()(other)
    held["cart"] = "book"
    delete(own)
    try:
        held.save()
    except UpdateError:
        pass
    else:
        raise AssertionError("it was saved")
    assert rows().count() == 2
    assert session(own).user_id == ann


def case_deleting_the_row_would_have_lost_the_data() -> None:
    """The naive way, which the first claim must not accept."""
    other = sign_in(person("ann"))
    store()().delete(other)
    assert rows().count() == 0
    assert cookie_of(visit("/me", other)) in (None, "")


def case_rows_that_are_restored_beside_their_renamed_ones_are_revoked_with_all_others() -> None:
    """A backup that was loaded into the table without emptying it."""
    ann, bob = person("ann"), person("bob")
    keys = [sign_in(ann), sign_in(ann), sign_in(bob)]
    visit("/cart/book", keys[0])
    kept = list(rows().filter(session_key__in=keys[:2]))
    for _ in range(2):
        backend().revoke_everybody()
        for row in kept:
            row.save(force_insert=True)
        assert bare("/me", keys[0]).body.decode() == f"{ann} book"
    backend().revoke_everybody()
    assert [bare("/me", key).body for key in keys] == [b"nobody"] * 3
    assert len(renamed()) == rows().count() == 7


def case_all_rows_are_renamed_those_of_anonymous_visitors_too() -> None:
    """Which user a row names says only a process that has the project's secret."""
    anonymous = cookie_of(visit("/cart/tea"))
    assert anonymous
    sign_in(person("ann"))
    backend().revoke_everybody()
    assert len(renamed()) == rows().count() == 2
    assert whom(anonymous) == "nobody"
