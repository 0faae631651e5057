"""The index of a project's sessions: it says which user each one had when we last saw it. We verify it by reading the session."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.db import connections, transaction
from django.db.models.signals import post_save

from sessionward.backends.django.completeness import IS_COMPLETE, mark_missed
from sessionward.backends.django.key_value import KeyValueStore
from sessionward.backends.django.raw_sql import Statement, ask, change_each, in_sets
from sessionward.backends.django.requests import Came, keys_that_came
from sessionward.backends.django.sessions import Data
from sessionward.backends.django.store import TableStore
from sessionward.backends.django.tables import (
    EVERYBODY,
    HAS_ALL,
    Entry,
    add_lock,
    begin_revocation,
    ensure,
    is_closed,
    is_revoked_within,
    lock,
    record,
    recorded_among,
    user_digest,
)
from sessionward.backends.django.timeouts import lock_timeout, read_committed
from sessionward.backends.django.users import claimed_user
from sessionward.credential.token import Credential
from sessionward.session.session import CLOCK_RATE

log = logging.getLogger("sessionward")


class Begun(NamedTuple):
    """The beginning of a revocation: whether it has the user's lock, and what the index says under that lock.

    ``indexed``: the user's keys. ``is_complete``: the index has every session, since ``sessionward index`` has finished, and no
    note has failed since. ``only_noted``: all sessions that the index does not have were revoked at once. ``read``: decodes the
    sessions with those keys, and the one to keep, if their rows have come along.
    """

    locked: bool
    indexed: set[str]
    is_complete: bool
    only_noted: bool
    read: Callable[[], Mapping[str, Data]] | None


class Index:
    """Notes sessions when we see them, and finds the keys of a user.

    It keeps nothing in memory, since another process may change or delete a row.
    """

    def __init__(self, store: TableStore | KeyValueStore) -> None:
        self._store = store
        self._owes = False
        """Whether a session was missed, and the database does not know it yet."""

    def watch(self) -> None:
        """Notes each session that this process saves. Requests that save no session do not get slower."""
        if isinstance(self._store, TableStore):
            post_save.connect(self._saved, sender=self._store.model, weak=False, dispatch_uid="sessionward")
        elif apps.is_installed("allauth.headless"):  # it sends keys in response bodies, which no door reads
            self._store.watch(self._kept)

    def note(self, key: str, user_id: str, *, is_new: bool = False) -> bool:
        """Records which user a session has, unless the index says so already. Returns False if :meth:`renew` revokes the session.

        Returns False too if only noted sessions count, and this one is of before. ``is_new``: it has just been created.

        Where the middleware checks the session again after the application, this takes the lock of the user. So a concurrent
        revocation either finds the new session, or has revoked the session that it comes from. If it fails, the index is not
        complete any more.
        """
        try:
            return self._noted(key, user_id, is_new=is_new)
        except Exception as failure:
            if self._store.listable:
                self._miss(failure)
            raise

    def _miss(self, failure: Exception) -> None:
        log.error(
            "the index has missed a session, so it is not complete any more (%s); run `sessionward index` again", type(failure).__name__
        )
        self._owes = True
        with suppress(Exception):  # a revocation by this process tries again before it asks the index
            self.settle()

    def settle(self) -> None:
        """Tells the database that a session was missed, if that was not possible at the time. Call it before you ask the index."""
        if self._owes:
            mark_missed(self._store.using)
            self._owes = False

    def _noted(self, key: str, user_id: str, *, is_new: bool) -> bool:
        using = self._store.using
        ensure(using)
        came = keys_that_came()
        if came is not None and came.keys - {key}:
            return self.renew(key, user_id, came)
        if ask(using, "SELECT {user} FROM {table} WHERE {key} = %s", [key], **_NAMES) == [(user_digest(user_id),)]:
            return True
        if self._store.revocation_sticks:
            write(using, [(key, user_id)])
        else:
            add_lock(using, user_id)
            with read_committed(using):
                lock(using, user_id)
                if self._is_of_before(key, came, is_new=is_new):
                    return False
                write(using, [(key, user_id)])
        return True

    def _is_of_before(self, key: str, came: Came | None, *, is_new: bool) -> bool:
        """Returns whether a session that is not in the index may be older than the last revocation of all sessions.

        Then a request in flight, or a job that has read the session before, saves it. The caller must have the lock of a user.
        """
        using = self._store.using
        if not is_closed(using, EVERYBODY):
            return False
        if came is not None:
            return is_revoked_within(using, EVERYBODY, came.age() * CLOCK_RATE)
        if isinstance(self._store, TableStore) and self._store.revoked_among([key]):  # saved anew under its old key
            return True
        return not is_new

    def renew(self, key: str, user_id: str, came: Came) -> bool:
        """Records which user a session with a new key has, or revokes the session and returns False.

        It revokes the session if a key of the request was revoked after the request began. It checks and writes in one
        transaction under the user's lock. So a concurrent revocation either finds the new key or has revoked the old one.
        """
        using = self._store.using
        add_lock(using, user_id)
        with lock_timeout(using, came.timeout), read_committed(using, came.timeout):
            lock(using, user_id)
            age = came.age() * CLOCK_RATE
            stands = not is_revoked_within(using, EVERYBODY, age) and not (
                is_revoked_within(using, user_id, age) and any_revoked(self._store, came.keys - {key})
            )
            if stands:
                write(using, [(key, user_id)])
            else:
                revoke_rows(self._store, [key])
        if not stands:
            self._store.evict([key])
        return stands

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
        return True

    def write(self, key: str, user_id: str) -> None:
        """Records which user a session has. The caller must be inside a transaction."""
        write(self._store.using, [(key, user_id)])

    def keys_of(self, user_id: str) -> tuple[set[str], bool]:
        """Returns the keys of a user, and whether the index has every session. A row may say so although its session is gone."""
        complete = bool(ask(self._store.using, IS_COMPLETE.template, IS_COMPLETE.values, **IS_COMPLETE.names))  # read first
        found = ask(self._store.using, "SELECT {key} FROM {table} WHERE {user} = %s", [user_digest(user_id)], **_NAMES)
        return {key for (key,) in found}, complete

    def begin_revocation(self, user_id: str, timeout: float, *, keep: str | None, read: bool) -> Begun:
        """Locks a user at the beginning of a transaction, unless there is no row to lock yet, and then reads the index.

        ``read``: also locks and reads the sessions, if the store can do that in the same round trip.
        """
        keys = Statement("SELECT {key} FROM {table} WHERE {user} = %s", [user_digest(user_id)], _NAMES)
        table = self._store if read and isinstance(self._store, TableStore) else None
        reading = None if table is None else table.reading(keys, keep)
        then = [keys, IS_COMPLETE] if reading is None else [keys, IS_COMPLETE, reading]
        if not self._store.revocation_sticks:
            then.append(HAS_ALL)
        locked, (found, complete, *along) = begin_revocation(self._store.using, user_id, timeout, then)
        only_noted = not self._store.revocation_sticks and bool(along.pop().rows)
        decoded = partial(table.decoded, along[0].rows) if table is not None and along else None
        return Begun(locked, {key for (key,) in found.rows}, bool(complete.rows), only_noted, decoded)

    def forget(self, keys: Collection[str]) -> None:
        """Deletes keys that will never name a session again."""
        for some in in_sets(keys):
            Entry.objects.using(self._store.using).filter(session_key__in=some).delete()

    def unseen(self, keys: Collection[str]) -> set[str]:
        """Returns those of the keys that are not in the index."""
        found = Entry.objects.using(self._store.using).filter(session_key__in=keys).values_list("session_key", flat=True)
        return set(keys).difference(found)

    def _saved(self, instance: Any, using: str, created: bool, **_: object) -> None:
        self._note_later(instance.session_key, claimed_user(instance.get_decoded()), using, is_new=created)

    def _kept(self, key: str, data: Mapping[str, Any], is_new: bool) -> None:
        self._note_later(key, claimed_user(data), self._store.using, is_new=is_new)

    def _note_later(self, key: str, user_id: str | None, using: str, *, is_new: bool) -> None:
        if user_id is not None:
            transaction.on_commit(partial(self._try_to_note, key, user_id, is_new=is_new), using=using, robust=True)

    def _try_to_note(self, key: str, user_id: str, *, is_new: bool) -> None:
        with suppress(Exception):  # :meth:`note` has logged it; the application's response does not depend on it
            self.note(key, user_id, is_new=is_new)


def digest_of(key: str) -> bytes:
    """Returns the digest that the record of revoked sessions has for a key."""
    return Credential(key.encode("latin-1")).digest


def any_revoked(store: TableStore | KeyValueStore, keys: Collection[str]) -> bool:
    """Returns whether one of these sessions was revoked: we have recorded its digest, or renamed its row."""
    if recorded_among(store.using, map(digest_of, keys)):
        return True
    return isinstance(store, TableStore) and store.revocation_sticks and bool(store.revoked_among(keys))


def revoke_rows(store: TableStore | KeyValueStore, keys: Collection[str], *, again: bool = True) -> None:
    """Revokes these sessions. The caller must be inside a transaction.

    ``again``: some may have been revoked before. Without it we ask the database nothing about that, and it raises
    ``IntegrityError`` if one was.
    """
    if not store.revocation_sticks:
        record(store.using, map(digest_of, keys))
    if again:
        store.make_room(keys)
    store.revoke(keys)


def write(using: str, entries: Iterable[tuple[str, str]]) -> None:
    """Writes entries into the index. A key that is in it already gets the new user."""
    again = "ON DUPLICATE KEY UPDATE {user} = VALUES({user})"
    if connections[using].vendor != "mysql":
        again = "ON CONFLICT ({key}) DO UPDATE SET {user} = excluded.{user}"
    rows = ((key, user_digest(user_id)) for key, user_id in entries)
    change_each(using, f"INSERT INTO {{table}} ({{key}}, {{user}}) VALUES (%s, %s) {again}", rows, **_NAMES)


_NAMES: Final = {"table": Entry._meta.db_table, "key": "session_key", "user": "user"}
