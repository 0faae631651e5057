"""Sessions in SQLite, PostgreSQL, MariaDB or MySQL, for WSGI applications and jobs; under ASGI in threads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import ClassVar

from sqlalchemy import URL, Engine

from sessionward.backends.sql import companions, queries
from sessionward.backends.sql.connect import checked, database_of
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.credential.token import Credential
from sessionward.session.session import Device, RevokedCount, Session, CompanionStatus, user_key
from sessionward.settings import Duration, seconds


class SQLBackend:
    """Sessions in SQLite, PostgreSQL, MariaDB or MySQL; plain colour.

    ``database``: a URL (``sqlite:///sessions.db``, ``postgresql://user@host/db``, ``mysql://...``) or an Engine of
    yours, which is never disposed. A URL has connections of its own and is faster; with an Engine, hold no connection
    of it while you call a verb, or the two wait for each other once its pool is empty.

    ``pool_size``: connections of one process at most. ``timeout``: seconds or a ``timedelta`` within which a question
    is answered or given up; a door tells its own.

    Nothing is opened before the first question. Raises ``ConfigurationError`` for a URL that it does not speak or
    whose driver is not installed. All questions raise ``BackendUnavailable`` when the database cannot answer in time,
    and ``ConfigurationError`` when its tables are missing.
    """

    blocking: ClassVar[bool] = True

    def __init__(self, database: str | URL | Engine, *, pool_size: int = 10, timeout: Duration = 2.0) -> None:
        database = database_of(database, is_async=False)
        self._timeout, self.pool_size = checked(timeout, pool_size)
        self._pool = SyncPool(database, size=pool_size, timeout=self._timeout)

    def within(self, timeout: float, /) -> SQLBackend:
        """The same backend, over the same connections, with another deadline in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    def create_tables(self) -> None:
        """Create what is missing of the two tables and their index. Safe to repeat, and in several workers at once."""
        self._pool.create_tables()

    def find(self, credential: Credential, /) -> Session | None:
        digest = credential.digest
        return self._pool.ask(lambda executor: queries.find(executor, digest), self._timeout, writes=False)

    def revoke_others(self, session: Session, /) -> RevokedCount:
        return self._pool.ask(lambda executor: queries.revoke_others(executor, session), self._timeout, writes=True)

    def login(
        self,
        user_id: str,
        digest: bytes,
        /,
        *,
        since: int | None,
        age: Callable[[], float],
        replaces: Session | None,
        expires_in: float,
        device: Device,
        methods: Sequence[str],
        app_session: bytes | None = None,
    ) -> Session:
        new = queries.SignIn(
            user_id=user_key(user_id),
            digest=digest,
            since=since,
            age=age,
            replaces=replaces,
            expires_in=expires_in,
            device=device,
            methods=methods,
            app_session=app_session,
        )
        return self._pool.ask(lambda executor: queries.login(executor, new), self._timeout, writes=True)

    def begin_login(self, user_id: str, /) -> int:
        user = user_key(user_id)
        return self._pool.ask(lambda executor: queries.generation(executor, user), self._timeout, writes=False)

    def end(self, session: Session, /) -> bool:
        return self._pool.ask(lambda executor: queries.end(executor, session), self._timeout, writes=True)

    def revoke_all(self, user_id: str, /) -> RevokedCount:
        """End all sessions of a user, from a job or a shell."""
        user = user_key(user_id)
        return self._pool.ask(lambda executor: queries.revoke_all(executor, user), self._timeout, writes=True)

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        return self._pool.ask(lambda executor: companions.companion_status(executor, user_id, app_session), self._timeout, writes=False)

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        return self._pool.ask(lambda executor: companions.is_revoked_app_session(executor, app_session), self._timeout, writes=False)

    def adopt(self, user_id: str, digest: bytes, /, *, app_session: bytes, expires_in: float, device: Device) -> Session | None:
        question = partial(companions.adopt, user_id=user_id, digest=digest, app_session=app_session, expires_in=expires_in, device=device)
        return self._pool.ask(question, self._timeout, writes=True)

    def touch(self, session: Session, /, *, app_session: bytes | None, expires_in: float) -> bool:
        question = partial(companions.touch, session=session, app_session=app_session, expires_in=expires_in)
        return self._pool.ask(question, self._timeout, writes=True)

    def list(self, user_id: str, /) -> Sequence[Session]:
        """The live sessions of a user, newest first."""
        user = user_key(user_id)
        return self._pool.ask(lambda executor: queries.listed(executor, user), self._timeout, writes=False)

    def purge(self, older_than: float | timedelta) -> int:
        """Delete sessions that ended or expired so long ago, in batches of 1000; how many. Never deletes users.

        Seconds or a ``timedelta``. Running sessions are not held up, and stopping it in the middle loses nothing.
        """
        age, total, after = seconds(older_than), 0, queries.NOBODY
        while True:
            batch = partial(queries.purge, older_than=age, after=after, batch=queries.BATCH)
            count, last = self._pool.ask(batch, self._timeout, writes=True)
            total += count
            if last is None:
                return total
            after = last

    def close(self) -> None:
        """Close the idle connections of this process. Not final: the next question opens again."""
        self._pool.close()
