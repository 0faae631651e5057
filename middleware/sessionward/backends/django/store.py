"""The store where a Django project keeps its sessions. We read it without side effects, and revoke sessions in it."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownParameterType=false, reportUntypedBaseClass=false, reportPrivateUsage=false

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends import cached_db, db, signed_cookies
from django.db import connections, router
from django.db.models import Q
from django.utils import timezone

from sessionward.backends.django.key_value import KeyValueStore
from sessionward.backends.django.raw_sql import (
    Statement,
    ask,
    change,
    change_each,
    for_update,
    in_sets,
    marks,
    moment,
    read_time,
    sends_together,
    written,
)
from sessionward.backends.django.sessions import TOO_MANY, Data, Known, Page, has_allauth, keys_of_allauth
from sessionward.backends.django.site import refuse_tenants
from sessionward.backends.django.users import claimed_user, primary_key
from sessionward.context import MAX_USER_AGENT
from sessionward.errors import BackendUnavailable, ConfigurationError

__all__ = ["REVOKED", "KeyValueStore", "TableStore", "revoked_key", "store_of"]

SHOWN: Final = (
    ("issued_at", "created_at"),
    ("last_seen_at", "updated_at"),
    ("last_seen_at", "last_activity"),
    ("ip_address", "ip"),
    ("user_agent", "user_agent"),
)
"""What the models of :data:`SAYING` say about a session, and in which fields. In another model such a field may hold anything."""
SAYING: Final = ("qsessions", "user_sessions")
REVOKED: Final = "revoked:"
"""The beginning of a revoked session's key, and of its data, which then decode to an anonymous session."""


def revoked_key(key: str) -> str:
    """Returns the key that a session gets when it is revoked. Only code that knows the old key can compute it."""
    return REVOKED + hashlib.sha256(key.encode()).hexdigest()[:32]


_REVOKED_KEY: Final = {
    "postgresql": "%s || SUBSTR(ENCODE(SHA256(CONVERT_TO({key}, 'UTF8')), 'hex'), 1, 32)",
    "mysql": "CONCAT(%s, LEFT(SHA2({key}, 256), 32))",
    "sqlite": "%s || SUBSTR(SHA256({key}), 1, 32)",  # Django adds this function to SQLite
}
"""The same in SQL, so that one statement renames many rows in linear time."""


