"""Both colours look plain from here: what is async runs on one event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any, ClassVar, Final, Protocol, TypeVar

from sessionward import Companions, CompanionStatus, Device, Session
from sessionward.credential.token import Credential

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds after which a test that hangs is called off."""


class Sessions(Companions, Protocol):
    """Everything that backends of ours can do, in plain colour."""

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
    ) -> Session: ...

    def list(self, user_id: str, /) -> Sequence[Session]: ...

    def purge(self, older_than: Any = ..., /) -> int: ...


class Loop:
    """An event loop in a thread."""

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
    """An async backend in plain colour."""

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
        asked = self._backend.login(
            user_id,
            digest,
            since=since,
            age=age,
            replaces=replaces,
            expires_in=expires_in,
            device=device,
            methods=methods,
            app_session=app_session,
        )
        session: Session = self._loop.run(asked)
        return session

    def begin_login(self, user_id: str, /) -> int:
        generation: int = self._loop.run(self._backend.begin_login(user_id))
        return generation

    def end(self, session: Session, /) -> bool:
        was_live: bool = self._loop.run(self._backend.end(session))
        return was_live

    def revoke_all(self, user_id: str, /) -> int:
        count: int = self._loop.run(self._backend.revoke_all(user_id))
        return count

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        standing: CompanionStatus = self._loop.run(self._backend.companion_status(user_id, app_session))
        return standing

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        spent: bool = self._loop.run(self._backend.is_revoked_app_session(app_session))
        return spent

    def adopt(self, user_id: str, digest: bytes, /, *, app_session: bytes, expires_in: float, device: Device) -> Session | None:
        asked = self._backend.adopt(user_id, digest, app_session=app_session, expires_in=expires_in, device=device)
        session: Session | None = self._loop.run(asked)
        return session

    def touch(self, session: Session, /, *, app_session: bytes | None, expires_in: float) -> bool:
        was_live: bool = self._loop.run(self._backend.touch(session, app_session=app_session, expires_in=expires_in))
        return was_live

    def list(self, user_id: str, /) -> Sequence[Session]:
        found: Sequence[Session] = self._loop.run(self._backend.list(user_id))
        return found

    def purge(self, older_than: float | timedelta = 0.0, /) -> int:
        count: int = self._loop.run(self._backend.purge(older_than))
        return count

    def create_tables(self) -> None:
        self._loop.run(self._backend.create_tables())

    def close(self) -> None:
        self._loop.run(self._backend.close())


def together(*calls: Callable[[], T]) -> list[T | BaseException]:
    """Call all of them at once, each in a thread; what each returned or raised, in their order."""
    barrier = Barrier(len(calls))

    def at_once(call: Callable[[], T]) -> T:
        barrier.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        running = [threads.submit(at_once, call) for call in calls]
        return [future.exception(PATIENCE) or future.result() for future in running]
