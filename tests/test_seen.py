"""Uses of sessions are recorded behind the requests: nobody waits, nothing late counts, and what fails is lost and no more."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from time import monotonic, time
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID, uuid4

import anyio
import pytest

from sessionward import ASGIMiddleware, ConfigurationError, WSGIMiddleware
from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.door.parts import warn
from sessionward.drive import SyncDriver, async_driver
from sessionward.seen import flush, notes, waiting
from sessionward.seen.flush import ByLoop, ByThread, seen_of
from sessionward.seen.notes import AtOnce
from sessionward.session.assertion import FIELD, Signer
from sessionward.session.session import NewSession, Session
from sessionward.session.use import SEEN_PAUSE, TOO_LATE
from tests.support.core import NAME, SECRET, SIGNED, TOKEN, FindsAndEnds, environ_of, mode_of, scope_of
from tests.support.sessions import unused_for

PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""


class Keeps(FindsAndEnds):
    """Remembers what it was asked to record. ``answer``: the seconds until each session is due again."""

    def __init__(self) -> None:
        self.recorded: list[Session] = []
        self.batches: list[int] = []
        self.ages: list[float] = []
        self.answer = SEEN_PAUSE
        self.fails = False
        self.has_recorded = threading.Event()

    def note_seen(self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float], /) -> Mapping[UUID, float]:
        self.has_recorded.set()
        self.ages.append(age())
        self.batches.append(len(sessions))
        if self.fails:
            raise OSError("the disk is gone")
        self.recorded += sessions
        return {session.id: self.answer for session in sessions}


class AsyncKeeps:
    """The async colour of :class:`Keeps`."""

    def __init__(self) -> None:
        self.inner = Keeps()
        self.has_recorded = asyncio.Event()

    async def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float], /
    ) -> Mapping[UUID, float]:
        self.has_recorded.set()
        return self.inner.note_seen(sessions, idle_timeout, age)


def session_of(number: int = 0) -> Session:
    return Session(id=UUID(int=number) if number else uuid4(), user_id="ann")


def at_once(backend: Any) -> AtOnce:
    return AtOnce(None, SyncDriver(backend, 1.0, blocks=False))


def by_thread(backend: Any) -> ByThread:
    return ByThread(None, SyncDriver(backend, 1.0, blocks=True))


def by_loop(backend: Any) -> ByLoop:
    return ByLoop(None, async_driver(backend, 1.0, is_async=True, blocks=True))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is recorded after a hundredth of a second."""
    monkeypatch.setattr(flush, "EVERY", 0.01)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock by which uses wait."""
    now = [1000.0]
    monkeypatch.setattr(waiting, "clock", lambda: now[0])

    def set_to(moment: float) -> None:
        now[0] = 1000.0 + moment

    return set_to


def no_thread_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits stays until the test records it."""
    monkeypatch.setattr(flush, "_work", lambda *_: None)


# --- how often --------------------------------------------------------------------------------------------------------


def test_a_session_is_noted_once_in_a_pause() -> None:
    backend = Keeps()
    seen, session, now = at_once(backend), session_of(), monotonic()
    for seconds in (0.0, 1.0, SEEN_PAUSE - 1):
        seen.note(session, now + seconds)
    assert len(backend.recorded) == 1
    seen.note(session, now + SEEN_PAUSE + 1)
    assert len(backend.recorded) == 2


def test_a_session_that_another_worker_has_recorded_is_noted_again_when_it_is_due() -> None:
    """Else a use could lie two pauses back at the next record, and the session would end as much too early."""
    backend = Keeps()
    backend.answer = 20.0
    seen, session, now = at_once(backend), session_of(), monotonic()
    seen.note(session, now)
    seen.note(session, now + 19.0)
    assert len(backend.recorded) == 1
    seen.note(session, now + 21.0)
    assert len(backend.recorded) == 2


def test_a_worker_forgets_the_sessions_that_it_has_noted_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_KEPT", 3)
    backend = Keeps()
    seen, now = at_once(backend), monotonic()
    for number in (1, 2, 3, 4):
        seen.note(session_of(number), now)
    for number in (4, 3, 2):
        seen.note(session_of(number), now)
    assert len(backend.recorded) == 4
    seen.note(session_of(1), now)
    assert len(backend.recorded) == 5


def test_p6_a_record_is_given_up_before_the_session_that_it_extends_can_have_ended() -> None:
    assert flush.TIMEOUT < TOO_LATE
    assert waiting.LATEST + flush.TIMEOUT < 12.0, "a tenth of the shortest limit: a session ends as much too early at most"


