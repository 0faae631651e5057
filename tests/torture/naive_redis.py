"""What one would write first in Redis, a hash for each session and a set for each user: canaries that every harness must catch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import sleep
from typing import Any, Final
from uuid import UUID, uuid4

from sessionward import Session, SessionRevoked, StaleLogin
from sessionward.backends import Credential, NewSession, RevokedCount, Terms
from sessionward.backends.redis import RedisBackend
from sessionward.session.session import ANY_TERMS, Checked
from tests.torture.naive import THINKING
from tests.torture.redis_keys import client_of, prefix_of


class CheckThenDelete:
    """Look whether the caller is live, then delete whatever the set has besides it."""

    def __init__(self, url: str) -> None:
        self._prefix = prefix_of(url)
        self._client = client_of(url)

    def find(self, credential: Credential, /) -> Session | None:
        return self._session(credential.digest.hex())

    def list(self, user_id: str, /) -> Sequence[Session]:
        found = [self._session(digest) for digest in self._members(user_id)]
        return [one for one in found if one is not None]

    def begin_login(self, user_id: str, /) -> int:
        return int(self._client.get(self._key("generation", user_id)) or 0)

    def login(self, new: NewSession, /) -> Session:
        generation = self.begin_login(new.user_id)
        if self.is_stale(new, generation):
            raise StaleLogin
        sleep(THINKING)
        if new.replaces is not None:
            self.revoke(new.replaces.user_id, new.replaces.id)
        digest, public = new.digest.hex(), uuid4()
        self._client.set(self._key("id", str(public)), digest)
        self._client.hset(self._key("session", digest), mapping={"id": str(public), "user": new.user_id})
        self._client.sadd(self._key("user", new.user_id), digest)
        return Session(id=public, user_id=new.user_id, generation=generation)

    def is_stale(self, new: NewSession, generation: int) -> bool:
        if new.generation is not None:
            return new.generation != generation
        if new.replaces is not None and new.replaces.user_id == new.user_id:
            return not self.is_live(new.replaces)
        return generation > 0 and new.age() > 60

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        digest = self._digest(id)
        self._client.srem(self._key("user", user_id), digest)
        return bool(self._client.delete(self._key("session", digest)))

    def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        self.look(session)
        return self.revoke(session.user_id, id)

    def revoke_others(self, session: Session, /) -> RevokedCount:
        self.look(session)
        return self.deleted(session.user_id, self._digest(session.id))

    def revoke_all(self, user_id: str, /) -> RevokedCount:
        return self.deleted(user_id, "")

    def deleted(self, user_id: str, own: str) -> RevokedCount:
        others = self._members(user_id) - {own}
        count = sum(self._client.delete(self._key("session", digest)) for digest in others)
        return RevokedCount(count, self._client.incr(self._key("generation", user_id)))

    def look(self, session: Session) -> None:
        if not self.is_live(session):
            raise SessionRevoked
        sleep(THINKING)

    def is_live(self, session: Session) -> bool:
        return bool(self._client.exists(self._key("session", self._digest(session.id))))

    def close(self) -> None:
        self._client.close()

    def _session(self, digest: str) -> Session | None:
        found: dict[bytes, bytes] = self._client.hgetall(self._key("session", digest))
        if not found:
            return None
        user = found[b"user"].decode()
        return Session(id=UUID(found[b"id"].decode()), user_id=user, generation=self.begin_login(user))

    def _digest(self, id: UUID) -> str:
        found: bytes = self._client.get(self._key("id", str(id)))
        return found.decode()

    def _members(self, user_id: str) -> set[str]:
        return {one.decode() for one in self._client.smembers(self._key("user", user_id))}

    def _key(self, kind: str, name: str) -> str:
        """In a cluster too: the transaction of one variant is on one user's keys, so these have one slot."""
        return f"{self._prefix}:{{naive}}:{kind}:{name}"


class DeletesInTransaction(CheckThenDelete):
    """The same with ``MULTI`` around the deletion: that the caller was live was seen before."""

    def deleted(self, user_id: str, own: str) -> RevokedCount:
        others = self._members(user_id) - {own}
        commands: Any = self._client.pipeline(transaction=True)
        for digest in others:
            commands.delete(self._key("session", digest))
        commands.incr(self._key("generation", user_id))
        *counts, generation = commands.execute()
        return RevokedCount(sum(counts), generation)


class InsertsUnchecked(CheckThenDelete):
    """Signs in whoever knew the password when it was looked at."""

    def is_stale(self, new: NewSession, generation: int) -> bool:
        return False


VARIANTS: Final[Mapping[str, type[CheckThenDelete]]] = {
    variant.__name__: variant for variant in (CheckThenDelete, DeletesInTransaction, InsertsUnchecked)
}


class ForgetsTheFormerLease(RedisBackend):
    """Ours, which waits for the lease of now, whatever it was when another worker read it."""

    def lease_wait(self) -> float:
        return self.lease().seconds

    def check(self, credential: Credential, /) -> Checked:
        checked = super().check(credential)
        return checked._replace(wait=checked.lease)


OVER_OURS: Final[Mapping[str, type[RedisBackend]]] = {ForgetsTheFormerLease.__name__: ForgetsTheFormerLease}
