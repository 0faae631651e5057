"""Revokes the sessions of a user, in every engine. Import this module only after Django is set up."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from sessionward.backends.django import tables
from sessionward.backends.django.attended import attended, refuse_inside
from sessionward.backends.django.index import Begun, Index, any_revoked, digest_of, revoke_rows
from sessionward.backends.django.key_value import KeyValueStore
from sessionward.backends.django.requests import coming_with
from sessionward.backends.django.sessions import Known, id_of, is_key
from sessionward.backends.django.store import TableStore
from sessionward.backends.django.timeouts import lock_timeout, read_timeout
from sessionward.backends.django.users import Users, claimed_user
from sessionward.credential.token import Credential
from sessionward.errors import SessionRevoked

atomic: Any = transaction.atomic

LOOKS: Final = 3
"""How often we search for the sessions of a user, if some of them get a new key before we lock them."""


class Revocations:
    """Revokes sessions, and checks which were revoked. Every change of a user's sessions takes the lock of that user."""

    def __init__(self, store: TableStore | KeyValueStore, index: Index, *, scan_limit: int, stale: int, trusts_index: bool = True) -> None:
        self._store = store
        self._index = index
        self._scan_limit = scan_limit
        self._stale = stale
        self._trusts_index = trusts_index
        self._listable = store.listable

    def beside_the_application(self) -> Revocations:
        """Returns the same for a process that does not save the application's sessions, so that the index may lack some."""
        return Revocations(self._store, self._index, scan_limit=self._scan_limit, stale=self._stale, trusts_index=False)

    def include(self, key: str) -> bool:
        """Returns whether this session was revoked."""
        return any_revoked(self._store, [key])

    def admit_renewed(self, new: Credential, old: Collection[Credential], age: Callable[[], float], timeout: float) -> bool:
        """Records which user a session with a new key has, or revokes it if one of ``old`` was revoked since the request began.

        Returns whether the response may set the new key. It may not if one of ``old`` is recorded as revoked, for any user.
        """
        key, using = new.reveal(), self._store.using
        if self._store.revocation_sticks and tables.are_missing(using):
            return True
        with read_timeout(using, timeout):
            user = claimed_user(self._store.read([key]).get(key, {})) if is_key(key) else None
        if user is None:  # an anonymous session, or one that :meth:`Index.note` has revoked already
            return not self.include(key) and not self._recorded_any(old)
        tables.ensure(using)
        with coming_with(frozenset(credential.reveal() for credential in old), age(), timeout):
            return self._index.note(key, user) and not self._recorded_any(old)

    def _recorded_any(self, credentials: Collection[Credential]) -> bool:
        """Returns whether one of these is recorded as revoked, where the record decides."""
        return not self._store.revocation_sticks and bool(tables.recorded_among(self._store.using, [each.digest for each in credentials]))

    def sessions_of(self, user_id: str, timeout: float) -> dict[str, Known]:
        """Returns the live sessions of a user, by their keys: those that :meth:`revoke` would revoke and count."""
        using, users = self._store.using, Users()
        tables.ensure(using)
        self._index.settle()
        with read_timeout(using, timeout):
            keys, is_complete = self._index.keys_of(user_id)
            only_noted = self._counts_only_noted()
            if self._listable and not only_noted and not (is_complete and self._trusts_index):
                keys |= self._store.scan(user_id, self._scan_limit)
            if not only_noted and (self._listable or not tables.is_closed(using, user_id)):  # or we refuse what is not in the index
                keys |= self._store.hints(user_id)
            found = self._store.known(keys)
            revoked = set[bytes]() if self._store.revocation_sticks else tables.recorded_among(using, map(digest_of, found))
            return {
                key: known
                for key, known in found.items()
                if claimed_user(known.data) == user_id and digest_of(key) not in revoked and users.is_live(known.data)
            }

    def revoke(self, user_id: str, *, keep: str | None, timeout: float, only: UUID | None = None) -> int:
        """Revokes all sessions of a user except ``keep``, or of these the one with the id ``only``. Returns how many were live."""
        using = self._store.using
        refuse_inside(using)
        with attended(self._store.using, timeout, alone=True) as phase, lock_timeout(using, timeout):
            tables.ensure(using)
            self._index.settle()
            known = _Known(None if self._listable else set(), only)
            if self._listable and not self._trusts_index and not self._counts_only_noted():
                self._look_through(user_id, known, timeout)
            while True:
                try:
                    others, count = self._transact(user_id, known, keep, phase, timeout)
                    break
                except _NoLockYet:
                    tables.add_lock(using, user_id)
                except _NotLookedThrough:
                    self._look_through(user_id, known, timeout)
                except _HaveMoved as moved:
                    known.gone |= moved.keys
                    self._look_through(user_id, known, timeout)
                except IntegrityError:
                    if known.again or phase:
                        raise
                    known.again = True
            with suppress(Exception):  # without a time it counts as a revocation of the moment when we next read it
                tables.date_revocation(using, user_id)
            self._store.evict(others)
        return count

    def _transact(self, user_id: str, known: _Known, keep: str | None, phase: list[str], timeout: float) -> tuple[Sequence[str], int]:
        with atomic(using=self._store.using, durable=True):
            begun = self._index.begin_revocation(user_id, timeout, keep=keep, read=not known.keys)
            if known.keys is None and not begun.is_complete and not begun.only_noted and not known.has_chosen(begun.indexed):
                raise _NotLookedThrough
            if not begun.locked:
                raise _NoLockYet
            others, count = self._revoke_locked(user_id, begun, known, keep)
            phase.append("the commit has been sent")
        return others, count

    def _look_through(self, user_id: str, known: _Known, timeout: float) -> None:
        """Finds the keys of the user that the index may lack. It can take seconds, so we call it while we lock nothing."""
        with read_timeout(self._store.using, timeout):
            known.keys = self._store.scan(user_id, self._scan_limit)
        known.looks += 1

    def _revoke_locked(self, user_id: str, begun: Begun, known: _Known, keep: str | None) -> tuple[Sequence[str], int]:
        """Locks the sessions, reads them again, and revokes them. All callers do so in a transaction and in the same order.

        It revokes every session that names the user, and counts those that would sign the user in.
        """
        using, users = self._store.using, Users()
        keys, indexed = set[str]() if begun.only_noted else known.keys or set[str](), begun.indexed
        hints = set[str]() if begun.only_noted else self._store.hints(user_id)
        sought = keys | indexed | hints  # a hint may be wrong: the rows are read below
        if keep is not None:
            sought.add(keep)
        found = self._store.read(sought, lock=True) if begun.read is None else begun.read()
        revoked = set[bytes]() if self._store.revocation_sticks else tables.recorded_among(using, map(digest_of, found))
        named = {key: data for key, data in found.items() if claimed_user(data) == user_id and not (revoked and digest_of(key) in revoked)}
        if keep is not None:  # P2: the second look, under the lock
            own = named.pop(keep, {})
            if users.authenticated_user(own) != user_id or self.shut_out(keep, user_id):
                raise SessionRevoked("the caller's session is not live any more")
        missed = sought.difference(found, [keep] if keep is not None else [])
        if known.only is not None:
            named = {key: data for key, data in named.items() if id_of(key) == known.only}
            missed = {key for key in missed if id_of(key) == known.only}
        count = sum(users.is_live(data) for data in named.values())
        if known.looks < LOOKS and not missed.isdisjoint(keys):  # requests in flight may have given them new keys
            raise _HaveMoved(missed & keys)
        if not self._listable and known.only is None:
            self._close(user_id, keep)
        # A key without a session may get one again, if the cache missed it. Or the session has a new key by now, which the door
        # will check against this record.
        tables.record(using, map(digest_of, known.gone | (missed & (keys | indexed) if self._store.revocation_sticks else missed)))
        if known.only is None and len(indexed) - len(named) > self._stale:
            # A recorded key never names a session again. Where we record nothing, that holds only for a key without a row.
            if isinstance(self._store, TableStore) and self._store.revocation_sticks:
                self._index.forget(self._store.absent(missed))
            else:
                self._index.forget(indexed.intersection(missed))
        revoke_rows(self._store, named, again=known.again)
        return list(named), count

    def shut_out(self, key: str, user_id: str) -> bool:
        """Returns whether we have not noted this session, and refuse those of its user that we have not: see :meth:`_close`."""
        if self._store.revocation_sticks:
            return False
        closed = tables.EVERYBODY if self._listable else user_id
        return tables.is_closed(self._store.using, closed) and key in self._index.unseen([key])

    def _counts_only_noted(self) -> bool:
        """Returns whether all sessions were revoked that the index does not have."""
        return not self._store.revocation_sticks and tables.is_closed(self._store.using, tables.EVERYBODY)

    def _close(self, user_id: str, keep: str | None) -> None:
        """Refuses, from now on, the sessions of this user that we have not noted."""
        tables.close(self._store.using, user_id)
        if keep is not None:
            self._index.write(keep, user_id)


@dataclass(slots=True)
class _Known:
    """What a revocation has found out so far, and keeps when it begins anew.

    ``keys``: those of the user, from the last look through all sessions. None: we have not looked. ``only``: the id of the one
    session that it revokes, or None for all.
    ``gone``: those that were not there any more under the lock. ``again``: a session of the user was revoked before.
    """

    keys: set[str] | None
    only: UUID | None = None
    gone: set[str] = field(default_factory=set[str])
    looks: int = 0
    again: bool = False

    def has_chosen(self, keys: Collection[str]) -> bool:
        """Returns whether the one session is among these, so that we need not look for more."""
        return self.only is not None and any(id_of(key) == self.only for key in keys)


class _NotLookedThrough(Exception):
    """The index may lack sessions of the user."""


class _NoLockYet(Exception):
    """The user has no row to lock yet."""


class _HaveMoved(Exception):
    """Sessions that we have found before we took the lock, but not again under it."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__()
        self.keys = keys
