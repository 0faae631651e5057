"""Wraps an async backend so that sync tests can call it, and calls several functions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any, ClassVar, Final, Protocol, TypeVar
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.session.backend import (
    SupportsCompanions,
    SupportsLeases,
    SupportsMany,
    SupportsQuietRevocation,
    SupportsSessionAPI,
)
from sessionward.session.era import SupportsEverybody
from sessionward.session.session import ANY_TERMS, Checked, CompanionStatus, NewSession, Position, Session, SessionList, Terms
from sessionward.session.use import SupportsSeen, at_once

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds after which a test that hangs fails."""


class Everything(
    SupportsCompanions,
    SupportsEverybody,
    SupportsLeases,
    SupportsMany,
    SupportsQuietRevocation,
    SupportsSeen,
    SupportsSessionAPI,
    Protocol,
):
    """All operations of a backend, sync, and those with which the tests look into it."""

    def which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]: ...

    def note(self, credential: Credential, /) -> None: ...

    def purge(self, older_than: Any = ..., /) -> int: ...


class Loop:
    """An event loop in a separate thread."""

    def __init__(self) -> None:
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def until_stopped() -> None:
            stop = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

        self._thread = Thread(target=lambda: asyncio.run(until_stopped()), name="loop of a test", daemon=True)
        self._thread.start()
        self._loop, self._stop = started.result(PATIENCE)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


class Bridged:
    """An async backend behind sync methods. Its coroutines run on a :class:`Loop`."""

    blocking: ClassVar[bool] = True

    def __init__(self, backend: Any, loop: Loop) -> None:
        self._backend = backend
        self._loop = loop

    def find(self, credential: Credential, /) -> Session | None:
        found: Session | None = self._loop.run(self._backend.find(credential))
        return found

    def revoke_others(self, session: Session, /) -> int:
        count: int = self._loop.run(self._backend.revoke_others(session))
        return count

    def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> int:
        count: int = self._loop.run(self._backend.revoke_others_quietly(session, terms))
        return count

    def revoke_one(self, session: Session, id: UUID, terms: Terms, /) -> bool:
        was_live: bool = self._loop.run(self._backend.revoke_one(session, id, terms))
        return was_live

    def login(self, new: NewSession, /) -> Session:
        session: Session = self._loop.run(self._backend.login(new))
        return session

    def begin_login(self, user_id: str, /) -> int:
        generation: int = self._loop.run(self._backend.begin_login(user_id))
        return generation

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        was_live: bool = self._loop.run(self._backend.revoke(user_id, id))
        return was_live

    def revoke_own(self, user_id: str, id: UUID, /) -> bool:
        was_live: bool = self._loop.run(self._backend.revoke_own(user_id, id))
        return was_live

    def revoke_all(self, user_id: str, /) -> int:
        count: int = self._loop.run(self._backend.revoke_all(user_id))
        return count

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        status: CompanionStatus = self._loop.run(self._backend.companion_status(user_id, app_session))
        return status

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        is_revoked: bool = self._loop.run(self._backend.is_revoked_app_session(app_session))
        return is_revoked

    def adopt(self, new: NewSession, /) -> Session | None:
        session: Session | None = self._loop.run(self._backend.adopt(new))
        return session

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None, idle_timeout: float | None = None) -> bool:
        limit = {} if idle_timeout is None else {"idle_timeout": idle_timeout}
        was_live: bool = self._loop.run(self._backend.extend(session, lifetime=lifetime, app_session=app_session, **limit))
        return was_live

    def check(self, credential: Credential, /) -> Checked:
        checked: Checked = self._loop.run(self._backend.check(credential))
        return checked

    def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        found: Collection[Credential] = self._loop.run(self._backend.find_many(credentials))
        return found

    def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float] = at_once, /
    ) -> Mapping[UUID, float]:
        due_again: Mapping[UUID, float] = self._loop.run(self._backend.note_seen(sessions, idle_timeout, age))
        return due_again

    def revoke_everybody(self) -> None:
        self._loop.run(self._backend.revoke_everybody())

    def lease_wait(self) -> float:
        seconds: float = self._loop.run(self._backend.lease_wait())
        return seconds

    def raise_lease(self, seconds: float, /) -> None:
        self._loop.run(self._backend.raise_lease(seconds))

    def set_lease(self, seconds: float, /) -> None:
        self._loop.run(self._backend.set_lease(seconds))

    def which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        revoked: Collection[Credential] = self._loop.run(self._backend.which_revoked(credentials))
        return revoked

    def note(self, credential: Credential, /) -> None:
        self._loop.run(self._backend.note(credential))

    def renewed(self, new: Credential, old: Collection[Credential], age: Callable[[], float], /) -> bool:
        return bool(self._loop.run(self._backend.renewed(new, old, age)))

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        found: SessionList = self._loop.run(self._backend.list(user_id, after=after, limit=limit, without=without))
        return found

    def purge(self, older_than: float | timedelta = 0.0, /) -> int:
        count: int = self._loop.run(self._backend.purge(older_than))
        return count

    def create_tables(self) -> None:
        self._loop.run(self._backend.create_tables())

    def close(self) -> None:
        self._loop.run(self._backend.close())


def together(*calls: Callable[[], T]) -> list[T | BaseException]:
    """Calls all functions at once, each in a thread. Returns, in the order of the functions, what each returned or raised."""
    barrier = Barrier(len(calls))

    def at_once(call: Callable[[], T]) -> T:
        barrier.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        running = [threads.submit(at_once, call) for call in calls]
        return [future.exception(PATIENCE) or future.result() for future in running]
