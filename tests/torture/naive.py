"""What one would write first, over the same tables: canaries that every harness here must catch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Executable, insert, select, update
from sqlalchemy.exc import OperationalError

from sessionward import Session, SessionRevoked, StaleLogin
from sessionward.backends import Credential, NewSession, RevokedCount, Terms
from sessionward.backends.sql import SQLBackend, leases, reading
from sessionward.backends.sql.dialect import Dialect
from sessionward.session.session import ANY_TERMS, Checked
from tests.torture.tables import key, row_id, sessions, users

ERA: Final = 14
"""The place of a session's era in a row of the statement "check"."""
THINKING: Final = 0.002
"""Seconds between a check and the act that rests on it: what a framework does meanwhile."""


class Naive(SQLBackend):
    """Ours, but for what a variant overrides."""

    def __init__(self, url: str, engine: Engine, *, timeout: float) -> None:
        super().__init__(url, pool_size=2, timeout=timeout)
        self.engine = engine

    def close(self) -> None:
        super().close()
        self.engine.dispose()

    def this(self, session: Session) -> Any:
        return sessions.c.id == row_id(self.engine, session)

    def others(self, session: Session) -> Any:
        of_user = sessions.c.user_id == key(self.engine, session.user_id)
        return of_user & sessions.c.ended_at.is_(None) & ~self.this(session)

    def change(self, connection: Connection, statement: Executable) -> int:
        """Once more after a deadlock: a single statement has then done nothing."""
        for attempt in range(20):
            try:
                return connection.execute(statement).rowcount
            except OperationalError:
                if attempt == 19:
                    raise
        raise AssertionError

    def look(self, connection: Connection, session: Session) -> None:
        if not self.is_live(connection, session):
            raise SessionRevoked
        sleep(THINKING)

    def is_live(self, connection: Connection, session: Session) -> bool:
        this = select(sessions.c.id).where(self.this(session), sessions.c.ended_at.is_(None))
        return connection.execute(this).first() is not None

    def raised(self, connection: Connection, user_id: str) -> int:
        this = users.c.user_id == key(self.engine, user_id)
        self.change(connection, update(users).where(this).values(generation=users.c.generation + 1, revoked_at=datetime.now(UTC)))
        generation: int = connection.execute(select(users.c.generation).where(this)).scalar_one()
        return generation


class CheckThenUpdate(Naive):
    """Look whether the caller is live, then revoke all others with one UPDATE."""

    def revoke_others(self, session: Session, /) -> RevokedCount:
        with self.engine.connect() as connection:
            self.look(connection, session)
            count = self.change(connection, update(sessions).where(self.others(session)).values(ended_at=datetime.now(UTC)))
            return RevokedCount(count, self.raised(connection, session.user_id))


class FindThenDelete(Naive):
    """List the others, then revoke them one by one."""

    def revoke_others(self, session: Session, /) -> RevokedCount:
        with self.engine.connect() as connection:
            self.look(connection, session)
            found = connection.execute(select(sessions.c.id).where(self.others(session))).scalars().all()
            for one in found:
                self.change(connection, update(sessions).where(sessions.c.id == one).values(ended_at=datetime.now(UTC)))
            return RevokedCount(len(found), self.raised(connection, session.user_id))


class LocksWithoutLooking(Naive):
    """Lock the user, then revoke all others: that the caller was live was seen before the lock was got."""

    def revoke_others(self, session: Session, /) -> RevokedCount:
        with self.engine.connect() as connection:
            self.look(connection, session)
        level = "SERIALIZABLE" if self.engine.dialect.name == "sqlite" else "READ COMMITTED"
        with self.engine.execution_options(isolation_level=level).begin() as connection:
            generation = self.raised(connection, session.user_id)  # locks the row; on SQLite, the file
            count: int = connection.execute(update(sessions).where(self.others(session)).values(ended_at=datetime.now(UTC))).rowcount
            return RevokedCount(count, generation)


class RevokesOneUnseen(Naive):
    """``revoke_others`` is ours; for one, look whether the caller is live, and revoke as an administrator does, who needs no look."""

    def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        with self.engine.connect() as connection:
            self.look(connection, session)
        return self.revoke(session.user_id, id)


class LocksOnlyItself(Naive):
    """``revoke_others`` and ``revoke_all`` are ours; signing in and out takes no lock and rests on what was read before."""

    def login(self, new: NewSession, /) -> Session:
        generation = self.begin_login(new.user_id)
        with self.engine.connect() as connection:
            if self.is_stale(connection, new, generation):
                raise StaleLogin
            sleep(THINKING)
            if new.replaces is not None:
                self.change(connection, update(sessions).where(self.this(new.replaces)).values(ended_at=datetime.now(UTC)))
            now = datetime.now(UTC)
            session = Session(id=uuid4(), user_id=new.user_id, generation=generation)
            names = {"id": row_id(self.engine, session), "user_id": key(self.engine, new.user_id)}
            times = {"issued_at": now, "authenticated_at": now, "last_seen_at": now, "expires_at": now + timedelta(seconds=new.lifetime)}
            self.change(connection, insert(sessions).values(**names, **times, digest=new.digest, methods="password"))
        return session

    def is_stale(self, connection: Connection, new: NewSession, generation: int) -> bool:
        if new.generation is not None:
            return new.generation != generation
        if new.replaces is not None and new.replaces.user_id == new.user_id:
            return not self.is_live(connection, new.replaces)
        return generation > 0 and new.age() > 60

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        session = Session(id=id, user_id=user_id)
        with self.engine.connect() as connection:
            this = update(sessions).where(self.this(session), sessions.c.ended_at.is_(None))
            return self.change(connection, this.values(ended_at=datetime.now(UTC))) > 0


class InsertsUnchecked(LocksOnlyItself):
    """Signs in whoever knew the password when it was looked at."""

    def is_stale(self, connection: Connection, new: NewSession, generation: int) -> bool:
        return False


class ForgetsTheFormerLease(Naive):
    """Waits for the lease of now, whatever it was when another worker read it."""

    def lease_wait(self) -> float:
        return self._ask(leases.lease()).seconds

    def check(self, credential: Credential, /) -> Checked:
        checked = super().check(credential)
        return checked._replace(wait=checked.lease)


class ChecksNoEra(Naive):
    """A session is live if its row says so."""

    def find(self, credential: Credential, /) -> Session | None:
        found = reading.find(credential.digest)

        def read(dialect: Dialect, row: Sequence[Any] | None) -> Session | None:
            return found.read(dialect, None if row is None else (*row[:-2], row[ERA], row[-1]))

        return self._ask(replace(found, read=read))


class JudgesNoEra(Naive):
    """A sign-in is judged by what was read before, and its session belongs to the era of the moment at which it was added."""

    def login(self, new: NewSession, /) -> Session:
        known = self.begin_login(new.user_id)
        if new.generation is not None and new.generation != known:
            raise StaleLogin
        sleep(THINKING)
        return super().login(replace(new, generation=self.begin_login(new.user_id)))


VARIANTS: Final[Mapping[str, type[Naive]]] = {
    variant.__name__: variant
    for variant in (
        CheckThenUpdate,
        ChecksNoEra,
        FindThenDelete,
        ForgetsTheFormerLease,
        InsertsUnchecked,
        JudgesNoEra,
        LocksOnlyItself,
        LocksWithoutLooking,
        RevokesOneUnseen,
    )
}