# --- by a thread ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("soon")
def test_a_thread_records_all_that_waits_in_one_question() -> None:
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()
    for number in range(1, 20):
        seen.note(session_of(number), now)
    assert backend.has_recorded.wait(PATIENCE)
    until(lambda: len(backend.recorded) == 19)
    assert len(backend.batches) < 19
    assert until(lambda: not thread_of_last_use()), "the thread ends when nothing waits"
    seen.note(session_of(20), now)
    assert until(lambda: len(backend.recorded) == 20), "and another one starts"


def test_no_more_than_a_number_waits_and_what_found_no_room_is_noted_at_its_next_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", 2)
    no_thread_comes(monkeypatch)
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()
    for number in (1, 2, 3):
        seen.note(session_of(number), now)
    seen.flush_now()
    assert [session.id.int for session in backend.recorded] == [1, 2]
    seen.note(session_of(3), now)
    seen.flush_now()
    assert [session.id.int for session in backend.recorded] == [1, 2, 3]


def test_more_than_a_batch_is_recorded_in_several_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "BATCH", 4)
    no_thread_comes(monkeypatch)
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()
    for number in range(1, 11):
        seen.note(session_of(number), now)
    seen.flush_now()
    assert backend.batches == [4, 4, 2]


def test_a_record_that_fails_is_logged_once_and_lost_until_the_next_use(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "BATCH", 2)
    no_thread_comes(monkeypatch)
    backend = Keeps()
    backend.fails = True
    seen, now = by_thread(backend), monotonic()
    for number in (1, 2, 3, 4, 5):
        seen.note(session_of(number), now)
    with caplog.at_level(logging.WARNING, "sessionward"):
        seen.flush_now()
    assert backend.batches == [2], "the others would wait for as long"
    assert caplog.text.count("NoteSeen") == 1
    backend.fails = False
    seen.flush_now()
    assert backend.recorded == []
    seen.note(session_of(5), now)
    seen.flush_now()
    assert [session.id.int for session in backend.recorded] == [5]


def test_a_use_that_has_waited_too_long_is_dropped(monkeypatch: pytest.MonkeyPatch, at: Callable[[float], None]) -> None:
    """All others of the batch would be recorded as of it, and end as much too early."""
    no_thread_comes(monkeypatch)
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()
    seen.note(session_of(1), now)
    at(waiting.LATEST - 3)
    seen.note(session_of(2), now)
    at(waiting.LATEST + 0.1)
    seen.flush_now()
    assert [session.id.int for session in backend.recorded] == [2]
    seen.note(session_of(1), now)
    seen.flush_now()
    assert [session.id.int for session in backend.recorded] == [2, 1]


def test_a_batch_is_recorded_with_the_age_of_its_oldest_use(monkeypatch: pytest.MonkeyPatch, at: Callable[[float], None]) -> None:
    """The session must not end later than its limit after that, however long the use has waited."""
    monkeypatch.setattr(waiting, "BATCH", 2)
    no_thread_comes(monkeypatch)
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()
    for number, moment in ((1, 0.0), (2, 0.5), (3, 1.0)):
        at(moment)
        seen.note(session_of(number), now)
    at(1.5)
    seen.flush_now()
    assert backend.ages == [1.5, 0.5]


def test_where_threads_stand_still_a_request_records_by_itself(monkeypatch: pytest.MonkeyPatch, at: Callable[[float], None]) -> None:
    """As in uWSGI without --enable-threads."""
    no_thread_comes(monkeypatch)
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()
    seen.note(session_of(1), now)
    at(waiting.STUCK + 60)
    seen.note(session_of(2), now)
    assert [session.id.int for session in backend.recorded] == [2]
    seen.note(session_of(3), now)
    assert [session.id.int for session in backend.recorded] == [2, 3]
    seen.note(session_of(3), now)
    assert len(backend.recorded) == 2


