"""The index of a project's sessions: it says which user each one had when we last saw it. We verify it by reading the session."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from django.db import connections, transaction
from django.db.models.signals import post_save
from django.utils import timezone

from sessionward.backends.django.raw_sql import ask, change_each
from sessionward.backends.django.store import KeyValueStore, TableStore
from sessionward.backends.django.tables import Entry, State, add_lock, ensure, is_closed, lock, user_digest
from sessionward.backends.django.timeouts import read_committed
from sessionward.backends.django.users import claimed_user

log = logging.getLogger("sessionward")

COMPLETE: Final = "complete"
WALKED: Final = "walked"
REMEMBERED: Final = 10_000
"""How many sessions a process remembers to have found in the index."""

atomic: Any = transaction.atomic


class Index:
    """Notes sessions when we see them, and finds the keys of a user."""

    def __init__(self, store: TableStore | KeyValueStore) -> None:
        self._store = store
        self._noted: set[tuple[str, str]] = set()
        self._seen: set[str] = set()

    def watch(self) -> None:
        """Notes each session that this process saves, where sessions are rows. Requests that save no session do not get slower."""
        if self._store.model is not None:
            post_save.connect(self._saved, sender=self._store.model, weak=False, dispatch_uid="sessionward")

    def note(self, key: str, user_id: str) -> None:
        """Records which user a session has, unless this process has recorded it before.

        Where the middleware checks the session again after the application, this takes the lock of the user. So a concurrent
        revocation either finds the new session, or has revoked the session that it comes from.
        """
        if (key, user_id) in self._noted:
            return
        using = self._store.using
        ensure(using)
        if self._store.revocation_sticks:
            write(using, [(key, user_id)])
        else:
            add_lock(using, user_id)
            with read_committed(using):
                lock(using, user_id)
                write(using, [(key, user_id)])
        if len(self._noted) >= REMEMBERED:
            self._noted.clear()
        self._noted.add((key, user_id))
        self._remember([key])

    def admit(self, key: str, user_id: str) -> bool:
        """Records a session that is older than the index, unless its user's sessions were revoked. Returns whether it may pass.

        It takes the lock of the user, so that a concurrent revocation either finds the session or refuses it.
        """
        using = self._store.using
        add_lock(using, user_id)
        with read_committed(using):
            lock(using, user_id)
            if is_closed(using, user_id):
                return False
            self.write(key, user_id)
        self._remember([key])
        return True

    def write(self, key: str, user_id: str) -> None:
        """Records which user a session has. For use inside a transaction that may roll back, so this process does not remember it."""
        write(self._store.using, [(key, user_id)])

    def _remember(self, keys: Collection[str]) -> None:
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        self._seen.update(keys)

    def keys_of(self, user_id: str) -> set[str]:
        rows = ask(self._store.using, "SELECT {key} FROM {table} WHERE {user} = %s", [user_digest(user_id)], **_NAMES)
        return {key for (key,) in rows}

    def forget(self, keys: Collection[str]) -> None:
        """Deletes keys that will never name a session again."""
        Entry.objects.using(self._store.using).filter(session_key__in=keys).delete()

    def unseen(self, keys: Collection[str]) -> set[str]:
        """Returns those of the keys that are not in the index."""
        asked = {key for key in keys if key not in self._seen}
        if not asked:
            return set()
        found = set(Entry.objects.using(self._store.using).filter(session_key__in=asked).values_list("session_key", flat=True))
        self._remember(found)
        return asked - found

    def is_complete(self) -> bool:
        """Returns whether the index has every session: ``sessionward index`` has finished, and no note has failed since."""
        return bool(ask(self._store.using, "SELECT 1 FROM {table} WHERE {name} = %s", [COMPLETE], **_STATE))

    def _saved(self, instance: Any, using: str, **_: object) -> None:
        user_id = claimed_user(instance.get_decoded())
        if user_id is not None and (instance.session_key, user_id) not in self._noted:
            transaction.on_commit(partial(self._try_to_note, instance.session_key, user_id), using=using, robust=True)

    def _try_to_note(self, key: str, user_id: str) -> None:
        try:
            self.note(key, user_id)
        except Exception as failure:  # the application's response does not depend on it
            log.error(
                "the index has missed a session, so it is not complete any more (%s); run `sessionward index` again", type(failure).__name__
            )
            with suppress(Exception):
                State.objects.using(self._store.using).filter(name=COMPLETE).delete()


def write(using: str, entries: Iterable[tuple[str, str]]) -> None:
    """Writes entries into the index. A key that is in it already gets the new user."""
    again = "ON DUPLICATE KEY UPDATE {user} = VALUES({user})"
    if connections[using].vendor != "mysql":
        again = "ON CONFLICT ({key}) DO UPDATE SET {user} = excluded.{user}"
    rows = ((key, user_digest(user_id)) for key, user_id in entries)
    change_each(using, f"INSERT INTO {{table}} ({{key}}, {{user}}) VALUES (%s, %s) {again}", rows, **_NAMES)


_STATE: Final = {"table": State._meta.db_table, "name": "name"}
_NAMES: Final = {"table": Entry._meta.db_table, "key": "session_key", "user": "user"}


def fill(store: TableStore | KeyValueStore, *, batch: int, progress: Callable[[int], object]) -> int:
    """Reads all live sessions once, in the order of their keys, from where the last run has stopped. Returns how many.

    It marks the index as complete at the end. It calls ``progress`` after each batch, with the number of sessions in it.
    """
    ensure(store.using)
    states = State.objects.using(store.using)
    states.filter(name=COMPLETE).delete()
    last = states.filter(name=WALKED).first()
    after, total = last.value if last else "", 0
    while (page := store.walk(after, batch)).last is not None:
        after = page.last
        with atomic(using=store.using):
            write(store.using, page.named)
            states.update_or_create(name=WALKED, defaults={"value": after})
        total += page.looked_at
        progress(page.looked_at)
    mark_complete(store)
    return total


def mark_complete(store: TableStore | KeyValueStore) -> None:
    """Marks the index as complete."""
    ensure(store.using)
    states = State.objects.using(store.using)
    states.update_or_create(name=COMPLETE, defaults={"value": timezone.now().isoformat()})
    states.filter(name=WALKED).delete()
