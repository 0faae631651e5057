"""Revokes the sessions of a user, in every engine. Import this module only after Django is set up."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final

from django.db import transaction

from sessionward.backends.django import tables
from sessionward.backends.django.attended import attended, refuse_inside
from sessionward.backends.django.index import Index, any_revoked, digest_of, revoke_rows
from sessionward.backends.django.key_value import KeyValueStore
from sessionward.backends.django.requests import coming_with
from sessionward.backends.django.sessions import is_key
from sessionward.backends.django.store import TableStore
from sessionward.backends.django.timeouts import lock_timeout, read_timeout, transaction_timeout
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
        """Records which user a session with a new key has, or revokes it if one of ``old`` was revoked since the request began."""
        key, using = new.reveal(), self._store.using
        if self._store.revocation_sticks and tables.are_missing(using):
            return True
        with read_timeout(using, timeout):
            user = claimed_user(self._store.read([key]).get(key, {})) if is_key(key) else None
        if user is None:  # an anonymous session, or one that :meth:`Index.note` has revoked already
            return not self.include(key)
        tables.ensure(using)
        with coming_with(frozenset(credential.reveal() for credential in old), age(), timeout):
            return self._index.note(key, user)

    def revoke(self, user_id: str, *, keep: str | None, timeout: float) -> int:
        """Revokes all sessions of a user except ``keep``. Returns how many were live."""
        using = self._store.using
        refuse_inside(using)
        with attended(self._store.using, timeout, alone=True) as phase, lock_timeout(using, timeout):
            tables.ensure(using)
            keys, gone, looks = self._looked_through(user_id, timeout), set[str](), 1
            while True:
                try:
                    others, count = self._transact(user_id, keys, gone, keep, phase, timeout, last=looks >= LOOKS)
                    break
                except _NoLockYet:
                    tables.add_lock(using, user_id)
                except _HaveMoved as moved:
                    gone |= moved.keys
                    keys, looks = self._looked_through(user_id, timeout), looks + 1
            with suppress(Exception):  # without a time it counts as a revocation of the moment when we next read it
                tables.date_revocation(using, user_id)
            self._store.evict(others)
        return count

    def _transact(
        self, user_id: str, keys: set[str], gone: set[str], keep: str | None, phase: list[str], timeout: float, *, last: bool
    ) -> tuple[Sequence[str], int]:
        using = self._store.using
        with atomic(using=using, durable=True):
            transaction_timeout(using, timeout)
            if not tables.lock(using, user_id):
                raise _NoLockYet
            others, count = self._revoke_locked(user_id, keys, gone, keep, last=last)
            phase.append("the commit has been sent")
        return others, count

    def _looked_through(self, user_id: str, timeout: float) -> set[str]:
        """Returns the keys of the user that the index may lack. It can take seconds, so we call it before we lock anything."""
        if not self._listable or (self._trusts_index and self._index.is_complete()):
            return set()
        with read_timeout(self._store.using, timeout):
            return self._store.scan(user_id, self._scan_limit)

    def _revoke_locked(self, user_id: str, keys: set[str], gone: set[str], keep: str | None, *, last: bool) -> tuple[Sequence[str], int]:
        """Locks the sessions, reads them again, and revokes them. All callers do so in a transaction and in the same order.

        It revokes every session that names the user, and counts those that would sign the user in.
        """
        using, users = self._store.using, Users()
        indexed = self._index.keys_of(user_id)
        sought = keys | indexed | self._store.hints(user_id)  # a hint may be wrong: the rows are read below
        if keep is not None:
            sought.add(keep)
        found = self._store.read(sought, lock=True)
        revoked = set[bytes]() if self._store.revocation_sticks else tables.recorded_among(using, map(digest_of, found))
        named = {key: data for key, data in found.items() if claimed_user(data) == user_id and digest_of(key) not in revoked}
        if keep is not None:  # P2: the second look, under the lock
            own = named.pop(keep, {})
            if users.authenticated_user(own) != user_id or self.shut_out(keep, user_id):
                raise SessionRevoked("the caller's session is not live any more")
        count = sum(users.is_live(data) for data in named.values())
        missed = sought.difference(found, [keep] if keep is not None else [])
        if not last and not missed.isdisjoint(keys):  # requests in flight may have given them new keys
            raise _HaveMoved(missed & keys)
        if not self._listable:
            self._close(user_id, keep)
        # A key without a session may get one again, if the cache missed it. Or the session has a new key by now, which the door
        # will check against this record.
        tables.record(using, map(digest_of, gone | (missed & (keys | indexed) if self._store.revocation_sticks else missed)))
        if len(indexed) - len(named) > self._stale:
            # A recorded key never names a session again. Where we record nothing, that holds only for a key without a row.
            if isinstance(self._store, TableStore) and self._store.revocation_sticks:
                self._index.forget(self._store.absent(missed))
            else:
                self._index.forget(indexed.intersection(missed))
        tables.begin_revocation(using, user_id)
        revoke_rows(self._store, named)
        return list(named), count

    def shut_out(self, key: str, user_id: str) -> bool:
        """Returns whether the store cannot list its sessions, we have not seen this one, and we refuse the unseen ones of its user."""
        return not self._listable and key in self._index.unseen([key]) and tables.is_closed(self._store.using, user_id)

    def _close(self, user_id: str, keep: str | None) -> None:
        """Refuses, from now on, the sessions of this user that we have not noted."""
        tables.close(self._store.using, user_id)
        if keep is not None:
            self._index.write(keep, user_id)


class _NoLockYet(Exception):
    """The user has no row to lock yet."""


class _HaveMoved(Exception):
    """Sessions that we have found before we took the lock, but not again under it."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__()
        self.keys = keys
