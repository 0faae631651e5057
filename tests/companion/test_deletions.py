"""Which cookie an answer deletes: name, Domain and Path together, as a browser keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from sessionward.request.request import Location
from sessionward.response import places as places_module
from sessionward.response.places import MAX_PLACES, Places
from sessionward.response.set_cookies import SetCookie
from tests.companion.conftest import Site
from tests.companion.identifiers import sealed
from tests.companion.shops import Browser, SigningShop
from tests.doors.sides import COOKIE, Answer

HERE = Location("app.example", "/account/logout")


def cookie(value: str | None = None, *, domain: str | None = None, path: str | None = "/", name: str = "session") -> SetCookie:
    return SetCookie(name, 0, value, domain=domain, path=path)


# --- what is known of nothing but the request -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/account", "/account/", "/account/logout", None, "odd"])
@pytest.mark.parametrize("domain", [None, "app.example", "example", "APP.example"])
def test_a_deletion_of_what_a_browser_would_have_sent_counts(path: str | None, domain: str | None) -> None:
    assert Places().deletes_what_came(cookie(domain=domain, path=path), HERE)


@pytest.mark.parametrize(
    ("domain", "path"),
    [(None, "/old"), (None, "/acc"), (None, "/account/logout/x"), ("old.example", "/"), ("ample", "/"), ("other.test", "/")],
)
def test_of_what_it_would_not_have_sent_does_not(domain: str | None, path: str) -> None:
    assert not Places().deletes_what_came(cookie(domain=domain, path=path), HERE)


# --- what has been seen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("set_at", "deleted_at", "counts"),
    [
        ((None, "/"), (None, "/"), True),
        (("app.example", "/"), ("app.example", "/"), True),
        (("app.example", "/"), (None, "/"), False),
        ((None, "/"), ("app.example", "/"), False),
        ((None, "/"), (None, "/account"), False),
        ((None, "/account"), (None, "/"), False),
        ((None, "/elsewhere"), (None, "/"), True),  # of another part of the site: says nothing about this one
        (("other.test", "/"), (None, "/"), True),
        ((None, "/behind-a-proxy"), (None, "/behind-a-proxy"), True),  # a prefix that the proxy takes off
    ],
)
def test_once_a_place_is_known_it_decides(set_at: tuple[str | None, str], deleted_at: tuple[str | None, str], counts: bool) -> None:
    places = Places()
    places.learn(cookie("x", domain=set_at[0], path=set_at[1]), HERE)
    assert places.deletes_what_came(cookie(domain=deleted_at[0], path=deleted_at[1]), HERE) is counts


def test_another_host_of_the_same_application_is_another_place() -> None:
    places = Places()
    places.learn(cookie("x"), Location("b.example", "/"))
    assert places.deletes_what_came(cookie(domain="a.example"), Location("a.example", "/"))


def test_what_is_remembered_is_bounded() -> None:
    places = Places()
    for number in range(2 * MAX_PLACES):
        places.learn(cookie("x", path=f"/{number}"), HERE)
    assert sum(places.deletes_what_came(cookie(path=f"/{number}"), HERE) for number in range(2 * MAX_PLACES)) == MAX_PLACES


def test_a_stranger_who_names_other_hosts_does_not_make_it_forget_the_one_that_is_used() -> None:
    """Otherwise each response that deletes an older cookie would sign its user out."""
    places = Places()
    for _ in range(3):
        places.learn(cookie("x"), HERE)
    for number in range(2 * MAX_PLACES):
        places.learn(cookie("x"), Location(f"{number}.evil.example", "/"))
    assert not places.deletes_what_came(cookie(domain="app.example"), HERE)


def test_a_host_that_comes_late_is_learned_too() -> None:
    places = Places()
    for number in range(2 * MAX_PLACES):
        places.learn(cookie("x"), Location(f"{number}.evil.example", "/"))
    places.learn(cookie("x"), HERE)
    assert not places.deletes_what_came(cookie(domain="app.example"), HERE)


def test_another_thread_may_learn_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    places, numbers = Places(), iter(range(100))
    for number in range(10):
        places.learn(cookie("x", path=f"/{number}"), HERE)

    def is_sent(place: Any, location: Location) -> bool:
        places.learn(cookie("x", path=f"/new-{next(numbers)}"), HERE)
        return original(place, location)

    original = places_module._is_sent
    monkeypatch.setattr(places_module, "_is_sent", is_sent)
    assert places.deletes_what_came(cookie(path="/other"), Location("app.example", "/other"))


# --- through the doors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_fresh", [False, True], ids=["the process that signed in", "another process"])
def test_a_login_cookie_with_a_domain_is_signed_out_also_without_cookie_domain(site: Site, is_fresh: bool) -> None:
    shop, browser = site.signing()
    shop.attributes = "Path=/; Domain=.app.example"
    browser.get("/login/ann.1")
    thief = browser.copied()
    if is_fresh:
        shop = SigningShop()
        browser = Browser(site.open(shop), browser.jar)
    shop.fields = [("Set-Cookie", "session=; Domain=.app.example; Path=/; Max-Age=0")]
    browser.me()
    assert [list(site.place.live()), thief.me()] == [[], "nobody"]


@pytest.mark.parametrize(
    "legacy", ["session=; Path=/old; Max-Age=0", "session=; Domain=example; Path=/; Max-Age=0", "session=; Max-Age=0; path=/me"]
)
def test_the_deletion_of_an_old_namesake_signs_nobody_out(site: Site, legacy: str) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.fields = [("Set-Cookie", legacy)]
    for _ in range(3):
        browser.house.ask("GET", "/me", ("Cookie", f"session={browser.jar['session']}; {COOKIE}={browser.companion}"))
    shop.fields = ()
    assert [browser.me(), len(site.place.live())] == ["ann", 1]


@pytest.mark.parametrize("value", ['"cookies"', '"cache", "cookies", "storage"', '"*"', '"storage","cookies"'])
def test_an_answer_that_clears_all_cookies_signs_out(site: Site, value: str) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    thief = browser.copied()
    shop.fields = [("Clear-Site-Data", value)]
    browser.me()
    shop.fields = ()
    assert [list(site.place.live()), thief.me()] == [[], "nobody"]


@pytest.mark.parametrize("value", ['"cache"', "cookies", '"storage"', ""])
def test_one_that_clears_other_things_does_not(site: Site, value: str) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.fields = [("Clear-Site-Data", value)]
    assert browser.me() == "ann"
    assert len(site.place.live()) == 1


def test_one_that_clears_all_and_signs_in_gives_a_companion(site: Site) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.fields = [("Clear-Site-Data", '"cookies"'), shop.sets("session", sealed("ann.2"))]
    answer: Answer = browser.ask("GET", "/me")
    shop.fields = ()
    assert COOKIE in "".join(answer.values("set-cookie"))
    assert browser.me() == "ann"
    assert len(site.place.live()) == 1