def store_of() -> TableStore | KeyValueStore:
    """Returns the store of this project. Raises :class:`ConfigurationError` for one that keeps nothing on the server."""
    path: str = settings.SESSION_ENGINE
    module: Any = import_module(path)
    engine: Any = module.SessionStore
    databases: list[str] = [connections[alias].settings_dict["ENGINE"] for alias in connections]
    databases += [kind.__module__ for alias in connections for kind in type(connections[alias]).__mro__]
    refuse_tenants(databases)
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
        is_known = not {kind.__module__.partition(".")[0] for kind in model.__mro__}.isdisjoint(SAYING)
        self._shown = {shown: columns[name] for shown, name in SHOWN if is_known and name in columns}
        self._user: str | None = next((field.attname for field in model._meta.fields if field.name == "user" and _is_of_user(field)), None)

    def read(self, keys: Iterable[str], *, lock: bool = False) -> dict[str, Data]:
        """Returns the data of the live sessions. ``lock``: locks their rows until the transaction ends, always in the same order."""
        found: dict[str, Data] = {}
        for sought in in_sets(keys):
            query = self._reading(f"IN {marks(len(sought))}", sought, lock=lock)
            found |= self.decoded(ask(self.using, query.template, query.values, **query.names))
        return found

    def known(self, keys: Iterable[str]) -> dict[str, Known]:
        """Returns the live sessions with all that their rows say about them."""
        found: dict[str, Known] = {}
        columns = "".join(f", {{{shown}}}" for shown in self._shown)
        query = f"SELECT {{key}}, {{data}}, {{expiry}}{columns} FROM {{table}} WHERE {{key}} IN "
        for sought in in_sets(keys):
            values = [*sought, moment(self.using, timezone.now())]
            rows = ask(self.using, f"{query}{marks(len(sought))} AND {{expiry}} > %s", values, **self._names, **self._shown)
            for key, data, *said in rows:
                about = dict(zip(("expires_at", *self._shown), said, strict=True))
                found[key] = Known(self._decode(data), **{name: self._read(name, value) for name, value in about.items()})
        return found

    def _read(self, name: str, value: Any) -> Any:
        return read_time(self.using, value) if name.endswith("_at") else str(value or "")[:MAX_USER_AGENT] or None

    def reading(self, keys: Statement, also: str | None) -> Statement | None:
        """Returns the statement that locks and reads the live sessions whose keys ``keys`` returns, and the session ``also``.

        It does the same as :meth:`read`. Returns None where that saves no round trip, or where :meth:`hints` may have more keys.
        """
        if not sends_together(self.using) or self._has_hints:
            return None
        inner = written(self.using, keys.template, keys.names).replace("{", "{{").replace("}", "}}")
        # An array, since PostgreSQL looks its values up in the primary key, whatever it knows about the size of the index.
        return self._reading(f"= ANY(ARRAY({inner} UNION ALL SELECT %s))", [*keys.values, also], lock=True)

    def _reading(self, condition: str, values: Sequence[Any], *, lock: bool) -> Statement:
        query = (
            f"SELECT {{key}}, {{data}} FROM {{table}} WHERE {{key}} {condition} AND {{expiry}} > %s ORDER BY {{key}}"
            f"{for_update(self.using) if lock else ''}"
        )
        return Statement(query, [*values, moment(self.using, timezone.now())], self._names)

    def decoded(self, rows: Iterable[tuple[Any, ...]]) -> dict[str, Data]:
        """Returns the data of the sessions that such a statement has read."""
        return {key: self._decode(data) for key, data in rows}

    def revoke(self, keys: Iterable[str]) -> None:
        """Renames the rows. The data stay, the cookie names no session, and a late forced update finds no row.

        Django would accept the new key too, from a client that has read the database. So the data of the row are made undecodable.

        Raises ``IntegrityError`` if one of them was revoked earlier, and has come back: see :meth:`make_room`.
        """
        statement = f"{self._renaming} WHERE {{key}} IN "
        for some in in_sets(keys):
            change(self.using, statement + marks(len(some)), [REVOKED, REVOKED, *some], **self._names)

    def revoke_everybody(self, *, again: bool) -> None:
        """Does so with all rows, those of anonymous visitors too: whom a row names says only a process with the project's secret.

        ``again``: makes room for all of them first.
        """
        if again:
            self.make_room(self._rows().exclude(session_key__startswith=REVOKED).values_list("session_key", flat=True))
        where = f" WHERE SUBSTR({{key}}, 1, {len(REVOKED)}) <> %s"
        change(self.using, self._renaming + where, [REVOKED, REVOKED, REVOKED], **self._names)

    @property
    def _renaming(self) -> str:
        vendor = connections[self.using].vendor
        marked = "CONCAT(%s, {data})" if vendor == "mysql" else "%s || {data}"
        return f"UPDATE {{table}} SET {{key}} = {_REVOKED_KEY[vendor]}, {{data}} = {marked}"

    def make_room(self, keys: Iterable[str]) -> None:
        """Renames earlier revoked rows of these keys. They exist if a session was written back, or restored from a backup."""
        there = self._present(map(revoked_key, keys))
        pairs = [(REVOKED + secrets.token_hex(16), key) for key in there]
        if pairs:
            change_each(self.using, "UPDATE {table} SET {key} = %s WHERE {key} = %s", pairs, **self._names)

    def revoked_among(self, keys: Iterable[str]) -> set[str]:
        """Returns those of the keys whose rows were renamed."""
        names = {revoked_key(key): key for key in keys}
        return {names[name] for name in self._present(names)}

    def absent(self, keys: Iterable[str]) -> set[str]:
        """Returns those of the keys that have no row, not even an expired one. No session will have such a key again."""
        sought = set(keys)
        return sought - self._present(sought)

    def _present(self, keys: Iterable[str]) -> set[str]:
        """Returns those of the keys that have a row, expired or not."""
        query = "SELECT {key} FROM {table} WHERE {key} IN "
        return {key for some in in_sets(keys) for (key,) in ask(self.using, query + marks(len(some)), some, **self._names)}

    def evict(self, keys: Sequence[str]) -> None:
        """Deletes the copies in the cache, if the engine has one. A failure does not matter: the sessions are recorded as revoked."""
        prefix: str | None = getattr(self._engine, "cache_key_prefix", None)
        if prefix is not None:
            with suppress(Exception):
                self._engine()._cache.delete_many([prefix + key for key in keys])

    @property
    def _has_hints(self) -> bool:
        return self._user is not None or has_allauth()

    def hints(self, user_id: str) -> set[str]:
        """Returns the keys of this user by the user column of the table, or by allauth. They may be wrong or incomplete."""
        if self._user is None:
            return keys_of_allauth(user_id)
        user = primary_key(user_id)
        return set() if user is None else set(self._live().filter(**{self._user: user}).values_list("session_key", flat=True))

    def scan(self, user_id: str, limit: int) -> set[str]:
        """Reads the table and returns all keys of this user. Raises :class:`BackendUnavailable` if that takes more than ``limit`` rows."""
        rows = self._live()
        if self._user is not None:  # a row without a user may be of any user: not all code that saves a session sets the column
            user = primary_key(user_id)
            rows = rows.filter(Q((f"{self._user}__isnull", True)) | (Q() if user is None else Q((self._user, user))))
        if rows.order_by()[: limit + 1].count() > limit:
            raise BackendUnavailable(TOO_MANY.format(limit=limit))
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


def _is_of_user(field: Any) -> bool:
    """Returns whether a column refers to the user model by its primary key. We do not know what another column holds."""
    return field.remote_field is not None and field.related_model is get_user_model() and field.target_field.primary_key
