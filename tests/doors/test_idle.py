"""What counts as a use of a session, and what an idle limit does, through every side of both doors."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from sessionward.backends import Credential
from sessionward.session.use import SEEN_PAUSE
from tests.doors.keepers import Memory
from tests.doors.sides import COOKIE, SESSIONS, Browser, Builder, House, town

IDLE = 900.0
"""Seconds."""


def behind(build: Builder, backend: Memory, **settings: Any) -> House:
    """A house as another worker opens it, which has noted no use yet."""
    return build(town, backend, **{"idle_timeout": IDLE, "api": True, **settings})


def moved(browser: Browser, house: House) -> Browser:
    """The same browser, whose requests another worker gets."""
    return Browser(house, cookie=browser.cookie)


def last_seen(backend: Memory, user: str = "ann") -> datetime:
    (session,) = backend.list(user)
    assert session.last_seen_at is not None
    return session.last_seen_at


def test_a_session_that_is_not_used_ends_at_the_idle_limit(build: Builder) -> None:
    backend = Memory()
    browser = Browser(behind(build, backend))
    browser.sign_in("ann")
    backend.now += IDLE - 20
    assert moved(browser, behind(build, backend)).me() == "ann"  # this use moves the end
    backend.now += IDLE - 20
    assert moved(browser, behind(build, backend)).me() == "ann"
    backend.now += IDLE + 1
    assert moved(browser, behind(build, backend)).me() == "nobody"


def test_the_absolute_end_wins(build: Builder) -> None:
    backend = Memory()
    browser = Browser(behind(build, backend, lifetime=2 * IDLE))
    browser.sign_in("ann")
    for _ in range(2):
        backend.now += IDLE - 20
        assert moved(browser, behind(build, backend, lifetime=2 * IDLE)).me() == "ann"
    backend.now += 41
    assert moved(browser, behind(build, backend, lifetime=2 * IDLE)).me() == "nobody"


def test_whoami_shows_the_end_that_holds_now(build: Builder) -> None:
    browser = Browser(behind(build, Memory()))
    browser.sign_in("ann")
    shown = browser.ask("GET", f"{SESSIONS}/whoami").json()
    left = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["issued_at"])
    assert left.total_seconds() == pytest.approx(IDLE, abs=0.01)


@pytest.mark.parametrize(
    ("method", "path", "counts"),
    [
        pytest.param("GET", "/me", True, id="a request to the application"),
        pytest.param("POST", "/revoke_others", True, id="a request whose application revokes the others"),
        pytest.param("GET", f"{SESSIONS}/whoami", True, id="who am I, which asks for another program"),
        pytest.param("GET", SESSIONS, True, id="the list of my devices"),
        pytest.param("DELETE", SESSIONS, False, id="a revocation, which touches nothing (CONTRACT.md 1)"),
        pytest.param("GET", "/static/logo", False, id="an exempt path"),
    ],
)
def test_what_counts_as_a_use(build: Builder, method: str, path: str, counts: bool) -> None:
    backend = Memory()
    browser = Browser(behind(build, backend))
    browser.sign_in("ann")
    before = last_seen(backend)
    backend.now += 100
    other = moved(browser, behind(build, backend, exempt_paths=["/static/"]))
    assert other.ask(method, path).status == 200
    assert (last_seen(backend) > before) == counts


@pytest.mark.parametrize("settings", [{"api": True, "idle_timeout": None}, {"api": False}], ids=["for the list", "for the limit"])
def test_the_last_use_is_kept_with_either_setting(build: Builder, settings: dict[str, Any]) -> None:
    backend = Memory()
    browser = Browser(behind(build, backend, **settings))
    browser.sign_in("ann")
    before = last_seen(backend)
    backend.now += 100
    moved(browser, behind(build, backend, **settings)).me()
    assert (last_seen(backend) - before).total_seconds() == pytest.approx(100, abs=5)


def test_without_either_it_is_not(build: Builder) -> None:
    backend = Memory()
    house = build(town, backend)
    browser = Browser(house)
    browser.sign_in("ann")
    before = last_seen(backend)
    backend.now += 100
    browser.me()
    assert last_seen(backend) == before


def test_a_refused_request_is_no_use(build: Builder) -> None:
    backend = Memory()
    house = behind(build, backend)
    ann, bob = Browser(house), Browser(house)
    ann.sign_in("ann")
    bob.sign_in("bob")
    before = last_seen(backend)
    backend.now += 100
    both = ("Cookie", f"{COOKIE}={ann.cookie}; {COOKIE}={bob.cookie}")
    assert behind(build, backend).ask("GET", "/me", both).status == 400
    assert last_seen(backend) == before


def test_a_worker_asks_for_a_record_once_in_a_pause(build: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Memory()
    asked: list[float | None] = []
    keep = backend.note_seen

    def note_seen(sessions: Any, idle: float | None, age: Any) -> Any:
        asked.append(idle)
        return keep(sessions, idle, age)

    monkeypatch.setattr(backend, "note_seen", note_seen)
    house = behind(build, backend)
    browser = Browser(house)
    browser.sign_in("ann")
    backend.now += SEEN_PAUSE + 1
    for _ in range(5):
        assert browser.me() == "ann"
    assert asked == [IDLE]


def test_a_session_that_was_ended_meanwhile_is_not_revived_by_its_use(build: Builder) -> None:
    backend = Memory()
    house = behind(build, backend)
    browser = Browser(house)
    token = browser.sign_in("ann")
    found = backend.find(Credential(token.encode())) if isinstance(token, str) else backend.list("ann")[0]
    assert found is not None
    backend.now += 100
    backend.revoke_all("ann")
    assert backend.note_seen([found], IDLE) == {}
    assert browser.me() == "nobody"
