"""Revokes all sessions of all users of a project at once. Import this module only after Django is set up.

A restored database has the rows and the records of the day of its backup. So we look for nothing that was revoked since: what
existed is over. A row gets a new key, as in any revocation. Where a store may write a session back, or keeps sessions that we cannot
list, the index is emptied, and from then on only sessions that it notes count.
"""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from sessionward.backends.django import tables
from sessionward.backends.django.attended import attended, refuse_inside
from sessionward.backends.django.key_value import KeyValueStore
from sessionward.backends.django.raw_sql import Statement, ask_in_order, change, in_sets
from sessionward.backends.django.store import TableStore
from sessionward.backends.django.timeouts import limits, lock_timeout
from sessionward.errors import BackendUnavailable

atomic: Any = transaction.atomic


def revoke_everybody(store: TableStore | KeyValueStore, timeout: float) -> None:
    """Revokes all sessions, in one transaction. ``timeout``: how many seconds it may take; it is linear in the number of sessions."""
    using = store.using
    refuse_inside(using)
    with attended(using, timeout, alone=True) as phase, lock_timeout(using, timeout):
        tables.ensure(using)
        tables.add_lock(using, tables.EVERYBODY)
        try:
            noted = _transact(store, phase, timeout, again=False)
        except IntegrityError:
            if phase:
                raise
            noted = _transact(store, phase, timeout, again=True)
        with suppress(Exception):  # without a time it counts as a revocation of the moment when we next read it
            tables.date_revocation(using, tables.EVERYBODY)
        for keys in in_sets(noted):
            store.evict(keys)


def _transact(store: TableStore | KeyValueStore, phase: list[str], timeout: float, *, again: bool) -> list[str]:
    """Returns the keys of the sessions that the index had. ``again``: some rows were revoked before, and have come back."""
    using = store.using
    with atomic(using=using, durable=True):
        _lock_everybody(using, timeout)
        _mark(store)
        # Before the rows: a login saves its row and then notes it, so the row of each entry that we delete here is there below.
        noted = _empty_index(using)
        if isinstance(store, TableStore):
            store.revoke_everybody(again=again)
        phase.append("the commit has been sent")
    return noted


def _lock_everybody(using: str, timeout: float) -> None:
    """Locks all users, those without a row too, until the transaction ends. A call that revokes or notes a session waits for it."""
    vendor = connections[using].vendor
    if vendor == "postgresql":
        ask_in_order(using, [*limits(using, timeout), Statement("LOCK TABLE {table} IN EXCLUSIVE MODE", names=tables.USERS)])
        return
    if vendor == "mysql":
        if not connections[using].savepoint_ids:  # inside a TestCase the transaction has begun already
            ask_in_order(using, [Statement("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")])
        # At this level InnoDB locks the gaps between the rows too, so no other caller can add a row to lock.
        ask_in_order(using, [Statement("SELECT {user} FROM {table} FOR UPDATE", names=tables.USERS)])


def _mark(store: TableStore | KeyValueStore) -> None:
    """Marks the revocation, whose time is known only after its commit, and refuses all sessions that are not in the index."""
    using, everybody = store.using, tables.user_digest(tables.EVERYBODY)
    marked = change(using, "UPDATE {table} SET {revoked_at} = %s WHERE {user} = %s", [tables.UNDER_WAY, everybody], **tables.USERS)
    if not marked:
        raise BackendUnavailable("a row that was just added to the tables of sessionward is missing; call again")
    if not store.revocation_sticks:
        tables.close(using, tables.EVERYBODY)
        tables.Ended.objects.using(using).update_or_create(digest=everybody, defaults={"ended_at": timezone.now()})


def _empty_index(using: str) -> list[str]:
    """Deletes all entries of the index. Returns their keys."""
    entries = tables.Entry.objects.using(using)
    keys = list(entries.values_list("session_key", flat=True))
    entries.all().delete()
    return keys
