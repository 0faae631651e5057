"""The index holds what may be alive, not all sign-ins there ever were."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from sessionward.backends.django.backend import STALE
from sessionward.backends.django.store import store_of
from sessionward.backends.django.tables import Entry, user_digest
from tests.backends.django.ending import expired_session
from tests.backends.django.world import backend, person, session, sign_in, whom


def noted() -> set[str]:
    return set(Entry.objects.values_list("session_key", flat=True))


def old(user: str, number: int) -> None:
    """KeyValueStore of sessions that this user had once."""
    Entry.objects.bulk_create(Entry(session_key=f"{number:032}", user=user_digest(user)) for number in range(number))


def case_what_is_gone_is_forgotten_before_there_is_too_much_of_it() -> None:
    ann, bob = person("ann"), person("bob")
    own, other, foreign = sign_in(ann), sign_in(ann), sign_in(bob)
    old(ann, STALE + 2)
    known, ours = session(own), backend()
    assert ours.revoke_others(known) == 1
    assert noted() - {other} == {own, foreign}
    assert [whom(key) for key in (own, other, foreign)] == [ann, "nobody", bob]


def case_a_row_that_has_only_expired_is_kept() -> None:
    """A request in flight may prolong it."""
    if not store_of().revocation_sticks:
        return  # there it is refused from now on
    ann = person("ann")
    own, expired = sign_in(ann), expired_session(ann)
    old(ann, STALE + 2)
    assert backend().revoke_others(session(own)) == 0
    assert expired in noted()
