"""Whether the index of a project has every session: who says so, and who takes it back."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from sessionward.backends.django.key_value import KeyValueStore
from sessionward.backends.django.raw_sql import Statement
from sessionward.backends.django.store import TableStore
from sessionward.backends.django.tables import State, ensure

COMPLETE: Final = "complete"
WALKED: Final = "walked"
MISSED: Final = "missed"
"""The index lacks a session, so it is not complete, whatever else it says, until ``sessionward index`` has read all anew.

Each time has a value of its own.
"""
BEGAN: Final = "began"
"""The value of ``MISSED`` when the reading began that ``WALKED`` is about."""

atomic: Any = transaction.atomic

IS_COMPLETE: Final = Statement(
    "SELECT 1 FROM {table} WHERE {name} = %s AND NOT EXISTS (SELECT 1 FROM {table} WHERE {name} = %s)",
    [COMPLETE, MISSED],
    {"table": State._meta.db_table, "name": "name"},
)


def mark_incomplete(store: TableStore | KeyValueStore) -> None:
    """Marks the index as incomplete: until ``sessionward index`` has run again, we read all sessions to find those of a user."""
    ensure(store.using)
    mark_missed(store.using)


def mark_missed(using: str) -> None:
    """Marks that the index lacks a session. What is filling it at the moment has to begin anew."""
    states = State.objects.using(using)
    with atomic(using=using):
        states.update_or_create(name=MISSED, defaults={"value": uuid4().hex})
        states.filter(name__in=[COMPLETE, WALKED]).delete()


def mark_complete(store: TableStore | KeyValueStore) -> None:
    """Marks the index as complete. It is not, if it has missed a session since ``sessionward index`` began."""
    ensure(store.using)
    states = State.objects.using(store.using)
    states.update_or_create(name=COMPLETE, defaults={"value": timezone.now().isoformat()})
    states.filter(name=WALKED).delete()
