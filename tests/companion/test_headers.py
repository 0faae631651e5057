"""A login in a header, such as a JWT: no companion can go with it, so once companions are compulsory for its user its age decides."""

from __future__ import annotations

import time

import pytest

from tests.companion.conftest import Site
from tests.companion.identifiers import Tokens, sealed
from tests.companion.places import MemoryPlace, Place
from tests.companion.shops import Browser, SigningShop
from tests.doors.sides import COOKIE, SESSIONS


def bearer(user: str, issued: float) -> tuple[str, str]:
    return ("Authorization", f"Bearer {sealed(f'{user}.{int(issued)}')}")


@pytest.fixture
def browser(site: Site) -> Browser:
    return Browser(site.open(SigningShop(), Tokens()))


def passes(browser: Browser, *fields: tuple[str, str]) -> bool:
    """Whether the application gets to see the header; nobody may be adopted."""
    answer = browser.house.ask("GET", "/me", *fields)
    assert answer.status == 200
    return browser.house.seen[-1].header("authorization") is not None


def raised(place: Place) -> float:
    """When Ann's sessions were revoked last."""
    status = place.aside.companion_status("ann", b"l" * 32)
    assert status.revoked_at is not None
    return float(status.revoked_at.timestamp())


def test_until_companions_are_compulsory_it_passes_whatever_its_age(site: Site, browser: Browser) -> None:
    assert passes(browser, bearer("ann", 1000))
    assert passes(browser, bearer("ann", time.time() + 1000))


def test_once_companions_are_compulsory_only_what_was_issued_well_after_the_revocation_passes(site: Site, browser: Browser) -> None:
    site.place.aside.revoke_all("ann")
    at = raised(site.place)
    ages = [-1000, -1, 0, 1, 59, 63, 1000]
    assert [passes(browser, bearer("ann", at + age)) for age in ages] == [False, False, False, False, False, True, True]
    assert passes(browser, bearer("bob", 1000))


def test_each_later_revocation_counts(site: Site, browser: Browser) -> None:
    site.place.aside.revoke_all("ann")
    site.place.pass_time(1000)
    between = bearer("ann", time.time() + 500) if isinstance(site.place, MemoryPlace) else bearer("ann", time.time() - 500)
    assert passes(browser, between)
    site.place.aside.revoke_all("ann")
    assert not passes(browser, between)


def test_a_user_who_has_signed_out_in_one_browser_keeps_the_tokens_of_other_clients(site: Site, browser: Browser) -> None:
    browser.get("/login/ann.1")
    browser.get("/logout")
    assert site.place.companion_required()
    written = site.place.written()
    assert passes(browser, bearer("ann", 1000))
    assert browser.house.ask("GET", "/me", bearer("ann", 1000)).values("set-cookie") == []
    assert site.place.written() == written
    assert browser.house.ask("GET", "/me", ("Cookie", f"session={sealed('ann.1')}")).body == b"nobody"


@pytest.mark.usefixtures("never_stale")
def test_a_token_once_companions_are_compulsory_beside_which_the_answer_signs_in_brings_a_companion(site: Site, browser: Browser) -> None:
    site.place.aside.revoke_all("ann")
    browser.ask("GET", "/login/ann.1", bearer("ann", raised(site.place) + 100))
    assert [browser.me(), len(site.place.live())] == ["ann", 1]


def test_once_companions_are_compulsory_nobody_is_adopted_by_a_header(site: Site, browser: Browser) -> None:
    site.place.aside.revoke_all("ann")
    written = site.place.written()
    for age in (-100, 100, 200):
        answer = browser.house.ask("GET", "/me", bearer("ann", raised(site.place) + age))
        assert answer.values("set-cookie") == []
    assert (site.place.written(), list(site.place.live())) == (written, [])


def test_a_cookie_has_no_age_however_late_it_was_issued(site: Site, browser: Browser) -> None:
    site.place.aside.revoke_all("ann")
    browser.jar["session"] = sealed(f"ann.{int(raised(site.place)) + 1000}")
    assert browser.me() == "nobody"
    assert passes(browser, bearer("ann", raised(site.place) + 1000), ("Cookie", f"session={sealed('bob.1')}")) is False


def test_with_a_live_companion_it_passes_after_the_revocation_too(site: Site, browser: Browser) -> None:
    browser.get("/login/ann.1")
    browser.press()
    jar = {COOKIE: browser.jar[COOKIE]}
    companion = ("Cookie", "; ".join(f"{name}={value}" for name, value in jar.items()))
    assert passes(browser, bearer("ann", 1000), companion)
    assert not passes(browser, bearer("bob", 1000), companion)
    assert not passes(browser, bearer("ann", 1000))


@pytest.mark.parametrize("value", ["forged", sealed("ann.1")[:-1], f"{sealed('ann.1')}, Bearer {sealed('bob.1')}"])
def test_what_cannot_be_read_is_taken_out(browser: Browser, value: str) -> None:
    assert not passes(browser, ("Authorization", f"Bearer {value}"))


