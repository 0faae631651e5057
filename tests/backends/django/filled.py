"""All sessions are revoked while ``sessionward index`` reads them: it brings none of them back."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

from sessionward import BackendUnavailable
from sessionward.backends.django import tables
from sessionward.backends.django.filling import fill
from sessionward.backends.django.sessions import Page
from sessionward.backends.django.store import store_of
from sessionward.backends.django.tables import Entry
from tests.backends.django.world import backend, delete, drop_ours, person, sign_in, whom


def crowd() -> list[str]:
    """Sessions from before the installation."""
    keys = [sign_in(person(f"user {number}")) for number in range(9)]
    Entry.objects.all().delete()
    return keys


def once(done: list[bool]) -> Callable[[], None]:
    """Revokes all sessions, at the first call."""

    def revoke() -> None:
        if not done:
            done.append(True)
            backend().revoke_everybody()

    return revoke


def case_p1_between_two_batches() -> None:
    keys, revoke = crowd(), once([])
    fill(store_of(), batch=2, progress=lambda _: revoke())
    assert [whom(key) for key in keys] == ["nobody"] * 9
    ann = person("ann")
    assert [whom(key) for key in (sign_in(ann), sign_in(ann))] == [ann, ann]


def case_p1_between_the_reading_of_a_batch_and_its_writing() -> None:
    keys, revoke, store = crowd(), once([]), store_of()
    walk = store.walk

    def walked(after: str, batch: int) -> Page:
        page = walk(after, batch)
        revoke()
        return page

    with patch.object(store, "walk", walked):
        fill(store, batch=20, progress=lambda _: None)
    assert [whom(key) for key in keys] == ["nobody"] * 9


def case_without_our_tables_a_sign_in_passes_and_nothing_is_revoked() -> None:
    """A role may have no right to create them. There has been no revocation, and there is none."""
    ann = person("ann")
    drop_ours()
    with patch.object(tables, "_create", side_effect=BackendUnavailable("create them: ...")):
        key = sign_in(ann)
        assert delete(key) == (503, None)
    assert whom(key) == ann


def case_p1_before_it_begins() -> None:
    keys = crowd()
    backend().revoke_everybody()
    assert fill(store_of(), batch=20, progress=lambda _: None) in (0, 9)
    assert [whom(key) for key in keys] == ["nobody"] * 9
