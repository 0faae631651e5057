"""In mode companion the application's login outlives the idle limit, and must not pass any more."""

from __future__ import annotations

from typing import Final

from tests.companion.conftest import Site
from tests.companion.identifiers import sealed
from tests.companion.shops import Browser

IDLE: Final = 900.0
"""Seconds."""


def test_after_the_idle_limit_the_login_does_not_pass_and_a_sign_in_does(site: Site) -> None:
    _, browser = site.signing(idle_timeout=IDLE)
    browser.get("/login/ann")
    assert browser.me() == "ann"
    site.place.pass_time(IDLE + 1)
    assert browser.me() == "nobody"
    assert browser.me() == "nobody", "it is not adopted at the next request either"
    browser.get("/login/ann")
    assert browser.me() == "ann"


def test_neither_does_a_copy_of_the_login_without_the_companion(site: Site) -> None:
    _, browser = site.signing(idle_timeout=IDLE)
    browser.get("/login/ann")
    copy = browser.copied()
    site.place.pass_time(IDLE + 1)
    assert copy.me() == "nobody"


def test_a_login_from_before_has_the_limit_too(site: Site) -> None:
    _, browser = site.signing(idle_timeout=IDLE)
    browser.jar["session"] = sealed("ann.1")
    assert browser.me() == "ann"
    site.place.pass_time(IDLE + 1)
    assert browser.me() == "nobody"


def test_an_idle_limit_does_not_make_each_answer_extend_the_companion(site: Site) -> None:
    """What is left until the limit is always less than half of the lifetime, which is 1 000 seconds here."""
    _, browser = site.signing(idle_timeout=300.0)
    browser.get("/login/ann")
    browser.me()
    written = site.place.written()
    assert [browser.me(), browser.me()] == ["ann", "ann"]
    assert site.place.written() == written


def test_neither_does_a_login_that_has_another_value_by_then(site: Site) -> None:
    """Many applications give it one in each answer."""
    _, browser = site.signing(idle_timeout=IDLE)
    browser.get("/login/ann.1")
    browser.get("/login/ann.2")
    site.place.pass_time(IDLE + 1)
    assert browser.me() == "nobody"
    browser.get("/login/ann.3")
    assert browser.me() == "ann"


def test_neither_does_another_login_of_the_same_user(site: Site) -> None:
    """As that of a remember-me cookie, when the browser was closed meanwhile."""
    _, browser = site.signing(idle_timeout=IDLE)
    browser.get("/login/ann")
    browser.jar["remember"] = sealed("ann.r")
    assert browser.me() == "ann"
    site.place.pass_time(IDLE + 1)
    del browser.jar["session"]
    assert browser.me() == "nobody"


def test_a_user_in_another_browser_is_not_asked(site: Site) -> None:
    _, idle = site.signing(idle_timeout=IDLE)
    other = Browser(idle.house)
    idle.get("/login/ann")
    site.place.pass_time(IDLE - 10)
    other.get("/login/ann")
    site.place.pass_time(20)
    assert [idle.me(), other.me()] == ["nobody", "ann"]
