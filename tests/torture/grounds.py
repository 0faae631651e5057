"""What lies below a backend, filled and looked at by the tests: the two tables, or Redis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, String, Table, select, update

from sessionward import Session
from sessionward.backends import Credential
from sessionward.backends.redis.layout import id_of, uuid_of
from sessionward.backends.sql import metadata
from tests.support.sessions import new_session
from tests.torture import tables
from tests.torture.redis_keys import client_of, forget, prefix_of

passwords: Final = Table(
    "torture_passwords", MetaData(), Column("name", String(64), primary_key=True), Column("version", Integer, nullable=False)
)
state: Final = metadata.tables["sessionward_state"]


class Ground(ABC):
    """One database or Redis, with a connection of the test's own."""

    @abstractmethod
    def stock(self, sessions_of: Mapping[str, Iterable[str]]) -> dict[str, Session]:
        """Users with live sessions that have these tokens; the sessions by their tokens."""

    @abstractmethod
    def live_ids(self, user: str) -> set[UUID]:
        """The sessions of a user that have not been ended."""

    def id_of(self, token: str) -> UUID | None:
        """The session of a token that leads nowhere, since its sign-in was broken off: it is nobody's, and only listed.

        In a cluster that can happen where the process ends, as what leads to the session and the session are on two servers.
        """
        return None

    @abstractmethod
    def generation_of(self, user: str) -> int:
        """How often the sessions of a user have been revoked."""

    @abstractmethod
    def with_lease(self, seconds: float) -> None:
        """Sets the lease, and forgets that there was ever another: what a new installation has."""

    @abstractmethod
    def set_passwords(self, names: Iterable[str], version: int) -> None:
        """Which password users have, in the application's own part of the store. The first time for all of them."""

    @abstractmethod
    def password(self, name: str) -> int | None:
        """The version of a user's password now."""

    @abstractmethod
    def close(self) -> None: ...


class SQLGround(Ground):
    """The tables, over an Engine of the test's own."""

    def __init__(self, url: str) -> None:
        self._engine = tables.engine_of(url)

    def stock(self, sessions_of: Mapping[str, Iterable[str]]) -> dict[str, Session]:
        return tables.stock(self._engine, sessions_of)

    def live_ids(self, user: str) -> set[UUID]:
        return tables.live_ids(self._engine, user)

    def generation_of(self, user: str) -> int:
        generation = tables.generation_of(self._engine, user)
        assert generation is not None, "there is no such user"
        return generation

    def with_lease(self, seconds: float) -> None:
        with self._engine.connect() as connection:
            connection.execute(update(state).values(lease=seconds, former_lease=0.0, lowered_at=None))

    def set_passwords(self, names: Iterable[str], version: int) -> None:
        passwords.metadata.create_all(self._engine)
        with self._engine.connect() as connection:
            for name in names:
                changed = connection.execute(update(passwords).where(passwords.c.name == name).values(version=version))
                if not changed.rowcount:
                    connection.execute(passwords.insert().values(name=name, version=version))

    def password(self, name: str) -> int | None:
        with self._engine.connect() as connection:
            return connection.execute(select(passwords.c.version).where(passwords.c.name == name)).scalar()

    def close(self) -> None:
        self._engine.dispose()


class RedisGround(Ground):
    """Redis. The sessions are made and listed by a backend, a naive one too: each has a layout of its own."""

    def __init__(self, url: str, backend: Any) -> None:
        self._url = url
        self._client = client_of(url)
        self._backend = backend

    def stock(self, sessions_of: Mapping[str, Iterable[str]]) -> dict[str, Session]:
        return {
            token: self._backend.login(new_session(user, token, lifetime=3600.0, methods=("password",)))
            for user, tokens in sessions_of.items()
            for token in tokens
        }

    def live_ids(self, user: str) -> set[UUID]:
        return {session.id for session in self._backend.list(user)}

    def generation_of(self, user: str) -> int:
        return int(self._backend.begin_login(user))

    def id_of(self, token: str) -> UUID | None:
        if not self._url.startswith("redis+cluster:"):
            return None
        return uuid_of(id_of(Credential(token.encode()).digest))

    def with_lease(self, seconds: float) -> None:
        forget(self._url)
        self._backend.set_lease(seconds)

    def set_passwords(self, names: Iterable[str], version: int) -> None:
        for name in names:
            self._client.set(self._password(name), version)

    def password(self, name: str) -> int | None:
        found = self._client.get(self._password(name))
        return None if found is None else int(found)

    def close(self) -> None:
        self._client.close()
        self._backend.close()

    def _password(self, name: str) -> str:
        return f"{prefix_of(self._url)}-password:{name}"