@pytest.mark.parametrize("options", [{"http-socket": b"x", "processes": b"2"}, {b"master": True}], ids=["names", "names in bytes"])
def test_under_uwsgi_without_threads_a_request_records_by_itself(monkeypatch: pytest.MonkeyPatch, options: dict[Any, Any]) -> None:
    """A thread would stand still between two requests, perhaps with locks of the database."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=options))
    monkeypatch.setattr(threading, "Thread", no_thread_left)
    keeps = Keeps()
    by_thread(keeps).note(session_of(), monotonic())
    assert keeps.batches == [1]


@pytest.mark.parametrize("option", ["enable-threads", b"threads", "gevent"], ids=repr)
def test_under_uwsgi_with_threads_a_thread_records(monkeypatch: pytest.MonkeyPatch, option: Any) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={option: True}))
    no_thread_comes(monkeypatch)
    keeps = Keeps()
    by_thread(keeps).note(session_of(), monotonic())
    assert keeps.batches == []


def test_on_an_event_loop_no_request_records_by_itself(monkeypatch: pytest.MonkeyPatch, at: Callable[[float], None]) -> None:
    no_thread_comes(monkeypatch)
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()

    async def noted() -> None:
        seen.note(session_of(1), now)
        at(waiting.STUCK + 60)
        seen.note(session_of(2), now)

    asyncio.run(noted())
    assert backend.recorded == []


def test_a_middleware_that_is_gone_records_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flush, "EVERY", 0.05)
    backend = Keeps()
    seen = by_thread(backend)
    seen.note(session_of(), monotonic())
    del seen
    assert until(lambda: not thread_of_last_use())
    assert backend.recorded == []


def test_without_a_thread_left_the_request_goes_on_and_the_next_one_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread_left)
        seen.note(session_of(1), now)
    monkeypatch.setattr(flush, "EVERY", 0.01)
    seen.note(session_of(2), now)
    assert until(lambda: [session.id.int for session in backend.recorded] == [1, 2])


def no_thread_left(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.usefixtures("soon")
def test_a_forked_child_records_by_a_thread_of_its_own(tmp_path: Path) -> None:
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()
    seen.note(session_of(1), now)
    assert backend.has_recorded.wait(PATIENCE)
    backend.has_recorded.clear()
    child = os.fork()
    if child == 0:  # no test runner in here: whatever happens, end without it
        try:
            seen.note(session_of(2), now)
            if backend.has_recorded.wait(PATIENCE):
                (tmp_path / "recorded").write_text(str(backend.recorded[-1].id.int))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "recorded").read_text() == "2"


def until(claim: Callable[[], bool]) -> bool:
    """Waits until a claim is true. Returns False if it does not become so."""
    ends = monotonic() + PATIENCE
    waits = threading.Event()
    while not claim():
        if monotonic() > ends:
            return False
        waits.wait(0.005)
    return True


def thread_of_last_use() -> bool:
    return any(thread.name == "sessionward last use" for thread in threading.enumerate())


# --- by an event loop -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("soon")
def test_a_task_records_all_that_waits_in_one_question() -> None:
    async def noted() -> Keeps:
        backend = AsyncKeeps()
        seen, now = by_loop(backend), monotonic()
        for number in range(1, 20):
            seen.note(session_of(number), now)
        async with asyncio.timeout(PATIENCE):
            await backend.has_recorded.wait()
        return backend.inner

    backend = asyncio.run(noted())
    assert backend.batches == [19]


def test_each_event_loop_records_its_own_and_what_waits_at_its_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flush, "EVERY", 3600.0)
    backend = Keeps()
    wrapped = AsyncKeeps()
    wrapped.inner = backend
    seen, now = by_loop(wrapped), monotonic()

    async def noted(number: int) -> None:
        seen.note(session_of(number), now)
        await seen.flush()

    for number in (1, 2, 3):
        asyncio.run(noted(number))
    assert [session.id.int for session in backend.recorded] == [1, 2, 3]
    assert len(seen._by_loop) == 1, "loops that are closed are forgotten"


@pytest.mark.usefixtures("soon")
def test_a_task_that_fails_lets_the_next_one_record() -> None:
    async def noted() -> Keeps:
        backend = AsyncKeeps()
        backend.inner.fails = True
        seen, now = by_loop(backend), monotonic()
        async with asyncio.timeout(PATIENCE):
            seen.note(session_of(1), now)
            await backend.has_recorded.wait()
            backend.inner.fails = False
            backend.has_recorded.clear()
            seen.note(session_of(2), now)
            await backend.has_recorded.wait()
        return backend.inner

    assert [session.id.int for session in asyncio.run(noted()).recorded] == [2]


@pytest.mark.usefixtures("soon")
def test_a_task_that_other_code_cancels_is_not_the_last_one() -> None:
    async def noted() -> Keeps:
        backend = Slow()
        seen, now = by_loop(backend), monotonic()
        async with asyncio.timeout(PATIENCE):
            seen.note(session_of(1), now)
            await backend.is_asked.wait()
            for task in list(seen._tasks):
                task.cancel()
            await asyncio.wait(list(seen._tasks))
            backend.answers.set()
            seen.note(session_of(2), now)
            seen.note(session_of(1), now)
            while len(backend.inner.recorded) < 2:
                await asyncio.sleep(0.005)
        return backend.inner

    assert [session.id.int for session in asyncio.run(noted()).recorded] == [2, 1]


class Slow(AsyncKeeps):
    """Answers only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.answers = asyncio.Event(), asyncio.Event()

    async def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float], /
    ) -> Mapping[UUID, float]:
        self.is_asked.set()
        await self.answers.wait()
        return await super().note_seen(sessions, idle_timeout, age)


# --- the middlewares --------------------------------------------------------------------------------------------------

COOKIE = (b"cookie", NAME + b"=" + SIGNED)
IDLE = 900.0


