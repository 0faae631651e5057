"""The application's own table, for WSGI applications and jobs; under ASGI in threads."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import ClassVar

from sqlalchemy import URL, Engine

from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.backends.table.layout import Expires, RevokedBy, Value
from sessionward.backends.table.options import options
from sessionward.backends.table.transform import Transform, verbatim
from sessionward.credential.token import Credential
from sessionward.session.session import Session, user_key
from sessionward.settings import Duration


class TableBackend:
    """Sessions in a table of the application's own; plain colour.

    The application signs its users in and out by itself; this ends the others, and touches no ordinary request. For
    tables with one row a session, the user's id in a column, and a row that stays dead once it is gone: nothing may
    insert it again when a request in flight ends.

    What else signs people in stays as it was: remember-me tokens, copies in a cache (better-auth's ``session_data``
    cookie), API tokens in another table.

    ``database``: a URL (``postgresql://user@host/db``, ``mysql://...``, ``sqlite:///app.db``) or an Engine of yours,
    which is never disposed; an SQLite file keeps the journal mode that it has. The user of the database needs SELECT,
    and UPDATE or DELETE; on PostgreSQL both, since rows are locked.

    ``table``: its name, or ``schema.name``, spelt as the database spells it.

    ``key``: the column that the credential names. It must be unique, or a row of somebody else's could be meant: then
    ``ConfigurationError`` is raised and nothing is ended. A number must never be given again to another row (on SQLite:
    AUTOINCREMENT), or a copied cookie comes back to life.

    ``user``: the column with the user's id: text, a number or a UUID. Compared byte for byte, whatever the collation.
    NULL is an anonymous visitor. Index it: each call looks for all rows of the user.

    ``cookie``, ``header``, ``scheme``: where the application's credential travels: the name of a cookie (or several:
    ``["__Host-sid", "sid"]``), a header, and what stands before the value in it. The header is looked at first.

    ``transform``: from the credential to the value in ``key``: ``verbatim``, ``sha256``, ``sha512``, ``hmac_suffixed(...)``,
    ``rails_signed(...)``, ``laravel_encrypted(...)``, or a function of yours. It has to verify what is signed: where the
    cookie only names a row, a transform that does not lets anybody be anybody.

    ``expires``: when a row is too old: ``Expires.at("expires")``, ``Expires.created("created_at", lifetime=3600)``,
    ``Expires.unix("last_activity", lifetime=7200)``. By the clock of the database. Say what the application says: with
    a shorter lifetime, sessions that it still takes are spared; without it, dead ones are counted.

    A row is deleted, unless one of these says otherwise. ``ended``: a column that marks it, ``RevokedBy.value("active", False)``
    or ``RevokedBy.time("revoked_at")``; the application must look at it. ``rename``: the key becomes ``revoked:`` and something
    that nobody can guess, so that row and data stay; not for a ``key`` that other tables refer to.

    ``where``: columns and the values that a row must have to be a session at all: ``where={"context": "session"}``.

    ``pool_size``, ``timeout``: as in :class:`~sessionward.backends.sql.SQLBackend`.

    Nothing is opened before the first question, which looks at the table; :meth:`check` does so at the start. Raises
    ``ConfigurationError`` for what is wrong in itself at once, and with the table's real columns when it is looked at.
    All questions raise ``BackendUnavailable`` when the database cannot answer in time.

    On MariaDB and MySQL each session that is ended costs two round trips. Tokens are never in an error or a log.
    """

    blocking: ClassVar[bool] = True

    def __init__(
        self,
        database: str | URL | Engine,
        table: str,
        *,
        key: str,
        user: str,
        cookie: str | Sequence[str] | None = None,
        header: str | None = None,
        scheme: str = "",
        transform: Transform = verbatim,
        expires: Expires | None = None,
        revoked: RevokedBy | None = None,
        rename: bool = False,
        where: Mapping[str, Value] | None = None,
        pool_size: int = 10,
        timeout: Duration = 2.0,
    ) -> None:
        made = options(
            database,
            is_async=False,
            table=table,
            key=key,
            user=user,
            cookie=cookie,
            header=header,
            scheme=scheme,
            transform=transform,
            expires=expires,
            revoked=ended,
            rename=rename,
            where=dict(where or {}),
            pool_size=pool_size,
            timeout=timeout,
        )
        self.carriers, self.pool_size = made.carriers, made.pool_size
        self._timeout = made.timeout
        self._queries = made.queries
        self._pool = SyncPool(made.database, size=made.pool_size, timeout=made.timeout)

    def within(self, timeout: float, /) -> TableBackend:
        """The same backend, over the same connections, with another deadline in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    def check(self) -> None:
        """Look at the table, for a start that fails where it must. The first question does the same."""
        self._pool.ask(self._queries.check, self._timeout, writes=False)

    def find(self, credential: Credential, /) -> Session | None:
        queries, key = self._queries, self._queries.key(credential)
        if key is None:
            return None
        return self._pool.ask(lambda executor: queries.find(executor, credential, key), self._timeout, writes=False)

    def revoke_others(self, session: Session, /) -> int:
        queries, key = self._queries, self._queries.own_key(session)
        return self._pool.ask(lambda executor: queries.revoke_others(executor, session, key), self._timeout, writes=True)

    def revoke_all(self, user_id: str, /) -> int:
        """End all sessions of a user, from a job or a shell; how many were live."""
        queries, user = self._queries, user_key(user_id)
        return self._pool.ask(lambda executor: queries.revoke_all(executor, user), self._timeout, writes=True)

    def close(self) -> None:
        """Close the idle connections of this process. Not final: the next question opens again."""
        self._pool.close()
