"""The store where a Django project keeps its sessions. We read it without side effects, and revoke sessions in it."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from heapq import nsmallest
from importlib import import_module
from itertools import islice
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends import cache, cached_db, db, file, signed_cookies
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.db import DEFAULT_DB_ALIAS, Error, connections, router
from django.db.models import Q
from django.utils import timezone

from sessionward.backends.django.raw_sql import ask, change, for_update, marks, moment
from sessionward.backends.django.users import claimed_user
from sessionward.errors import BackendUnavailable, ConfigurationError

REVOKED: Final = "revoked:"
"""The beginning of a revoked session's key, and of its data, which then decode to an anonymous session."""

Data = Mapping[str, Any]


_TOO_MANY: Final = (
    "the user's sessions are among more than {limit} sessions, too many to read; run `sessionward index` once, or raise scan_limit"
)


class Page(NamedTuple):
    """A part of all sessions, in the order of their keys: the last key, how many we read, and ``(key, user id)`` where there is a user."""

    last: str | None
    looked_at: int
    named: Sequence[tuple[str, str]]


def is_key(text: str) -> bool:
    """Returns whether a key has the form of Django's keys. Django does not look up any other."""
    return 8 <= len(text) <= 128 and set(text).issubset(VALID_KEY_CHARS)


def store_of() -> TableStore | KeyValueStore:
    """Returns the store of this project. Raises :class:`ConfigurationError` for one that keeps nothing on the server."""
    path: str = settings.SESSION_ENGINE
    module: Any = import_module(path)
    engine: Any = module.SessionStore
    if issubclass(engine, signed_cookies.SessionStore):
        raise ConfigurationError(
            "backend: SESSION_ENGINE is signed_cookies, which keeps nothing on the server; use SQLBackend(...) with"
            " identify=sessionward.identify.django.SignedCookies()"
        )
    if issubclass(engine, db.SessionStore):
        return TableStore(engine, engine.get_model_class(), revocation_sticks=not issubclass(engine, cached_db.SessionStore))
    model: Any = getattr(module, "Session", None)
    if hasattr(model, "session_key"):  # django-user-sessions, whose save puts a row back
        return TableStore(engine, model, revocation_sticks=False)
    return KeyValueStore(engine)


class TableStore:
    """Sessions in a table: ``db``, ``cached_db``, django-qsessions, django-user-sessions. The row decides, not the cache.

    ``revocation_sticks``: whether a revoked session stays revoked when a late request saves it.
    """

    listable = True

    def __init__(self, engine: Any, model: Any, *, revocation_sticks: bool) -> None:
        self.model = model
        self.revocation_sticks = revocation_sticks
        self.using: str = router.db_for_write(model)
        self._engine = engine
        self._decode = engine().decode
        columns = {field.name: field.column for field in model._meta.fields}
        self._names = {
            "table": model._meta.db_table,
            "key": columns["session_key"],
            "data": columns["session_data"],
            "expiry": columns["expire_date"],
        }
        self._user: str | None = next((field.attname for field in model._meta.fields if field.name == "user"), None)

    def read(self, keys: Iterable[str], *, lock: bool = False) -> dict[str, Data]:
        """Returns the data of the live sessions. ``lock``: locks their rows until the transaction ends, always in the same order."""
        sought = list(keys)
        if not sought:
            return {}
        query = (
            f"SELECT {{key}}, {{data}} FROM {{table}} WHERE {{key}} IN {marks(len(sought))} AND {{expiry}} > %s ORDER BY {{key}}"
            f"{for_update(self.using) if lock else ''}"
        )
        rows = ask(self.using, query, [*sought, moment(self.using, timezone.now())], **self._names)
        return {key: self._decode(data) for key, data in rows}

    def revoke(self, keys: Sequence[str]) -> None:
        """Renames the rows. The data stay, the cookie names no session, and a late forced update finds no row.

        Django would accept the new key too, from a client that has read the database. So the data of the row are made undecodable.
        """
        if not keys:
            return
        pairs = [value for key in keys for value in (key, REVOKED + secrets.token_hex(16))]
        marked = "CONCAT(%s, {data})" if connections[self.using].vendor == "mysql" else "%s || {data}"
        statement = (
            f"UPDATE {{table}} SET {{key}} = CASE {{key}} {'WHEN %s THEN %s ' * len(keys)}END, {{data}} = {marked}"
            f" WHERE {{key}} IN {marks(len(keys))}"
        )
        change(self.using, statement, [*pairs, REVOKED, *keys], **self._names)

    def absent(self, keys: Iterable[str]) -> set[str]:
        """Returns those of the keys that have no row, not even an expired one. No session will have such a key again."""
        sought = set(keys)
        return sought - set(self._rows().filter(session_key__in=sought).values_list("session_key", flat=True))

    def evict(self, keys: Sequence[str]) -> None:
        """Deletes the copies in the cache, if the engine has one. A failure does not matter: the sessions are recorded as revoked."""
        prefix: str | None = getattr(self._engine, "cache_key_prefix", None)
        if prefix is not None:
            with suppress(Exception):
                self._engine()._cache.delete_many([prefix + key for key in keys])

    def hints(self, user_id: str) -> set[str]:
        """Returns the keys of this user by the user column of the table, or by allauth. They may be wrong or incomplete."""
        if self._user is None:
            return _of_allauth(user_id)
        return set(self._live().filter(**{self._user: user_id}).values_list("session_key", flat=True))

    def scan(self, user_id: str, limit: int) -> set[str]:
        """Reads the table and returns all keys of this user. Raises :class:`BackendUnavailable` if that takes more than ``limit`` rows."""
        rows = self._live()
        if self._user is not None:  # a row without a user may be of any user: not all code that saves a session sets the column
            rows = rows.filter(Q((self._user, user_id)) | Q((f"{self._user}__isnull", True)))
        if rows.order_by()[: limit + 1].count() > limit:
            raise BackendUnavailable(_TOO_MANY.format(limit=limit))
        found = rows.values_list("session_key", "session_data").iterator(chunk_size=1000)
        return {key for key, data in found if claimed_user(self._decode(data)) == user_id}

    def walk(self, after: str, batch: int) -> Page:
        """Returns the next live sessions in the order of their keys, for the index."""
        rows = self._live().filter(session_key__gt=after).order_by("session_key").values_list("session_key", "session_data")
        found = [(key, claimed_user(self._decode(data))) for key, data in rows[:batch]]
        return Page(found[-1][0] if found else None, len(found), [(key, user) for key, user in found if user is not None])

    def count(self) -> int:
        return int(self._live().count())

    def _live(self) -> Any:
        return self._rows().filter(expire_date__gt=timezone.now()).exclude(session_key__startswith=REVOKED)

    def _rows(self) -> Any:
        return self.model._base_manager.using(self.using)


