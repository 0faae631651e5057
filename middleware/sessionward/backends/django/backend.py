"""The backend for a Django project: it revokes sessions that Django itself keeps, and leaves the login to Django."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections, transaction
from django.utils import timezone

from sessionward.backends.django.store import TableStore, is_key, store_of
from sessionward.backends.django.timeouts import lock_timeout, read_timeout, transaction_timeout
from sessionward.backends.django.users import Users, claimed_user
from sessionward.credential.carriers import Carrier
from sessionward.credential.token import Credential
from sessionward.errors import BackendUnavailable, ConfigurationError, OutcomeUnknown, SessionRevoked, UsageError
from sessionward.session.session import Session, public_id, user_key
from sessionward.settings import Duration, seconds

atomic: Any = transaction.atomic

STALE: Final = 50
"""How many keys without a session the index may hold for a user before we remove them."""
SCAN_LIMIT: Final = 100_000
"""The largest number of sessions that we read to find those of one user, where the index is not complete. It takes about 2 s."""


class DjangoBackend:
    """The sessions of a Django project, in any engine that keeps them on the server; sync.

    Make it after ``get_wsgi_application()`` or ``get_asgi_application()``. It takes everything else from Django's settings.

    With the engine ``db`` the backend does nothing in an ordinary request. It revokes a session by renaming its row: the data
    stay, and a request in flight cannot restore the session. The engines ``cached_db``, ``cache`` and ``file`` may write a
    revoked session back. For them the backend records the digest of each revoked key in its own table, and the middleware
    removes a cookie with such a key from the request. Most caches cannot list their sessions. There the backend notes each
    session when it first sees it. Once it has revoked a user's sessions, it refuses those of this user that it has not seen.

    ``scan_limit``: the largest number of sessions that the backend reads to find those of the user. Beyond it the caller gets
    503, and the log says why. After one run of ``sessionward index`` the backend does not have to read them. ``timeout``: how
    long a revocation waits for locks, in seconds or as a ``timedelta``.

    The backend creates its tables when it first needs them, in the database of the sessions. Their names begin with
    ``sessionward_django_``. The index holds session keys in clear, as ``django_session`` does; the record of revoked sessions
    holds digests.

    The constructor raises ``ConfigurationError`` if Django is not set up, or if SESSION_ENGINE is ``signed_cookies``. All
    methods raise ``BackendUnavailable`` when Django's database or cache cannot answer. The backend has no ``login()``.
    """

    blocking: ClassVar[bool] = True
    which_revoked: Callable[[Collection[Credential]], Collection[Credential]]
    """Only with an engine that may write a revoked session back."""
    note: Callable[[Credential], None]
    """Only with an engine whose sessions are not rows of a table."""

    def __init__(self, *, scan_limit: int = SCAN_LIMIT, timeout: Duration = 2.0) -> None:
        if not apps.ready:
            raise ConfigurationError("backend: Django is not set up yet; make DjangoBackend() after get_wsgi_application()")
        try:
            self._store = store_of()
        except (ImproperlyConfigured, ImportError) as error:
            raise ConfigurationError(f"backend: SESSION_ENGINE cannot be used: {error}") from None
        if type(scan_limit) is not int or scan_limit < 0:
            raise ConfigurationError("scan_limit: must be a number of sessions, 0 or more")
        from sessionward.backends.django import index, tables  # these define models, which needs Django to be set up

        self._tables = tables
        self._index = index.Index(self._store)
        self._index.watch()
        self._scan_limit = scan_limit
        self._listable = self._store.listable
        self._timeout = _checked(timeout)
        self.carriers = [Carrier.cookie(settings.SESSION_COOKIE_NAME)]
        if not self._store.revocation_sticks:
            self.which_revoked = self._which_revoked
        if not isinstance(self._store, TableStore):
            self.note = self._note

    def within(self, timeout: float, /) -> DjangoBackend:
        """Returns the same backend with another timeout in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        if hasattr(self, "which_revoked"):
            view.which_revoked = view._which_revoked
        if hasattr(self, "note"):
            view.note = view._note
        return view

    def find(self, credential: Credential, /) -> Session | None:
        key = credential.reveal()
        if not is_key(key):
            return None
        using = self._store.using
        with _attended(alone=True), lock_timeout(using, self._timeout):
            if not self._store.revocation_sticks:
                self._tables.ensure(using)
            with read_timeout(using, self._timeout):
                if not self._store.revocation_sticks and self._revoked_among([credential.digest]):
                    return None
                data = self._store.read([key]).get(key)
                user = None if data is None else Users().authenticated_user(data)
                if user is None or self._is_shut_out(key, user):
                    return None
        return Session(id=public_id(credential), user_id=user_key(user), credential=credential)

    def revoke_others(self, session: Session, /) -> int:
        assert session.credential is not None
        return self._revoke(session.user_id, keep=session.credential.reveal())

    def revoke_all(self, user_id: str | int, /) -> int:
        """Revokes all sessions of a user, from a job or a shell, or after a changed password. Returns how many were live."""
        return self._revoke(user_key(user_id), keep=None)

    def purge(self, older_than: Duration) -> int:
        """Deletes the records of sessions that were revoked more than ``older_than`` ago (seconds or a ``timedelta``).

        Returns how many. Never pass less than a session can live: its cookie would be valid again.
        """
        limit = timezone.now() - timedelta(seconds=seconds(older_than))
        with _attended():
            self._tables.ensure(self._store.using)
            return int(self._tables.Ended.objects.using(self._store.using).filter(ended_at__lt=limit).delete()[0])

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        with _attended():
            revoked = self._revoked_among([credential.digest for credential in credentials])
            live = [credential for credential in credentials if credential.digest not in revoked]
            if self._listable or not live:
                return [credential for credential in credentials if credential.digest in revoked]
            unseen = self._index.unseen([credential.reveal() for credential in live])
            return [credential for credential in credentials if credential.digest in revoked or self._is_refused(credential, unseen)]

    def _is_refused(self, credential: Credential, unseen: Collection[str]) -> bool:
        """Returns whether the store cannot list this session, we have not seen it before, and its user's sessions were revoked."""
        key = credential.reveal()
        user = claimed_user(self._store.read([key]).get(key, {})) if key in unseen else None
        return user is not None and not self._index.admit(key, user)

    def _note(self, credential: Credential, /) -> None:
        key = credential.reveal()
        with _attended():
            user = claimed_user(self._store.read([key]).get(key, {}))
            if user is not None:
                self._index.note(key, user)

    def _revoked_among(self, digests: Collection[bytes]) -> set[bytes]:
        using = self._store.using
        self._tables.ensure(using)
        rows = self._tables.Ended.objects.using(using).filter(digest__in=[digest.hex() for digest in digests])
        return {bytes.fromhex(digest) for digest in rows.values_list("digest", flat=True)}

    def _revoke(self, user_id: str, *, keep: str | None) -> int:
        using = self._store.using
        _refuse_inside(using)
        with _attended(alone=True) as phase, lock_timeout(using, self._timeout):
            self._tables.ensure(using)
            keys = self._looked_through(user_id)
            try:
                others = self._transact(user_id, keys, keep, phase)
            except _NoLockYet:
                self._tables.add_lock(using, user_id)
                others = self._transact(user_id, keys, keep, phase)
            self._store.evict(others)
        return len(others)

    def _transact(self, user_id: str, keys: set[str], keep: str | None, phase: list[str]) -> list[str]:
        using = self._store.using
        with atomic(using=using, durable=True):
            transaction_timeout(using, self._timeout)
            if not self._tables.lock(using, user_id):
                raise _NoLockYet
            others = self._revoke_locked(user_id, keys, keep)
            phase.append("the commit has been sent")
        return others

    def _looked_through(self, user_id: str) -> set[str]:
        """Returns the keys of the user that the index may lack. It can take seconds, so we call it before we lock anything."""
        if not self._listable or self._index.is_complete():
            return set()
        with read_timeout(self._store.using, self._timeout):
            return self._store.scan(user_id, self._scan_limit)

    def _revoke_locked(self, user_id: str, keys: set[str], keep: str | None) -> list[str]:
        """Locks the sessions, reads them again, and revokes them. All callers do so in a transaction and in the same order."""
        using, users = self._store.using, Users()
        indexed = self._index.keys_of(user_id)
        sought = keys | indexed | self._store.hints(user_id)  # a hint may be wrong: the rows are read below
        if keep is not None:
            sought.add(keep)
        found = self._store.read(sought, lock=True)
        revoked = set() if self._store.revocation_sticks else self._revoked_among([_digest(key) for key in found])
        live = [key for key, data in found.items() if _digest(key) not in revoked and users.authenticated_user(data) == user_id]
        if keep is not None and (keep not in live or self._is_shut_out(keep, user_id)):  # P2: the second look, under the lock
            raise SessionRevoked("the caller's session is not live any more")
        others = [key for key in live if key != keep]
        missed = {key for key in sought.difference(found) if key != keep}
        if not self._listable:
            self._close(user_id, keep)
        if not self._store.revocation_sticks:
            # A key without a session may get one again: the cache missed it, or a request in flight is changing the key just now.
            self._tables.record(using, [_digest(key) for key in (*others, *missed)])
        self._store.revoke(others)
        if len(indexed) - len(live) > STALE:
            # A recorded key never names a session again. Where we record nothing, that holds only for a key without a row.
            if isinstance(self._store, TableStore) and self._store.revocation_sticks:
                self._index.forget(self._store.absent(missed))
            else:
                self._index.forget(indexed.intersection(missed))
        return others

    def _is_shut_out(self, key: str, user_id: str) -> bool:
        """Returns whether the store cannot list its sessions, we have not seen this one, and we refuse the unseen ones of its user."""
        return not self._listable and key in self._index.unseen([key]) and self._tables.is_closed(self._store.using, user_id)

    def _close(self, user_id: str, keep: str | None) -> None:
        """Refuses, from now on, the sessions of this user that we have not noted."""
        self._tables.close(self._store.using, user_id)
        if keep is not None:
            self._index.write(keep, user_id)


