"""Sessions in a cache, in files, or in the project's own engine."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from heapq import nsmallest
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends import cache, file
from django.db import DEFAULT_DB_ALIAS, Error

from sessionward.backends.django.sessions import TOO_MANY, Data, Known, Page, is_key, keys_of_allauth
from sessionward.backends.django.users import claimed_user
from sessionward.errors import BackendUnavailable


class KeyValueStore:
    """Sessions in a cache, in files, or in the project's own engine. A late request can write a deleted session back."""

    revocation_sticks = False
    model: Any = None
    using = DEFAULT_DB_ALIAS

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def watch(self, saved: Callable[[str, Data, bool], object]) -> None:
        """Calls ``saved`` with the key and the data of each session that this process saves, and whether it creates it."""
        save: Any = self._engine.save
        if getattr(save, "is_watched", False):
            return

        @wraps(save)
        def watched(store: Any, must_create: bool = False) -> None:
            save(store, must_create)
            saved(store.session_key, store._get_session(no_load=must_create), must_create)

        watched.is_watched = True  # type: ignore[attr-defined]
        self._engine.save = watched

    def read(self, keys: Iterable[str], *, lock: bool = False) -> dict[str, Data]:  # noqa: ARG002 - nothing here can be locked
        with _answering():
            return {key: data for key in keys if (data := self._load(key))}

    def known(self, keys: Iterable[str]) -> dict[str, Known]:
        """Returns the live sessions. Such a store says nothing about them but their data."""
        return {key: Known(data) for key, data in self.read(keys).items()}

    def revoke(self, keys: Iterable[str]) -> None:
        """Does nothing: a late request could write the session back. The record of revoked sessions decides."""

    def make_room(self, keys: Iterable[str]) -> None:
        """Does nothing, too."""

    def evict(self, keys: Sequence[str]) -> None:
        for key in keys:
            with suppress(Exception):
                self._engine().delete(key)

    def hints(self, user_id: str) -> set[str]:
        return keys_of_allauth(user_id)

    def scan(self, user_id: str, limit: int) -> set[str]:
        with _answering():
            listed = list(islice(self._keys() or (), limit + 1))
        if len(listed) > limit:
            raise BackendUnavailable(TOO_MANY.format(limit=limit))
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
        store.exists(key)  # raises if the store does not answer, which django-redis-sessions treats as a missing session
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