class KeyValueStore:
    """Sessions in a cache, in files, or in the project's own engine. A late request can write a deleted session back."""

    revocation_sticks = False
    model: Any = None
    using = DEFAULT_DB_ALIAS

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def read(self, keys: Iterable[str], *, lock: bool = False) -> dict[str, Data]:  # noqa: ARG002 - nothing here can be locked
        with _answering():
            return {key: data for key in keys if (data := self._load(key))}

    def revoke(self, keys: Sequence[str]) -> None:
        """Does nothing: a late request could write the session back. The record of revoked sessions decides."""

    def evict(self, keys: Sequence[str]) -> None:
        for key in keys:
            with suppress(Exception):
                self._engine().delete(key)

    def hints(self, user_id: str) -> set[str]:
        return _of_allauth(user_id)

    def scan(self, user_id: str, limit: int) -> set[str]:
        with _answering():
            listed = list(islice(self._keys() or (), limit + 1))
        if len(listed) > limit:
            raise BackendUnavailable(_TOO_MANY.format(limit=limit))
        return {key for key, data in self.read(listed).items() if claimed_user(data) == user_id}

    def walk(self, after: str, batch: int) -> Page:
        keys = self._keys()
        if keys is None:
            raise BackendUnavailable(f"the sessions of {settings.SESSION_ENGINE} cannot be listed")
        with _answering():
            chosen = nsmallest(batch, (key for key in keys if key > after))
        named = ((key, claimed_user(data)) for key, data in self.read(chosen).items())
        return Page(chosen[-1] if chosen else None, len(chosen), [(key, user) for key, user in named if user is not None])

    def count(self) -> int:
        with _answering():
            return sum(1 for _ in self._keys() or ())

    @property
    def listable(self) -> bool:
        """Whether the store can list its sessions."""
        return self._keys() is not None

    def _keys(self) -> Iterator[str] | None:
        """Returns the keys of all sessions, or None if the store cannot list them."""
        store: Any = self._engine()
        if isinstance(store, file.SessionStore):
            names = os.listdir(store.storage_path)
            return (name.removeprefix(store.file_prefix) for name in names if name.startswith(store.file_prefix))
        listed: Any = getattr(getattr(store, "_cache", None), "iter_keys", None)  # django-redis
        prefix: str = getattr(store, "cache_key_prefix", "")
        return None if listed is None else (key.removeprefix(prefix) for key in listed(f"{prefix}*"))

    def _load(self, key: str) -> Data | None:
        if not is_key(key):
            return None
        store: Any = self._engine(key)
        if type(store).load is cache.SessionStore.load:  # Django's code treats a cache that is down as an empty one
            return store._cache.get(store.cache_key)  # type: ignore[no-any-return]
        store.create = store.delete = _nothing  # to load an expired session would create another one
        data: Data = store.load()
        if store.session_key == key:
            return data
        if isinstance(store, file.SessionStore) and _is_there(store._key_to_file(key)):
            raise BackendUnavailable("a session's file could not be read")  # the engine treats it as a missing file
        return None


def _is_there(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _answering() -> Generator[None]:
    """Raises ``BackendUnavailable`` when the cache or the file system fails, so that a failure is never taken for an empty store."""
    try:
        yield
    except (BackendUnavailable, Error):
        raise
    except Exception as failure:
        raise BackendUnavailable(f"the sessions of {settings.SESSION_ENGINE} could not be read: {type(failure).__name__}") from None


def _nothing(*_: object) -> None:
    """Replaces the methods that would change a session that we only read."""


def _of_allauth(user_id: str) -> set[str]:
    """Returns the keys that allauth's ``usersessions`` has recorded. It lacks sign-ins that did not go through allauth."""
    if not apps.is_installed("allauth.usersessions"):
        return set()
    model: Any = apps.get_model("usersessions", "UserSession")
    rows: Collection[str] = model._base_manager.filter(user_id=user_id).values_list("session_key", flat=True)
    return set(rows)
