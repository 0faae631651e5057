"""Sessions in Redis: the sync and the async backend, which run the same flows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from sessionward.backends.bounds import checked, purgeable_age
from sessionward.backends.redis import app_sessions, companions, login, purge, reading, revoking, state, use
from sessionward.backends.redis.connect import server_of, wait_of
from sessionward.backends.redis.layout import KEPT, LONGEST_KEPT, Place
from sessionward.backends.redis.leased import AsyncLeased, Leased
from sessionward.backends.redis.run import AsyncRunner, SyncRunner
from sessionward.credential.token import Credential
from sessionward.errors import Mistakes
from sessionward.session.session import (
    ANY_TERMS,
    Checked,
    CompanionStatus,
    NewSession,
    Position,
    RevokedCount,
    Session,
    SessionList,
    Terms,
    user_key,
)
from sessionward.session.use import at_once
from sessionward.settings import Duration, seconds

if TYPE_CHECKING:
    from redis import Redis, RedisCluster
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio import RedisCluster as AsyncRedisCluster


class RedisBackend(Leased):
    """Sessions in Redis: one server, a primary behind Sentinels, or a Redis Cluster; sync: for WSGI applications and jobs.

    ``server``: a URL (``redis://host:6379/0``, ``rediss://``, ``unix://``, ``redis+sentinel://``, ``redis+cluster://``) or a client
    of redis-py, of which the backend takes the addresses and the options, and never a connection.

    - ``prefix``: with what the keys begin. Two installations on one server need two.
    - ``keep_revoked``: for how long a session that ended stays, with the time and the reason, in seconds or as a ``timedelta``. At least
      an hour, at most 100 years. If more than 250 of one user have ended, a sign-in drops those beyond that ended more than 130 seconds
      ago.
    - ``wait``: ``(replicas, milliseconds)``: what must outlive the primary is said only when so many replicas have it; otherwise the
      method raises ``OutcomeUnknown``. The milliseconds must be fewer than those of ``timeout``.
      Without it, a failover may undo a revocation of the last moment.
    - ``strict``: whether settings of the server that break a promise raise ``ConfigurationError`` at the first question. Otherwise they
      are logged.
    - ``pool_size``: how many questions one process asks at once at most. ``timeout``: how long one may take, in seconds or as a
      ``timedelta``. The middleware passes its own timeout.

    The methods are those of :class:`~sessionward.backends.SupportsCompanions`, :class:`~sessionward.backends.SupportsEverybody`,
    :class:`~sessionward.backends.SupportsLeases`, :class:`~sessionward.backends.SupportsMany`,
    :class:`~sessionward.backends.SupportsSeen` and :class:`~sessionward.backends.SupportsSessionAPI`, which say what each does.

    The backend connects at the first question, not before. The constructor raises ``ConfigurationError`` for what it cannot use. All
    methods raise ``BackendUnavailable`` when Redis does not answer in time.
    """

    blocking: ClassVar[bool] = True
    judges_limit: ClassVar[bool] = True

    def __init__(
        self,
        server: str | Redis | RedisCluster,
        *,
        prefix: str = "sessionward",
        keep_revoked: Duration = KEPT,
        wait: tuple[int, int] | None = None,
        strict: bool = False,
        pool_size: int = 10,
        timeout: Duration = 2.0,
    ) -> None:
        self._timeout, self.pool_size = checked(timeout, pool_size)
        self._runner = SyncRunner(server_of(server, is_async=False), size=pool_size, wait=wait_of(wait, self._timeout), strict=strict)
        self._waits, self._place = True, _place(self._runner, prefix, keep_revoked, strict)

    def find(self, credential: Credential, /) -> Session | None:
        return self._ask(reading.find(self._place, credential.digest))

    def check(self, credential: Credential, /) -> Checked:
        return self._ask(reading.check(self._place, credential.digest))

    def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        return self._ask(reading.find_many(self._place, credentials))

    def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float] = at_once, /
    ) -> Mapping[UUID, float]:
        return self._ask(use.note_seen(self._place, sessions, idle_timeout, age))

    def revoke_others(self, session: Session, /) -> RevokedCount:
        return self._settled(revoking.revoke_others(self._place, session))

    def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> RevokedCount:
        return self._settled(revoking.revoke_others_quietly(self._place, session, terms))

    def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        return self._settled(revoking.revoke_one(self._place, session, id, terms))

    def login(self, new: NewSession, /) -> Session:
        return self._settled(login.login(self._place, new))

    def begin_login(self, user_id: str, /) -> int:
        return self._ask(reading.generation(self._place, user_key(user_id)))

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        """Revokes one session of a user, from a job or a shell. Returns whether it was live."""
        return self._settled(revoking.revoke(self._place, user_key(user_id), id, None))

    def revoke_own(self, user_id: str, id: UUID, /) -> bool:
        return self._settled(revoking.revoke(self._place, user_key(user_id), id, id))

    def revoke_all(self, user_id: str, /) -> RevokedCount:
        """Revokes all sessions of a user, from a job or a shell. Returns how many were live."""
        return self._settled(revoking.revoke_all(self._place, user_key(user_id)))

    def revoke_everybody(self) -> None:
        """Revokes all sessions of all users: begins a new era. See :class:`~sessionward.backends.SupportsEverybody`."""
        self._ask(state.revoke_everybody(self._place))
        self._wait()

    def is_unused(self) -> bool:
        """Returns whether nothing was ever written under the prefix: a wrong prefix, or a database that is new or was emptied."""
        return self._ask(state.is_unused(self._place))

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        return self._ask(companions.companion_status(self._place, user_id, app_session))

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        return self._ask(app_sessions.is_revoked(self._place, app_session))

    def adopt(self, new: NewSession, /) -> Session | None:
        return self._settled(login.adopt(self._place, new))

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None, idle_timeout: float | None = None) -> bool:
        return self._ask(companions.extend(self._place, session, lifetime, app_session, idle_timeout))

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        return self._ask(reading.listed(self._place, user_key(user_id), after, limit, without))

    def purge(self, older_than: float | timedelta) -> int:
        """Drops sessions that stopped being live more than ``older_than`` (seconds or a ``timedelta``) ago. Returns how many.

        It is not needed: sessions go by themselves, ``keep_revoked`` after their end. It looks through all users in batches, so it
        can be interrupted and repeated. It never drops sessions that were ended within the last hour, nor what is kept of a user.
        """
        age, total = purgeable_age(older_than), 0
        for keys in self._runner.scan(self._place.users(), self._timeout):
            total += self._ask(purge.purge(self._place, keys, age))
        return total

    def close(self) -> None:
        """Closes the idle connections of this process. This is not final: the next question opens new ones."""
        self._runner.close()


class AsyncRedisBackend(AsyncLeased):
    """Sessions in Redis: one server, a primary behind Sentinels, or a Redis Cluster; async: for ASGI applications.

    It works like :class:`RedisBackend`, whose docstring says what the arguments are and what the methods raise. ``server``: a URL or a
    client of ``redis.asyncio``.

    Each event loop has its own connections, and ``pool_size`` limits those of one loop. A question that changes something runs to its
    end even if the caller is cancelled.
    """

    blocking: ClassVar[bool] = True
    judges_limit: ClassVar[bool] = True

    def __init__(
        self,
        server: str | AsyncRedis | AsyncRedisCluster,
        *,
        prefix: str = "sessionward",
        keep_revoked: Duration = KEPT,
        wait: tuple[int, int] | None = None,
        strict: bool = False,
        pool_size: int = 10,
        timeout: Duration = 2.0,
    ) -> None:
        self._timeout, self.pool_size = checked(timeout, pool_size)
        self._runner = AsyncRunner(server_of(server, is_async=True), size=pool_size, wait=wait_of(wait, self._timeout), strict=strict)
        self._waits, self._place = True, _place(self._runner, prefix, keep_revoked, strict)

    async def find(self, credential: Credential, /) -> Session | None:
        return await self._ask(reading.find(self._place, credential.digest))

    async def check(self, credential: Credential, /) -> Checked:
        return await self._ask(reading.check(self._place, credential.digest))

    async def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        return await self._ask(reading.find_many(self._place, credentials))

    async def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float] = at_once, /
    ) -> Mapping[UUID, float]:
        return await self._ask(use.note_seen(self._place, sessions, idle_timeout, age))

    async def revoke_others(self, session: Session, /) -> RevokedCount:
        return await self._settled(revoking.revoke_others(self._place, session))

    async def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> RevokedCount:
        return await self._settled(revoking.revoke_others_quietly(self._place, session, terms))

    async def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        return await self._settled(revoking.revoke_one(self._place, session, id, terms))

    async def login(self, new: NewSession, /) -> Session:
        return await self._settled(login.login(self._place, new))

    async def begin_login(self, user_id: str, /) -> int:
        return await self._ask(reading.generation(self._place, user_key(user_id)))

    async def revoke(self, user_id: str, id: UUID, /) -> bool:
        """Revokes one session of a user, from a job or a shell. Returns whether it was live."""
        return await self._settled(revoking.revoke(self._place, user_key(user_id), id, None))

    async def revoke_own(self, user_id: str, id: UUID, /) -> bool:
        return await self._settled(revoking.revoke(self._place, user_key(user_id), id, id))

    async def revoke_all(self, user_id: str, /) -> RevokedCount:
        """Revokes all sessions of a user, from a job or a shell. Returns how many were live."""
        return await self._settled(revoking.revoke_all(self._place, user_key(user_id)))

    async def revoke_everybody(self) -> None:
        """Revokes all sessions of all users: begins a new era. See :class:`~sessionward.backends.SupportsEverybody`."""
        await self._ask(state.revoke_everybody(self._place))
        await self._wait()

    async def is_unused(self) -> bool:
        """Does what ``RedisBackend.is_unused`` does."""
        return await self._ask(state.is_unused(self._place))

    async def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        return await self._ask(companions.companion_status(self._place, user_id, app_session))

    async def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        return await self._ask(app_sessions.is_revoked(self._place, app_session))

    async def adopt(self, new: NewSession, /) -> Session | None:
        return await self._settled(login.adopt(self._place, new))

    async def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None, idle_timeout: float | None = None) -> bool:
        return await self._ask(companions.extend(self._place, session, lifetime, app_session, idle_timeout))

    async def list(
        self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None
    ) -> SessionList:
        return await self._ask(reading.listed(self._place, user_key(user_id), after, limit, without))

    async def purge(self, older_than: float | timedelta) -> int:
        """Drops sessions that stopped being live more than ``older_than`` ago. See :meth:`RedisBackend.purge`."""
        age, total = purgeable_age(older_than), 0
        async for keys in self._runner.scan(self._place.users(), self._timeout):
            total += await self._ask(purge.purge(self._place, keys, age))
        return total

    async def close(self) -> None:
        """Closes the idle connections of this event loop. This is not final: the next question opens new ones."""
        await self._runner.close()


def _place(runner: SyncRunner | AsyncRunner, prefix: object, keep_revoked: object, strict: object) -> Place:
    """Returns where the sessions are kept. Raises :class:`ConfigurationError` for what is no prefix, no time or no bool."""
    mistakes, begin, keep = Mistakes(), "", 0.0
    if isinstance(prefix, str) and prefix and not set(prefix) & set("{}"):
        begin = prefix
        if not prefix.isprintable():  # a surrogate is none either, and has no UTF-8
            mistakes.add(["prefix: must have printable characters only"])
    else:
        mistakes.add(["prefix: must be a str that is not empty and has no braces, which are those of the hash tag of a cluster"])
    try:
        keep = seconds(keep_revoked)
    except TypeError as error:
        mistakes.add([f"keep_revoked: {error}"])
    else:
        if not keep >= KEPT:
            mistakes.add([f"keep_revoked: must be at least {KEPT:g} seconds: workers must still read that a session has ended"])
        elif keep > LONGEST_KEPT:
            mistakes.add([f"keep_revoked: must be at most {LONGEST_KEPT:g} seconds (100 years)"])
    if not isinstance(strict, bool):
        mistakes.add(["strict: must be True or False"])
    mistakes.raise_any()
    return Place(begin.encode(), keep, runner.is_cluster, runner.waits)
