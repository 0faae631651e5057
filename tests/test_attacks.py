"""Attacks and accidents that worked on an earlier state of the code, each in a few lines."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from sessionward import Session, StaleLogin
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql.driver import aborter
from sessionward.backends.watchdog import Watchdog
from sessionward.flow import begin_login, login, revoke_others_endpoint
from sessionward.request.request import ASGIRequest, WSGIRequest
from sessionward.settings import Settings
from tests.support.core import SECRET, TOKEN, environ_of, mode_of, opened, play, scope_of
from tests.support.sessions import new_session

PATIENCE = 20.0
"""Seconds. Only a test that fails waits so long."""


def test_p3_a_ticket_of_a_user_whose_id_goes_on_after_a_dot_is_none_of_this_user() -> None:
    generation, _, signature = play(begin_login(mode_of(), "ann@x.de.evil"), 1).value.partition(".")
    forged = f"{generation}.evil.{signature}"
    played = play(login(*opened(), "ann@x.de", ticket=forged, methods=(), persistent=True))
    assert isinstance(played.raised, StaleLogin)
    assert played.asked == []


def test_p3_a_clock_that_is_set_right_while_a_sign_in_waits_lets_no_stale_one_in() -> None:
    now = [1_000_000.0]
    backend = MemoryBackend(clock=lambda: now[0])
    backend.revoke_all("ada")
    now[0] += 10.0 * 1.0005  # ten seconds, by a clock that runs 500 ppm fast
    with pytest.raises(StaleLogin):
        backend.login(new_session("ada", TOKEN, age=lambda: 10.0))


def test_settings_show_no_secret() -> None:
    assert SECRET not in repr(Settings.of({"secrets": [SECRET]}))


def test_a_backend_that_answers_no_number_is_no_success() -> None:
    session = Session(id=UUID(int=1), user_id="ada")
    answer = play(revoke_others_endpoint(*opened((b"x-session-token", TOKEN))), session, None).value
    assert answer.status == 503


def test_p7_the_watchdog_outlives_a_call_that_fails() -> None:
    watchdog, called = Watchdog(), threading.Event()

    def fail() -> None:
        raise RuntimeError("the connection is lost")

    watchdog.watch(0.0, fail)
    watchdog.watch(0.0, called.set)
    assert called.wait(PATIENCE)


def test_p7_the_watchdog_starts_again_after_its_thread_could_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    watchdog, called = Watchdog(), threading.Event()

    def full(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(watchdog, "_start", full)
        with pytest.raises(RuntimeError):
            watchdog.watch(0.0, called.set)
    watchdog.watch(0.0, called.set)
    assert called.wait(PATIENCE)


def test_p7_aborting_a_broken_connection_raises_nothing() -> None:
    class Lost:
        closed = False

        @property
        def pgconn(self) -> object:
            raise ValueError("the connection is lost")

    lost = Lost()
    aborter("psycopg")(lost)
    assert not lost.closed


@pytest.mark.parametrize(
    ("path", "root", "route"),
    [
        pytest.param(b"//auth/sessions", "/", b"//auth/sessions", id="a root of a slash takes none away"),
        pytest.param(b"/api/auth/sessions", "/api/", b"/auth/sessions", id="a mount point with a slash behind it"),
        pytest.param(b"/api//auth/sessions", "/api", b"//auth/sessions", id="two slashes behind the mount point"),
    ],
)
def test_mount_points_that_end_in_a_slash(path: bytes, root: str, route: bytes) -> None:
    assert ASGIRequest(scope_of(raw_path=path, path=path.decode(), root_path=root)).route() == route


def test_a_mount_point_that_a_proxy_took_off_is_not_taken_off_again() -> None:
    environ = environ_of(RAW_URI="/auth/sessions", SCRIPT_NAME="/auth", PATH_INFO="/auth/sessions")
    assert WSGIRequest(environ).route() == b"/auth/sessions"


def test_threads_that_loop_do_not_starve_one_that_waits(sqlite_url: str) -> None:
    from sessionward.backends.sql import SQLBackend

    backend = SQLBackend(sqlite_url, pool_size=1, timeout=PATIENCE)
    backend.create_tables()
    over = threading.Event()

    def loop() -> int:
        asked = 0
        while not over.is_set():
            backend.begin_login("ada")
            asked += 1
        return asked

    with ThreadPoolExecutor(6) as threads:
        looping = [threads.submit(loop) for _ in range(6)]
        assert [backend.begin_login("ada") for _ in range(200)] == [0] * 200
        over.set()
        assert all(thread.result() for thread in looping)
    backend.close()
