"""Backends with a hand inside: what they are asked is counted, and what they answer can be made to fail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, ClassVar, Final

from sessionward import Session
from sessionward.backends import Carrier, Credential, RevokedCount, Terms, public_id
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.session.session import ANY_TERMS


class Memory(MemoryBackend):
    """``asked``: every look at a session. ``on_find``, ``on_revoke_others``: called first, and may raise. ``now``: moves the clock."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        super().__init__(clock=lambda: self.now + monotonic())
        self.asked: list[str] = []
        self.on_find: Callable[[], Any] = _nothing
        self.on_revoke_others: Callable[[], Any] = _nothing

    def find(self, credential: Credential, /) -> Session | None:
        self.asked.append("find")
        self.on_find()
        return super().find(credential)

    def revoke_others(self, session: Session, /) -> RevokedCount:
        self.asked.append("revoke_others")
        self.on_revoke_others()
        return super().revoke_others(session)

    def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> RevokedCount:
        self.asked.append("revoke_others")
        self.on_revoke_others()
        return super().revoke_others_quietly(session, terms)

    def fail(self, failure: Exception) -> None:
        """From now on every look fails."""

        def raising() -> None:
            raise failure

        self.on_find = raising


@dataclass(frozen=True)
class Keeper:
    """``backend`` is async behind an async door; ``aside`` is how another party reaches the same sessions, and sync."""

    backend: Any
    aside: Any


@contextmanager
def keeping(kind: str, url: str, *, is_asgi: bool) -> Iterator[Keeper]:
    """Where the sessions are, for the scenarios that run on a database as well. ``kind``: one of ``KINDS``. ``url``: of SQLite."""
    if kind == "memory":
        memory = Memory()
        yield Keeper(memory, memory)
        return
    aside = SQLBackend(url)
    aside.create_tables()
    yield Keeper((AsyncSQLBackend if is_asgi else SQLBackend)(url), aside)
    aside.close()


KINDS: Final = ["memory", "sqlite"]


class Foreign:
    """Over sessions that are started elsewhere: it can find and revoke them, and nothing more."""

    blocking = False

    def __init__(self, inner: Memory) -> None:
        self.inner = inner

    def find(self, credential: Credential, /) -> Session | None:
        return self.inner.find(credential)

    def revoke_others(self, session: Session, /) -> int:
        return self.inner.revoke_others(session)


class Rows:
    """An application's own sessions, key to user, in its cookie ``sid``. ``asked``: every question; ``on_find`` may raise."""

    blocking: ClassVar[bool] = False
    carriers: ClassVar[Sequence[Carrier]] = (Carrier.cookie("sid"),)

    def __init__(self, **users: str) -> None:
        self.users = users
        self.asked: list[str] = []
        self.on_find: Callable[[], Any] = _nothing

    def find(self, credential: Credential, /) -> Session | None:
        self.asked.append("find")
        self.on_find()
        user = self.users.get(credential.reveal())
        return None if user is None else Session(id=public_id(credential), user_id=user, credential=credential)

    def revoke_others(self, session: Session, /) -> int:
        self.asked.append("revoke_others")
        assert session.credential is not None
        others = [key for key, user in self.users.items() if user == session.user_id and key != session.credential.reveal()]
        for key in others:
            del self.users[key]
        return len(others)


class WaitingRows(Rows):
    """The same in a database: sync, and it may wait."""

    blocking: ClassVar[bool] = True


class AsyncRows:
    """The same, async."""

    carriers: ClassVar[Sequence[Carrier]] = Rows.carriers

    def __init__(self, **users: str) -> None:
        self.rows = Rows(**users)
        self.asked = self.rows.asked

    async def find(self, credential: Credential, /) -> Session | None:
        return self.rows.find(credential)

    async def revoke_others(self, session: Session, /) -> int:
        return self.rows.revoke_others(session)


class RecordedRows(Rows):
    """The same where the application may write a revoked session back."""

    def which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        return [credential for credential in credentials if credential.reveal() not in self.users]


def _nothing() -> None:
    return None
