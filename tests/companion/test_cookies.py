"""The companion's cookie goes wherever the application's login goes, and no farther than it must."""

from __future__ import annotations

import logging

import pytest

from sessionward.door.parts import warn
from tests.companion.conftest import Site
from tests.companion.identifiers import sealed
from tests.companion.shops import Browser
from tests.doors.sides import COOKIE, Answer

ALWAYS = {"Path=/", "HttpOnly", "Secure", "Max-Age=1000"}


def companion(answer: Answer, name: str = COOKIE) -> set[str]:
    """The attributes of the companion that an answer sets."""
    (found,) = [value for value in answer.values("set-cookie") if value.startswith(f"{name}=")]
    return set(found.split("; ")[1:])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Path=/; SameSite=Lax", {"SameSite=Lax"}),
        ("Path=/; samesite=strict", {"SameSite=Strict"}),
        ("Path=/; SameSite=None; Secure", {"SameSite=None"}),
        ("Path=/; Secure; SameSite=None; Partitioned", {"SameSite=None", "Partitioned"}),
        ("Path=/; HttpOnly", set()),
    ],
)
def test_it_has_the_samesite_and_partitioned_of_the_login_that_comes_with_it(site: Site, theirs: str, ours: set[str]) -> None:
    shop, browser = site.signing()
    shop.attributes = theirs
    assert companion(browser.ask("POST", "/login/ann.1")) == ALWAYS | ours


def test_of_several_logins_it_has_what_reaches_farthest(site: Site) -> None:
    shop, browser = site.signing()
    shop.attributes = "Path=/; SameSite=Strict"
    shop.fields = [("Set-Cookie", f"remember={sealed('ann.1')}; Path=/; SameSite=None; Secure")]
    assert companion(browser.ask("POST", "/login/ann.1")) == ALWAYS | {"SameSite=None"}


def test_a_login_that_is_deleted_beside_it_counts_for_nothing(site: Site) -> None:
    shop, browser = site.signing()
    shop.attributes = "Path=/; SameSite=Strict"
    shop.fields = [("Set-Cookie", "remember=; Path=/; Max-Age=0; SameSite=None; Secure")]
    assert companion(browser.ask("POST", "/login/ann.1")) == ALWAYS | {"SameSite=Strict"}


@pytest.mark.parametrize("samesite", ["lax", "strict", "none"])
def test_where_no_login_comes_with_it_it_has_what_is_set(site: Site, samesite: str) -> None:
    _, browser = site.signing(cookie_samesite=samesite)
    browser.jar["session"] = sealed("ann.1")
    assert companion(browser.ask("GET", "/me")) == ALWAYS | {f"SameSite={samesite.capitalize()}"}


def test_a_renewed_one_is_like_the_login_that_comes_with_it(site: Site) -> None:
    shop, browser = site.signing()
    browser.jar["session"] = sealed("ann.1")
    browser.me()
    site.place.pass_time(600)
    shop.attributes = "Path=/; SameSite=Strict"
    assert companion(browser.ask("GET", "/login/ann.2")) == ALWAYS | {"SameSite=Strict"}


def test_with_a_domain_it_goes_to_all_hosts_below_by_another_name(site: Site) -> None:
    shop, browser = site.signing(cookie_domain="example.com")
    shop.attributes = "Path=/; Domain=.example.com; SameSite=Lax"
    name = "__Secure-session-ward"
    assert companion(browser.ask("POST", "/login/ann.1"), name) == ALWAYS | {"SameSite=Lax", "Domain=example.com"}
    assert [browser.me(), browser.get("/sessions/session")] == ["ann", "ann"]
    answer = browser.ask("GET", "/logout")
    assert companion(answer, name) == {"Path=/", "HttpOnly", "Secure", "SameSite=Lax", "Domain=example.com", "Max-Age=0"}


def test_without_it_a_login_with_a_domain_is_complained_of_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    warn.cache_clear()
    shop, browser = site.signing()
    shop.attributes = "Path=/; Domain=.example.com"
    with caplog.at_level(logging.WARNING, "sessionward"):
        for number in range(3):
            Browser(browser.house).get(f"/login/ann.{number}")
    (record,) = caplog.records
    assert "cookie_domain='example.com'" in record.getMessage()


def test_nobody_complains_of_a_login_without_a_domain(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    warn.cache_clear()
    _, browser = site.signing()
    browser.get("/login/ann.1")
    assert caplog.records == []


def test_a_login_that_the_identifier_cannot_read_is_complained_of_once_and_not_shown(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    warn.cache_clear()
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.fields = [("Set-Cookie", "session=another-secret-signed-it; Path=/")]
    with caplog.at_level(logging.WARNING, "sessionward"):
        answers = [browser.cloned().ask("GET", "/me") for _ in range(3)]
    (record,) = caplog.records
    assert type(shop.identifier).__name__ in record.getMessage() or "Awaited" in record.getMessage()
    assert "'session'" in record.getMessage()
    assert "another-secret-signed-it" not in record.getMessage()
    assert all("session=another-secret-signed-it; Path=/" in answer.values("set-cookie") for answer in answers)


def test_what_only_a_client_cannot_spell_is_no_matter(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    warn.cache_clear()
    _, browser = site.signing()
    browser.jar["session"] = "forged"
    browser.get("/me")
    browser.get("/login/ann.1")
    assert caplog.records == []


@pytest.mark.parametrize("theirs", [f"{COOKIE}=planted; Path=/; Secure", f"{COOKIE}=; Path=/; Max-Age=0"])
def test_an_application_that_speaks_of_our_cookie_is_not_heard(site: Site, theirs: str) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.fields = [("Set-Cookie", theirs)]
    assert browser.ask("GET", "/me").values("set-cookie") == []
    browser.jar = {}
    answer = browser.ask("POST", "/login/ann.2")
    assert theirs not in answer.values("set-cookie")
    assert companion(answer) == ALWAYS