TOKEN = sealed("ann.1")
JSON_WEB_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"
"""Signed by nobody whom the identifier knows, so that it cannot read it; a framework of another kind might."""
ODD = {
    "two blanks and padding": f"Bearer  {TOKEN}=",
    "two blanks": f"Bearer  {TOKEN}",
    "a tab": f"Bearer\t{TOKEN}",
    "a vertical tab": f"Bearer\x0b{TOKEN}=",
    "no blank": f"Bearer{TOKEN}",
    "a colon": f"Bearer:{TOKEN}",
    "quotes": f'Bearer "{TOKEN}"',
    "a word behind it": f"Bearer {TOKEN} x",
    "a comma behind it": f"Bearer {TOKEN},",
    "a comma before it": f", Bearer {TOKEN}=",
    "behind another scheme": f"Basic YW5uOng=, Bearer {TOKEN}=",
    "as a parameter": f"Digest username=ann, Bearer {TOKEN}",
    "upper case": f"BEARER  {TOKEN}=",
    "no scheme": f"{TOKEN}",
    "no scheme, a word before it": f"x {TOKEN}",
    "a JWT without a scheme": JSON_WEB_TOKEN,
    "a JWT that is padded": f"Token {JSON_WEB_TOKEN}=",
    "a JWT with rubbish in it": f"Token {JSON_WEB_TOKEN[:20]}!{JSON_WEB_TOKEN[20:]}",
    "a JWT with a blank in it": f"JWT {JSON_WEB_TOKEN[:50]} {JSON_WEB_TOKEN[50:]}",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("is_live", [False, True], ids=["without a companion", "with one"])
def test_a_header_in_which_any_framework_could_find_a_token_is_taken_out(browser: Browser, value: str, is_live: bool) -> None:
    fields: list[tuple[str, str]] = []
    if is_live:
        browser.get("/login/ann.1")
        fields = [("Cookie", f"{COOKIE}={browser.companion}")]
    assert not passes(browser, ("Authorization", value), *fields)


DIGEST = 'Digest username="ann", realm="keys.example.com", nonce="7f", uri="/a.b.c/d", response="6629fae49393a05397450978507c4ef1"'


@pytest.mark.parametrize(
    "value",
    [DIGEST, f"Negotiate {'YII' * 400}==", "ApiKey sk_live.4eC39HqLyjWDarjtT1zdp7dc", "AWS4-HMAC-SHA256 Credential=a/b, Signature=c"],
)
def test_a_field_of_another_scheme_passes_as_it_came(browser: Browser, value: str) -> None:
    browser.house.ask("GET", "/me", ("Authorization", value))
    assert browser.house.seen[-1].header("authorization") == value


def test_two_fields_are_taken_out_since_nobody_knows_which_one_is_looked_at(browser: Browser) -> None:
    assert not passes(browser, bearer("ann", 1000), bearer("ann", 2000))
    assert not passes(browser, bearer("ann", 1000), bearer("ann", 1000))
    browser.get("/login/ann.1")
    companion = ("Cookie", f"{COOKIE}={browser.companion}")
    assert not passes(browser, bearer("ann", 1000), bearer("ann", 2000), companion)
    assert not passes(browser, bearer("ann", 1000), bearer("ann", 1000), companion)
    assert passes(browser, bearer("ann", 1000), companion)


@pytest.mark.parametrize("value", ["Basic YW5uOng=", "Token x", ""])
def test_another_scheme_is_the_applications_own(site: Site, browser: Browser, value: str) -> None:
    site.place.aside.revoke_all("ann")
    browser.house.ask("GET", "/me", ("Authorization", value))
    assert browser.house.seen[-1].header("authorization") == value


def test_a_header_beside_the_login_of_another_user_is_taken_out_with_it(site: Site, browser: Browser) -> None:
    assert not passes(browser, bearer("ann", 1000), ("Cookie", f"session={sealed('bob.1')}; theme=dark"))
    assert browser.house.seen[-1].header("cookie") == "theme=dark"


def test_a_login_in_a_header_is_never_adopted_since_no_companion_can_go_with_it(site: Site, browser: Browser) -> None:
    """Or each new token of a phone would be given one, 480 in a day."""
    for number in range(10):
        answer = browser.house.ask("GET", "/me", bearer("ann", 1000 + number))
        assert answer.values("set-cookie") == []
    assert list(site.place.live()) == []


def test_a_login_in_a_cookie_beside_it_is(site: Site, browser: Browser) -> None:
    browser.house.ask("GET", "/me", bearer("ann", 1000), ("Cookie", f"session={sealed('ann.1')}"))
    assert len(site.place.live()) == 1


def test_delete_by_a_header_alone_is_401(site: Site, browser: Browser) -> None:
    browser.get("/login/ann.1")
    assert browser.house.ask("DELETE", SESSIONS, bearer("ann", time.time() + 1000)).status == 401
    assert browser.me() == "ann"


@pytest.mark.parametrize("values", [["one"], ["one,two"], ["one, two,"], ["one", "two"]], ids=" and ".join)
def test_a_token_of_the_applications_own_may_have_commas_and_hides_no_companion(memory: Site, values: list[str]) -> None:
    _, browser = memory.signing()
    browser.get("/login/ann.1")
    memory.place.aside.revoke_others(memory.place.live()[0])
    assert memory.place.companion_required(), "so that a login without its companion does not pass"
    fields = [("X-Session-Token", value) for value in values]
    assert [browser.get("/me", *fields), browser.get("/sessions/session", *fields)] == ["ann", "ann"]
    assert browser.house.seen[-1].header("x-session-token") == ",".join(values)
    assert browser.press(*fields).status == 200