def _checked(timeout: Duration) -> float:
    try:
        wait = seconds(timeout)
    except TypeError as error:
        raise ConfigurationError(f"timeout: {error}") from None
    if not 0 < wait < math.inf:
        raise ConfigurationError("timeout: must be more than 0 seconds")
    return wait


def _refuse_inside(using: str) -> None:
    """Raises ``UsageError`` inside a transaction of the application: its rollback would make revoked sessions live again.

    The transaction of a TestCase is allowed: its rollback removes the sessions as well.
    """
    connection = connections[using]
    if connection.in_atomic_block and not connection.atomic_blocks[-1]._from_testcase:
        raise UsageError(
            "sessions cannot be revoked inside transaction.atomic(), which may roll back; revoke them in transaction.on_commit(...)"
        )


def _digest(key: str) -> bytes:
    return Credential(key.encode("latin-1")).digest


class _NoLockYet(Exception):
    """The user has no row to lock yet, since their sessions were never revoked."""


@contextmanager
def _attended(*, alone: bool = False) -> Generator[list[str]]:
    """Runs code outside of Django's request signals: closes old connections as Django does, and raises our own errors.

    ``alone``: the application answers no request in this thread. Otherwise the application may have an open cursor on a
    connection that is open now, so we leave that connection to Django.
    """
    phase: list[str] = []
    kept = [] if alone else [connection for connection in connections.all(initialized_only=True) if connection.connection is not None]
    if alone:
        _close_old(kept)
    try:
        yield phase
    except Error as failure:
        kind = OutcomeUnknown if phase else BackendUnavailable
        raise kind(f"Django's database failed with {type(failure).__name__}") from None
    finally:
        _close_old(kept)


def _close_old(kept: Collection[Any]) -> None:
    """Does what Django's ``close_old_connections()`` does, except for ``kept`` and for connections inside a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block and connection not in kept:
            connection.close_if_unusable_or_obsolete()
