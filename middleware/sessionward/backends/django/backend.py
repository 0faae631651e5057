"""The backend for a Django project: it revokes sessions that Django itself keeps, and leaves the login to Django."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from sessionward.backends.bounds import purgeable_age
from sessionward.backends.django.attended import attended
from sessionward.backends.django.sessions import Known, id_of, is_key
from sessionward.backends.django.site import carriers_of
from sessionward.backends.django.store import TableStore, store_of
from sessionward.backends.django.timeouts import lock_timeout, read_timeout
from sessionward.backends.django.users import Users, claimed_user
from sessionward.credential.token import Credential
from sessionward.errors import ConfigurationError
from sessionward.session.page import paged
from sessionward.session.session import ANY_TERMS, Position, Session, SessionList, Terms, user_key
from sessionward.settings import Duration, seconds

log = logging.getLogger("sessionward")

STALE: Final = 50
"""How many keys without a session the index may hold for a user before we remove them."""
SCAN_LIMIT: Final = 100_000
"""The largest number of sessions that we read to find those of one user, where the index is not complete. It takes about 2 s."""


class DjangoBackend:
    """The sessions of a Django project, in any engine that keeps them on the server; sync.

    Make it after ``get_wsgi_application()`` or ``get_asgi_application()``. It takes everything else from Django's settings.

    With the engine ``db`` the backend adds no query to a request that neither saves its session nor gives it a new key. It
    revokes a session by renaming its row: the data stay, and a request in flight cannot restore the session. The engines
    ``cached_db``, ``cache`` and ``file`` may write a revoked session back. For them the backend records the digest of each
    revoked key in its own table, and the middleware removes a revoked key from the request. Most caches cannot list their
    sessions. There the backend notes each session when it first sees it. Once it has revoked a user's sessions, it refuses
    those of this user that it has not seen.

    In every engine a request in flight may give its session a new key. If the old session was revoked meanwhile, the backend
    revokes the new one too (:meth:`renewed`).

    :meth:`list` shows when a session expires, and with django-qsessions and django-user-sessions also where and when it was used.
    The id of a session is made from the digest of its key, so a new key is a new id.

    ``scan_limit``: the largest number of sessions that the backend reads to find those of the user. Beyond it the caller gets
    503, and the log says why. After one run of ``sessionward index`` the backend does not have to read them. ``timeout``: how
    long a call waits for the database and its locks, in seconds or as a ``timedelta``. ``cookies``: all names of the session
    cookie, if the project's own session middleware does not always use SESSION_COOKIE_NAME. With allauth headless the backend
    reads the key from X-Session-Token too.

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

    def __init__(self, *, scan_limit: int = SCAN_LIMIT, timeout: Duration = 2.0, cookies: Sequence[str] | None = None) -> None:
        if not apps.ready:
            raise ConfigurationError("backend: Django is not set up yet; make DjangoBackend() after get_wsgi_application()")
        try:
            self._store = store_of()
        except (ImproperlyConfigured, ImportError) as error:
            raise ConfigurationError(f"backend: SESSION_ENGINE cannot be used: {error}") from None
        if type(scan_limit) is not int or scan_limit < 0:
            raise ConfigurationError("scan_limit: must be a number of sessions, 0 or more")
        from sessionward.backends.django import everybody, index, requests, revoke, tables  # models need Django to be set up

        self._tables = tables
        self._index = index.Index(self._store)
        self._revocations = revoke.Revocations(self._store, self._index, scan_limit=scan_limit, stale=STALE)
        self._revoke_everybody = everybody.revoke_everybody
        self._listable = self._store.listable
        self._timeout = _checked(timeout)
        self.carriers = carriers_of(cookies)
        self._index.watch()
        requests.watch(self.carriers)
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

    def for_sidecar(self) -> DjangoBackend:
        """Returns the same backend for a process that does not run the application. It never takes the index for complete.

        The application may save sessions without sessionward. So the backend reads all sessions, up to ``scan_limit``, to find
        those of a user.
        """
        view = self.within(self._timeout)
        view._revocations = self._revocations.beside_the_application()
        return view

    def find(self, credential: Credential, /) -> Session | None:
        key = credential.reveal()
        if not is_key(key):
            return None
        using = self._store.using
        with attended(self._store.using, self._timeout, alone=True), lock_timeout(using, self._timeout):
            if not self._store.revocation_sticks:
                self._tables.ensure(using)
            with read_timeout(using, self._timeout):
                if not self._store.revocation_sticks and self._revocations.include(key):
                    return None
                known = self._store.known([key]).get(key)
                user = None if known is None else Users().authenticated_user(known.data)
                if known is None or user is None or self._revocations.shut_out(key, user):
                    return None
        return _session(key, known, user, credential)

    def revoke_others(self, session: Session, /) -> int:
        assert session.credential is not None
        return self._revocations.revoke(session.user_id, keep=session.credential.reveal(), timeout=self._timeout)

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        """Returns the live sessions of a user. Without a complete index it reads all sessions, up to ``scan_limit``.

        It asks several questions, so the list is no snapshot. Of a cache that cannot list its sessions it has those that it has seen.
        """
        with attended(self._store.using, self._timeout, alone=True), lock_timeout(self._store.using, self._timeout):
            found = self._revocations.sessions_of(user_key(user_id), self._timeout)
        sessions = [_session(key, known, user_id) for key, known in found.items()]
        return paged(sessions, after=after, limit=limit, without=without, now=datetime.now(UTC))

    def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:  # noqa: ARG002 - the rows say too little
        """Revokes another session of the user, under the lock of ``revoke_others``. Returns whether it was live.

        A session that has got a new key has a new id too.
        """
        assert session.credential is not None
        keep = session.credential.reveal()
        return self._revocations.revoke(session.user_id, keep=keep, only=id, timeout=self._timeout) > 0

    def revoke_all(self, user_id: str | int, /) -> int:
        """Revokes all sessions of a user, from a job or a shell, or after a changed password. Returns how many were live."""
        return self._revocations.revoke(user_key(user_id), keep=None, timeout=self._timeout)

    def revoke_everybody(self) -> None:
        """Revokes all sessions of all users, from a job or a shell: ``sessionward restored --backend django`` does it.

        Call it after a backup of the database, of the cache or of the files has been restored, before users come in again. Engines
        with a table get new keys for all rows, so that anonymous visitors lose their sessions too. With ``cached_db``, ``cache``,
        ``file`` and engines of the project, the index is emptied, and from then on only sessions that it has noted since count.
        So a session that another process saves without sessionward is refused, until :meth:`purge` has deleted the record, and so is
        one of Django's ``login()`` outside of a request that the middleware sees, in a job or a shell.

        It is one transaction, whose time is linear in the number of sessions. If the timeout of the backend is too short, it
        raises ``BackendUnavailable`` and nothing has changed: ``backend.within(600).revoke_everybody()``.
        """
        self._revoke_everybody(self._store, self._timeout)

    def renewed(self, new: Credential, old: Collection[Credential], age: Callable[[], float], /) -> bool:
        """Records the user of a session that gets the key ``new`` from a response, whose request had the keys ``old``.

        Revokes the session and returns False if one of ``old`` was revoked, and this user's sessions were revoked in the last
        ``age()`` seconds: a request in flight has copied the login of a revoked session. It does all this in one transaction
        under the user's lock. So a concurrent revocation either finds the new key or has revoked the old one.
        """
        try:
            with attended(self._store.using, self._timeout), lock_timeout(self._store.using, self._timeout):
                return self._revocations.admit_renewed(new, old, age, self._timeout)
        except Exception as failure:
            if old or not self._finds_unnoted():
                raise
            log.warning("a sign-in could not be noted: %s", type(failure).__name__)
            return True

    def purge(self, older_than: Duration) -> int:
        """Deletes the records of sessions that were revoked more than ``older_than`` ago (seconds or a ``timedelta``).

        Returns how many. Never pass less than a session can live: its cookie would be valid again.
        """
        limit = timezone.now() - timedelta(seconds=purgeable_age(older_than))
        with attended(self._store.using, self._timeout):
            self._tables.ensure(self._store.using)
            return self._tables.forget_revoked(self._store.using, limit)

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        with attended(self._store.using, self._timeout):
            self._tables.ensure(self._store.using)
            digests = [credential.digest for credential in credentials]
            revoked = self._tables.recorded_among(self._store.using, [*digests, self._tables.ALL] if digests else ())
            live = [credential for credential in credentials if credential.digest not in revoked]
            only_noted = self._tables.ALL in revoked
            if (self._listable and not only_noted) or not live:
                return [credential for credential in credentials if credential.digest in revoked]
            unseen = self._index.unseen([credential.reveal() for credential in live])
            is_refused = self._is_of_before if only_noted else self._is_refused
            return [each for each in credentials if each.digest in revoked or (each.reveal() in unseen and is_refused(each.reveal()))]

    def _is_refused(self, key: str) -> bool:
        """Returns whether a session that we have not seen before is of a user whose sessions were revoked."""
        user = claimed_user(self._store.read([key]).get(key, {}))
        return user is not None and not self._index.admit(key, user)

    def _is_of_before(self, key: str) -> bool:
        """Returns whether a session that the index does not have may be one of those that were revoked all at once.

        An anonymous session passes. One that is not there does not: a cache, or a request in flight, may put it back in a moment.
        """
        data = self._store.read([key]).get(key)
        return data is None or claimed_user(data) is not None

    def _finds_unnoted(self) -> bool:
        """Returns whether a session that could not be noted at its sign-in escapes no revocation.

        A cache that cannot list its sessions: the first request of this one notes it, and after a revocation it is refused. Without
        our tables, which this role may not be allowed to create, there has been no revocation, and there is none.
        """
        if not self._listable:
            return True
        with suppress(Exception):
            return self._tables.are_missing(self._store.using)
        return False

    def _note(self, credential: Credential, /) -> None:
        key = credential.reveal()
        with attended(self._store.using, self._timeout):
            user = claimed_user(self._store.read([key]).get(key, {}))
            if user is not None:
                self._index.note(key, user)


def _session(key: str, known: Known, user_id: str, credential: Credential | None = None) -> Session:
    """Returns the session with this key. ``credential``: only the caller's own session has one."""
    return Session(
        id=id_of(key),
        user_id=user_key(user_id),
        issued_at=known.issued_at,
        expires_at=known.expires_at,
        last_seen_at=known.last_seen_at,
        ip_address=known.ip_address,
        user_agent=known.user_agent,
        credential=credential,
    )


def _checked(timeout: Duration) -> float:
    try:
        wait = seconds(timeout)
    except TypeError as error:
        raise ConfigurationError(f"timeout: {error}") from None
    if not 0 < wait < math.inf:
        raise ConfigurationError("timeout: must be more than 0 seconds")
    return wait
