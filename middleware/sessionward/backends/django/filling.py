"""Fills the index with all sessions of a project, for ``sessionward index``."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from sessionward.backends.django.completeness import BEGAN, COMPLETE, MISSED, WALKED, mark_complete
from sessionward.backends.django.index import write
from sessionward.backends.django.key_value import KeyValueStore
from sessionward.backends.django.store import TableStore
from sessionward.backends.django.tables import EVERYBODY, State, add_lock, ensure, is_closed, lock
from sessionward.backends.django.timeouts import read_committed
from sessionward.errors import BackendUnavailable

atomic: Any = transaction.atomic


def fill(store: TableStore | KeyValueStore, *, batch: int, progress: Callable[[int], object]) -> int:
    """Reads all live sessions once, in the order of their keys, from where the last run has stopped. Returns how many.

    It marks the index as complete at the end. It calls ``progress`` after each batch, with the number of sessions in it. Raises
    :class:`BackendUnavailable` if a session was missed meanwhile.
    """
    using = store.using
    ensure(using)
    states = State.objects.using(using)
    with atomic(using=using):
        states.filter(name=COMPLETE).delete()
        missed = _value(using, MISSED)
        if _value(using, BEGAN) != missed:  # what was missed may lie behind the place where the last run has stopped
            states.update_or_create(name=BEGAN, defaults={"value": missed})
            states.filter(name=WALKED).delete()
    add_lock(using, EVERYBODY)
    last = states.filter(name=WALKED).first()
    after, total = last.value if last else "", 0
    while (page := store.walk(after, batch)).last is not None:
        after = page.last
        with read_committed(using):
            lock(using, EVERYBODY)  # a revocation of all sessions is either over now, or finds what we write
            if _counts_only_noted(store):
                break
            write(using, page.named)
            if _value(using, BEGAN) == missed:  # else another run has begun anew since
                states.update_or_create(name=WALKED, defaults={"value": after})
        total += page.looked_at
        progress(page.looked_at)
    states.filter(name=MISSED, value=missed).delete()  # that of before; what has come since then stays
    mark_complete(store)
    if states.filter(name=MISSED).exists():
        raise BackendUnavailable("a session could not be noted meanwhile, so the index is not complete; run it again")
    return total


def _value(using: str, name: str) -> str:
    """Returns the value of a state, or an empty string."""
    return str(State.objects.using(using).filter(name=name).values_list("value", flat=True).first() or "")


def _counts_only_noted(store: TableStore | KeyValueStore) -> bool:
    """Returns whether all sessions were revoked that the index does not have. Then it lacks none that counts, and must not get any."""
    return not store.revocation_sticks and is_closed(store.using, EVERYBODY)
