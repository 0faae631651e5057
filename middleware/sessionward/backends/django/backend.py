"""The backend for a Django project: it revokes sessions that Django itself keeps, and leaves the login to Django."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import ClassVar, Final

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from sessionward.backends.django.attended import attended
from sessionward.backends.django.sessions import is_key
from sessionward.backends.django.site import carriers_of
from sessionward.backends.django.store import TableStore, store_of
from sessionward.backends.django.timeouts import lock_timeout, read_timeout
from sessionward.backends.django.users import Users, claimed_user
from sessionward.credential.token import Credential
from sessionward.errors import ConfigurationError
from sessionward.session.session import Session, public_id, user_key
from sessionward.settings import Duration, seconds

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
        from sessionward.backends.django import index, requests, revoke, tables  # these define models, which needs Django to be set up

        self._tables = tables
        self._index = index.Index(self._store)
        self._revocations = revoke.Revocations(self._store, self._index, scan_limit=scan_limit, stale=STALE)
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
                data = self._store.read([key]).get(key)
                user = None if data is None else Users().authenticated_user(data)
                if user is None or self._revocations.shut_out(key, user):
                    return None
        return Session(id=public_id(credential), user_id=user_key(user), credential=credential)

    def revoke_others(self, session: Session, /) -> int:
        assert session.credential is not None
        return self._revocations.revoke(session.user_id, keep=session.credential.reveal(), timeout=self._timeout)

    def revoke_all(self, user_id: str | int, /) -> int:
        """Revokes all sessions of a user, from a job or a shell, or after a changed password. Returns how many were live."""
        return self._revocations.revoke(user_key(user_id), keep=None, timeout=self._timeout)

    def renewed(self, new: Credential, old: Collection[Credential], age: Callable[[], float], /) -> bool:
        """Records the user of a session that gets the key ``new`` from a response, whose request had the keys ``old``.

        Revokes the session and returns False if one of ``old`` was revoked, and this user's sessions were revoked in the last
        ``age()`` seconds: a request in flight has copied the login of a revoked session. It does all this in one transaction
        under the user's lock. So a concurrent revocation either finds the new key or has revoked the old one.
        """
        with attended(self._store.using, self._timeout), lock_timeout(self._store.using, self._timeout):
            return self._revocations.admit_renewed(new, old, age, self._timeout)

    def purge(self, older_than: Duration) -> int:
        """Deletes the records of sessions that were revoked more than ``older_than`` ago (seconds or a ``timedelta``).

        Returns how many. Never pass less than a session can live: its cookie would be valid again.
        """
        limit = timezone.now() - timedelta(seconds=seconds(older_than))
        with attended(self._store.using, self._timeout):
            self._tables.ensure(self._store.using)
            return int(self._tables.Ended.objects.using(self._store.using).filter(ended_at__lt=limit).delete()[0])

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        with attended(self._store.using, self._timeout):
            self._tables.ensure(self._store.using)
            revoked = self._tables.recorded_among(self._store.using, [credential.digest for credential in credentials])
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
        with attended(self._store.using, self._timeout):
            user = claimed_user(self._store.read([key]).get(key, {}))
            if user is not None:
                self._index.note(key, user)


def _checked(timeout: Duration) -> float:
    try:
        wait = seconds(timeout)
    except TypeError as error:
        raise ConfigurationError(f"timeout: {error}") from None
    if not 0 < wait < math.inf:
        raise ConfigurationError("timeout: must be more than 0 seconds")
    return wait
