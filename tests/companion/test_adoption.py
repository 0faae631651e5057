"""A login from before the installation is given a companion: under the lock, within limits, and never by ``DELETE``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import pytest

from sessionward.identify import Function, Identity
from sessionward.session.session import ADOPTION_PAUSE, MAX_ADOPTIONS
from tests.companion.conftest import Site
from tests.companion.identifiers import SIGNER, sealed
from tests.companion.places import MemoryPlace
from tests.companion.shops import Browser, SigningShop
from tests.doors.sides import COOKIE

ANN = ("Cookie", f"session={sealed('ann.1')}")


def from_before(site: Site, **settings: object) -> tuple[SigningShop, Browser]:
    """A browser that was signed in before we came."""
    shop, browser = site.signing(**settings)
    browser.jar["session"] = sealed("ann.1")
    return shop, browser


def test_a_login_from_before_passes_and_is_given_a_companion(site: Site) -> None:
    _, browser = from_before(site)
    assert browser.me() == "ann"
    assert browser.companion is not None
    (session,) = site.place.live()
    assert session.user_id == "ann"
    assert not site.place.companion_required()


def test_with_its_companion_a_login_passes_and_nothing_is_written(site: Site) -> None:
    _, browser = from_before(site)
    browser.me()
    companion, written = browser.companion, site.place.written()
    assert [browser.me(), browser.me()] == ["ann", "ann"]
    assert (browser.companion, site.place.written()) == (companion, written)
    assert browser.get("/sessions/session") == "ann"


def test_an_anonymous_visitor_costs_no_question_and_is_given_nothing(memory: Site) -> None:
    _, browser = memory.signing()
    browser.jar["session"] = sealed("-.1")
    assert (browser.me(), browser.jar) == ("nobody", {"session": sealed("-.1")})
    assert isinstance(memory.place, MemoryPlace)
    assert not memory.place.backend.asked


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_a_user_whose_sessions_were_revoked_while_the_application_worked_is_not_adopted(site: Site) -> None:
    shop, browser = from_before(site)
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    answer = browser.ask("GET", "/me")
    assert (answer.status, answer.values("set-cookie")) == (200, [])
    assert list(site.place.live()) == []


def test_nor_does_such_an_answer_set_the_login_anew(site: Site) -> None:
    shop, browser = from_before(site)
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    answer = browser.ask("GET", "/login/ann.2")
    assert (answer.status, answer.values("set-cookie")) == (200, [])
    assert list(site.place.live()) == []


@pytest.mark.parametrize("why", ["public", "too soon"])
def test_nor_where_it_could_not_have_been_adopted_anyway(site: Site, why: str) -> None:
    shop, browser = from_before(site)
    if why == "public":
        shop.fields = [("Cache-Control", "public")]
    else:
        browser.house.ask("GET", "/me", ANN)
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    answer = browser.ask("GET", "/login/ann.2")
    assert (answer.status, answer.values("set-cookie")) == (200, [])


@pytest.mark.parametrize("why", ["public", "too soon"])
def test_a_login_that_cannot_be_adopted_yet_is_set_anew_as_the_application_likes(site: Site, why: str) -> None:
    shop, browser = from_before(site)
    if why == "public":
        shop.fields = [("Cache-Control", "public")]
    else:
        browser.house.ask("GET", "/me", ANN)
    answer = browser.ask("GET", "/login/ann.2")
    assert [value.partition("=")[0] for value in answer.values("set-cookie")] == ["session"]


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_client_that_keeps_no_cookies_is_adopted_once_a_minute_and_passes_all_the_time(site: Site) -> None:
    _, browser = from_before(site)
    house = browser.house
    assert len(house.ask("GET", "/me", ANN).values("set-cookie")) == 1
    for _ in range(5):
        answer = house.ask("GET", "/me", ANN)
        assert (answer.body, answer.values("set-cookie")) == (b"ann", [])
    site.place.pass_time(ADOPTION_PAUSE - 5)
    assert house.ask("GET", "/me", ANN).values("set-cookie") == []
    site.place.pass_time(6)
    assert len(house.ask("GET", "/me", ANN).values("set-cookie")) == 1


def test_requests_that_are_not_adopted_write_nothing(site: Site) -> None:
    _, browser = from_before(site)
    browser.house.ask("GET", "/me", ANN)
    written = site.place.written()
    for _ in range(20):
        assert browser.house.ask("GET", "/me", ANN).body == b"ann"
    assert site.place.written() == written
    assert len(site.place.live()) == 1


def test_it_never_has_more_than_five_companions(site: Site) -> None:
    _, browser = from_before(site, lifetime=100_000)
    given = 0
    for _ in range(MAX_ADOPTIONS + 3):
        answer = browser.house.ask("GET", "/me", ANN)
        assert answer.body == b"ann"
        given += len(answer.values("set-cookie"))
        site.place.pass_time(ADOPTION_PAUSE + 1)
    assert (given, len(site.place.live())) == (MAX_ADOPTIONS, MAX_ADOPTIONS)


def test_each_login_of_the_application_has_limits_of_its_own(site: Site) -> None:
    _, browser = from_before(site)
    for payload in ("ann.1", "ann.2", "bob.1"):
        answer = browser.house.ask("GET", "/me", ("Cookie", f"session={sealed(payload)}"))
        assert len(answer.values("set-cookie")) == 1, payload


@pytest.mark.parametrize("caching", ["public", "public, max-age=60", "max-age=60, Public", "s-maxage=60", "no-cache , S-MaxAge = 1"])
def test_an_answer_that_caches_share_gives_no_companion(site: Site, caching: str) -> None:
    shop, browser = from_before(site)
    shop.fields = [("Cache-Control", caching)]
    written = site.place.written()
    answer = browser.ask("GET", "/me")
    assert (answer.body, answer.values("set-cookie"), answer.values("cache-control")) == (b"ann", [], [caching])
    assert site.place.written() == written


@pytest.mark.parametrize("caching", ["private, max-age=60", "no-store", "max-age=60", "x-public", "private, x=public"])
def test_an_answer_for_one_browser_gives_one_and_is_kept_by_no_cache(site: Site, caching: str) -> None:
    shop, browser = from_before(site)
    shop.fields = [("Cache-Control", caching)]
    answer = browser.ask("GET", "/me")
    assert (len(answer.values("set-cookie")), answer.values("cache-control")) == (1, ["no-store"])


# --- tokens and times -------------------------------------------------------------------------------------------------


def test_tokens_are_random_and_never_those_of_the_same_cookie_again(site: Site) -> None:
    _, browser = from_before(site)
    companions = set()
    for _ in range(3):
        browser.jar.pop(COOKIE, None)
        browser.me()
        companions.add(browser.companion)
        site.place.pass_time(ADOPTION_PAUSE + 1)
    assert len(companions) == 3


@pytest.mark.parametrize(("settings", "age"), [({}, 1000), ({"lifetime": 500}, 500), ({"lifetime": 5000}, 5000)])
def test_a_companion_lives_as_long_as_the_login_or_as_is_set(site: Site, settings: dict[str, int], age: int) -> None:
    _, browser = from_before(site, **settings)
    assert f"Max-Age={age}" in browser.ask("GET", "/me").value("set-cookie").split("; ")
    (session,) = site.place.live()
    assert session.expires_at is not None
    assert session.issued_at is not None
    assert (session.expires_at - session.issued_at).total_seconds() == age


def test_a_companion_is_renewed_when_less_than_half_of_its_life_is_left(site: Site) -> None:
    _, browser = from_before(site)
    browser.me()
    site.place.pass_time(490)
    written = site.place.written()
    assert browser.ask("GET", "/me").values("set-cookie") == []
    assert site.place.written() == written
    site.place.pass_time(20)
    assert "Max-Age=1000" in browser.ask("GET", "/me").value("set-cookie")
    site.place.pass_time(990)
    assert browser.me() == "ann"
    assert len(site.place.live()) == 1


def test_without_requests_it_expires_and_the_login_is_one_from_before_again(site: Site) -> None:
    _, browser = from_before(site)
    browser.me()
    before = browser.companion
    site.place.pass_time(1001)
    assert browser.me() == "ann"
    assert browser.companion not in (None, before)


def test_an_expired_companion_leaves_companions_compulsory(site: Site) -> None:
    _, browser = from_before(site)
    browser.me()
    site.place.aside.revoke_all("ann")
    site.place.pass_time(1001)
    assert (browser.me(), list(site.place.live())) == ("nobody", [])


# --- DELETE -----------------------------------------------------------------------------------------------------------


def test_delete_never_adopts(site: Site) -> None:
    _, browser = from_before(site)
    other = Browser(browser.house, {"session": sealed("ann.2")})
    other.me()
    written = site.place.written()
    answer = browser.press()
    assert (answer.status, answer.error, answer.values("set-cookie")) == (401, "session_inactive", [])
    assert site.place.written() == written
    assert other.me() == "ann"


@pytest.mark.parametrize(
    "cookies",
    [
        pytest.param({}, id="no login"),
        pytest.param({"session": sealed("bob.1")}, id="another user's"),
        pytest.param({"session": sealed("-.1")}, id="nobody's"),
        pytest.param({"session": "forged"}, id="a forged one"),
        pytest.param({"session": sealed("bob.1"), "remember": sealed("-.1")}, id="two that are not the user's"),
    ],
)
def test_delete_with_a_companion_that_the_login_does_not_go_with_is_401(site: Site, cookies: dict[str, str]) -> None:
    _, browser = from_before(site)
    other = browser.cloned()
    other.me()
    site.place.pass_time(ADOPTION_PAUSE + 1)
    browser.me()
    own = browser.cloned()
    browser.jar = {COOKIE: browser.jar[COOKIE], **cookies}
    assert browser.press().error == "session_inactive"
    assert [own.me(), other.me(), len(site.place.live())] == ["ann", "ann", 2]


def test_delete_with_a_live_companion_and_its_login_revokes_the_others(site: Site) -> None:
    _, browser = from_before(site)
    other = browser.cloned()
    other.me()
    site.place.pass_time(ADOPTION_PAUSE + 1)
    browser.me()
    answer = browser.press()
    assert (answer.status, answer.json(), answer.values("set-cookie")) == (200, {"count": 1}, [])
    assert [browser.me(), other.me()] == ["ann", "nobody"]
    assert [browser.press().json(), other.press().error] == [{"count": 0}, "session_inactive"]


def test_delete_by_a_page_of_another_site_is_refused(site: Site) -> None:
    _, browser = from_before(site)
    browser.me()
    answer = browser.press(("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example"))
    assert (answer.status, answer.error) == (403, "security_csrf_violation")


# --- whose ------------------------------------------------------------------------------------------------------------


USER: Final = UUID("0A1B2C3D-0000-4000-8000-00000000000F")


def numbered(name: str, value: str) -> int:
    return int(SIGNER.unsign(value).decode().partition(".")[0])


def unique(name: str, value: str) -> UUID:
    return UUID(SIGNER.unsign(value).decode())


def spelled_out(name: str, value: str) -> Identity:
    return Identity(user_id=SIGNER.unsign(value).decode())


@pytest.mark.parametrize(
    ("read", "payload", "user"),
    [
        pytest.param(numbered, "7.1", "7", id="a number"),
        pytest.param(unique, str(USER), "0a1b2c3d-0000-4000-8000-00000000000f", id="a UUID"),
        pytest.param(unique, USER.hex, "0a1b2c3d-0000-4000-8000-00000000000f", id="a UUID in another spelling"),
        pytest.param(spelled_out, "ann@example.org", "ann@example.org", id="an address"),
    ],
)
def test_a_function_names_users_by_numbers_uuids_and_texts(site: Site, read: Callable[[str, str], Any], payload: str, user: str) -> None:
    identify = Function(read, cookies=["session"], blocking=False)
    browser = Browser(site.open(SigningShop(), identify), {"session": sealed(payload)})
    browser.me()
    assert browser.companion is not None
    assert [session.user_id for session in site.place.live(user)] == [user]
    assert browser.press().json() == {"count": 0}
    thief = browser.copied()
    thief.me()
    assert thief.house.seen[-1].header("cookie") is None
    assert Browser(browser.house, {"session": "forged"}).ask("GET", "/me").status == 200


@pytest.mark.parametrize("user", ["", "x" * 256, "a\nb"])
def test_what_is_no_user_is_503_and_never_a_visitor(memory: Site, user: str) -> None:
    identify = Function(lambda name, value: user, cookies=["session"], blocking=False)
    browser = Browser(memory.open(SigningShop(), identify), {"session": sealed("ann.1")})
    assert browser.ask("GET", "/me").status == 503
    assert browser.house.seen == []


def test_an_adoption_beyond_max_sessions_revokes_the_oldest_companion_which_is_adopted_again(site: Site) -> None:
    _, first = from_before(site, max_sessions=1)
    assert first.me() == "ann"
    second = Browser(first.house)
    second.jar["session"] = sealed("ann.2")
    assert second.me() == "ann"
    assert len(list(site.place.live())) == 1
    assert not site.place.companion_required()
    before = first.companion
    assert first.me() == "ann"
    assert first.companion != before