def new() -> NewSession:
    return NewSession(user_id="ada", digest=Credential(TOKEN).digest, lifetime=86_400.0, age=lambda: -1.0)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def wsgi_application(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [b""]


async def receive() -> Any:
    return {"type": "lifespan.shutdown"}


async def send(message: Any) -> None:
    pass


@pytest.mark.parametrize("kind", [SQLBackend, AsyncSQLBackend], ids=["sync", "async"])
def test_what_waits_is_recorded_when_an_asgi_server_ends(kind: Any, sqlite_url: str) -> None:
    aside = SQLBackend(sqlite_url)
    aside.create_tables()
    aside.login(new())

    async def served() -> None:
        middleware = ASGIMiddleware(application, kind(sqlite_url), secrets=[SECRET], idle_timeout=IDLE)
        await middleware(scope_of(COOKIE, query_string=b"", root_path=""), receive, send)
        await middleware({"type": "lifespan"}, receive, send)

    unused_for(sqlite_url, 120.0)
    asyncio.run(served())
    (session,) = aside.list("ada")
    assert session.last_seen_at is not None
    assert session.expires_at is not None
    assert (session.expires_at - session.last_seen_at).total_seconds() == IDLE
    aside.close()


def test_what_waits_is_recorded_when_a_process_ends(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    no_thread_comes(monkeypatch)
    backend = SQLBackend(sqlite_url)
    backend.create_tables()
    backend.login(new())
    unused_for(sqlite_url, 120.0)
    middleware = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET], idle_timeout=IDLE)
    list(middleware(environ_of(COOKIE), lambda *_: None))  # type: ignore[arg-type]
    flush._flush_all(flush._at_exit())
    (session,) = backend.list("ada")
    assert session.last_seen_at is not None
    assert session.expires_at is not None
    assert (session.expires_at - session.last_seen_at).total_seconds() == IDLE
    backend.close()


@pytest.mark.parametrize(
    ("backend", "options", "kind"),
    [
        (MemoryBackend(), {"idle_timeout": IDLE}, AtOnce),
        (MemoryBackend(), {"api": True}, AtOnce),
        (MemoryBackend(), {}, type(None)),
        (SQLBackend("sqlite:///nowhere.db"), {"api": True}, ByThread),
        (AsyncSQLBackend("sqlite:///nowhere.db"), {"idle_timeout": IDLE}, ByLoop),
        (FindsAndEnds(), {}, type(None)),
    ],
    ids=["a limit", "the API", "neither", "a sync backend", "an async backend", "a backend that keeps none"],
)
def test_the_backend_decides_by_what_uses_are_recorded(backend: object, options: dict[str, Any], kind: type[object]) -> None:
    assert type(seen_of(mode_of(backend, **options), backend)) is kind


class KeepsNoUse(FindsAndEnds):
    blocking: ClassVar[bool] = False


def test_a_limit_over_a_backend_that_keeps_no_use_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="idle_timeout: KeepsNoUse does not keep when a session was used last"):
        mode_of(KeepsNoUse(), idle_timeout=IDLE)
    with pytest.raises(ConfigurationError, match="limits: KeepsNoUse does not keep when a session was used last"):
        mode_of(KeepsNoUse(), limits="pci")


def test_without_an_event_loop_of_asyncio_the_log_says_once_that_no_use_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    warn.cache_clear()
    backend = AsyncKeeps()
    seen, now = by_loop(backend), monotonic()
    with caplog.at_level(logging.WARNING, "sessionward"):
        for number in (1, 2):
            seen.note(session_of(number), now)
    assert caplog.text.count("under trio an async backend does not record when sessions are used") == 1
    assert backend.inner.batches == []


def test_under_trio_a_sync_backend_records(monkeypatch: pytest.MonkeyPatch) -> None:
    no_thread_comes(monkeypatch)
    backend = Keeps()
    seen, now = by_thread(backend), monotonic()

    async def served() -> None:
        seen.note(session_of(1), now)
        await seen.flush()

    anyio.run(served, backend="trio")
    assert [session.id.int for session in backend.recorded] == [1]


def test_behind_a_sidecar_only_the_sidecar_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both would write, and the application has not looked the session up."""
    backend = MemoryBackend()
    session = backend.login(new())
    asked: list[Collection[Session]] = []

    def note_seen(sessions: Collection[Session], _idle: float | None, _age: Callable[[], float]) -> Mapping[UUID, float]:
        asked.append(sessions)
        return {}

    monkeypatch.setattr(backend, "note_seen", note_seen)
    secret = SECRET[::-1]
    middleware = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET], assertion_secrets=[secret], idle_timeout=IDLE)
    stated = (FIELD, Signer([secret.encode()], "").sign(session, time()))
    list(middleware(environ_of(stated), lambda *_: None))  # type: ignore[arg-type]
    assert asked == []
    list(middleware(environ_of(COOKIE), lambda *_: None))  # type: ignore[arg-type]
    assert len(asked) == 1
