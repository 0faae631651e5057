"""Whatever revokes a companion makes companions compulsory for its user, for good: what was copied or kept from before stays outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from tests.companion.conftest import Site
from tests.companion.identifiers import sealed
from tests.companion.shops import Browser
from tests.doors.sides import COOKIE

LOGIN: Final = sealed("ann.1")
COPIES: Final = {
    "the session": {"session": LOGIN},
    "remember-me": {"remember": LOGIN},
    "both": {"session": LOGIN, "remember": LOGIN},
    "parts": {"part-0": LOGIN[:10], "part-1": LOGIN[10:20], "part-2": LOGIN[20:]},
    "one part": {"part-0": LOGIN},
    "remember-me behind an anonymous session": {"session": sealed("-.1"), "remember": LOGIN},
    "a later session": {"session": sealed("ann.77")},
}


def joined(cookies: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def revoke_by(site: Site, how: str, first: Browser, second: Browser) -> None:
    """Revoke the companion of ``first``; ``second`` is another browser of the same user."""
    match how:
        case "the button of another browser":
            assert second.press().json() == {"count": 1}
        case "revoke_others of the sessions of another browser":
            assert second.get("/sessions/revoke_others") == "1"
        case "logout of the sessions":
            first.get("/sessions/logout")
        case "revoke_all of the sessions":
            assert second.get("/sessions/revoke_all/ann") == "2"
        case "revoke_all by a job":
            assert site.place.aside.revoke_all("ann") == 2
        case "the application's own logout":
            first.get("/logout")
        case "another user in the same browser":
            first.get("/login/bob.1")
        case "the same user in a browser that had lost the login":
            del first.jar["session"]
            del first.jar["remember"]
            first.get("/login/ann.9")
        case _:
            raise AssertionError(how)


HOWS: Final = [
    "the button of another browser",
    "revoke_others of the sessions of another browser",
    "logout of the sessions",
    "revoke_all of the sessions",
    "revoke_all by a job",
    "the application's own logout",
    "another user in the same browser",
    "the same user in a browser that had lost the login",
]


def two_browsers(site: Site) -> tuple[Browser, Browser]:
    """Of Ann, both signed in, with remember-me cookies."""
    _, first = site.signing()
    second = Browser(first.house)
    first.get("/remember/ann.1")
    second.get("/remember/ann.2")
    return first, second


@pytest.mark.parametrize("how", HOWS)
def test_a_copy_is_taken_out_however_the_companion_was_revoked(site: Site, how: str) -> None:
    first, second = two_browsers(site)
    stale = first.cloned()
    revoke_by(site, how, first, second)
    assert site.place.companion_required()
    for name, cookies in COPIES.items():
        browser = Browser(first.house, dict(cookies))
        assert (browser.me(), browser.companion) == ("nobody", None), name
        seen = first.house.seen[-1].header("cookie") or ""
        assert not [value for value in cookies.values() if value in seen and not value.startswith("-")], name
    assert stale.me() == "nobody"  # the same cookies with the companion that was revoked


@pytest.mark.parametrize("how", HOWS)
def test_nothing_but_a_sign_in_makes_a_new_companion(site: Site, how: str) -> None:
    first, second = two_browsers(site)
    revoke_by(site, how, first, second)
    live = len(site.place.live())
    for cookies in COPIES.values():
        for path in ("/me", "/sessions/session"):
            answer = first.house.ask("GET", path, ("Cookie", joined(cookies)))
            assert (answer.body, answer.values("set-cookie")) == (b"nobody", [])
    assert len(site.place.live()) == live


@pytest.mark.usefixtures("never_stale")
@pytest.mark.parametrize("how", HOWS)
def test_the_person_signs_in_again_at_once_and_gets_in_even_by_the_same_bytes(site: Site, how: str) -> None:
    first, second = two_browsers(site)
    revoke_by(site, how, first, second)
    thief = Browser(first.house, dict(COPIES["the session"]))
    person = Browser(first.house)
    person.get("/login/ann.1")
    assert person.jar["session"] == LOGIN
    assert [person.me(), thief.me(), person.me()] == ["ann", "nobody", "ann"]
    assert person.press().status == 200


@pytest.mark.usefixtures("never_stale")
def test_a_person_who_was_put_out_signs_in_in_the_browser_that_still_has_everything(site: Site) -> None:
    first, second = two_browsers(site)
    second.press()
    revoked = first.companion
    assert first.get("/login/ann.1") == "nobody"
    assert first.companion not in (None, revoked)
    assert [first.me(), second.me()] == ["ann", "ann"]


@pytest.mark.usefixtures("never_stale")
def test_a_copy_that_was_stored_before_the_first_revocation_stays_outside_after_every_later_one(site: Site) -> None:
    first, second = two_browsers(site)
    copies = [Browser(first.house, dict(cookies)) for cookies in COPIES.values()]
    for _ in range(3):
        second.press()
        assert [copy.me() for copy in copies] == ["nobody"] * len(copies)
        first.get("/login/ann.3")
        assert [first.me(), *(copy.me() for copy in copies)] == ["ann"] + ["nobody"] * len(copies)


def test_a_copy_that_had_got_a_companion_of_its_own_is_revoked_like_any_device(site: Site) -> None:
    _, first = site.signing()
    first.jar = {"session": LOGIN}
    thief = first.cloned()
    assert thief.me() == "ann"
    site.place.pass_time(61)
    assert first.me() == "ann"
    assert thief.companion not in (None, first.companion)
    assert first.press().json() == {"count": 1}
    assert [first.me(), thief.me(), thief.copied().me()] == ["ann", "nobody", "nobody"]


@pytest.mark.usefixtures("never_stale")
def test_a_browser_not_seen_since_the_installation_signs_in_once_more(site: Site) -> None:
    first, second = two_browsers(site)
    unseen = Browser(first.house, {"session": sealed("ann.5")})
    second.press()
    assert unseen.me() == "nobody"
    unseen.get("/login/ann.5")
    assert unseen.me() == "ann"


def test_the_caller_and_other_users_keep_everything(site: Site) -> None:
    first, second = two_browsers(site)
    bob = Browser(first.house, {"session": sealed("bob.1")})
    cart = Browser(first.house, {"session": sealed("-.1"), "theme": "dark"})
    bob.me()
    before = dict(second.jar)
    second.press()
    assert [second.me(), bob.me(), cart.me()] == ["ann", "bob", "nobody"]
    assert second.jar == before
    assert first.house.seen[-1].header("cookie") == f"session={sealed('-.1')}; theme=dark"
    assert not site.place.companion_required("bob")
    assert bob.copied().me() == "bob"


def test_cookies_that_sign_nobody_in_pass_beside_what_is_taken_out(site: Site) -> None:
    first, second = two_browsers(site)
    second.press()
    first.house.ask("GET", "/me", ("Cookie", f"theme=dark; session={LOGIN}; sessions=1; lang=en; remember={LOGIN}; xsession=2"))
    assert first.house.seen[-1].header("cookie") == "theme=dark; sessions=1; lang=en; xsession=2"


def test_revoking_nothing_makes_companions_compulsory_as_well(site: Site) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    assert browser.press().json() == {"count": 0}
    assert (browser.me(), browser.copied().me()) == ("ann", "nobody")


def test_companions_are_compulsory_for_a_user_revoked_before_anybody_came(site: Site) -> None:
    _, browser = site.signing()
    assert site.place.aside.revoke_all("ann") == 0
    browser.jar["session"] = LOGIN
    assert (browser.me(), browser.companion) == ("nobody", None)


def test_a_companion_alone_is_nobody(site: Site) -> None:
    first, _ = two_browsers(site)
    alone = Browser(first.house, {COOKIE: first.jar[COOKIE]})
    assert [alone.me(), alone.get("/sessions/session")] == ["nobody", "nobody"]
    assert first.me() == "ann"


@pytest.mark.parametrize("cookies", [{}, {"session": sealed("bob.1")}], ids=["no login", "another user's"])
def test_logout_of_the_sessions_revokes_a_companion_that_no_login_goes_with(site: Site, cookies: dict[str, str]) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    before = browser.cloned()
    browser.jar = {COOKIE: browser.jar[COOKIE], **cookies}
    browser.get("/sessions/logout")
    assert [list(site.place.live()), site.place.companion_required(), before.me()] == [[], True, "nobody"]


@pytest.mark.parametrize("verb", ["logout", "revoke_all/ann"])
def test_a_session_that_the_application_asked_of_us_makes_companions_compulsory_as_well(site: Site, verb: str) -> None:
    """Some sign in by their own means and call ``sessions.login`` beside it."""
    shop, browser = site.signing()
    shop.fields = [shop.sets("session", LOGIN)]
    browser.get("/sessions/login/ann")
    shop.fields = ()
    assert (browser.me(), len(site.place.live())) == ("ann", 1)
    thief = browser.copied()
    browser.get(f"/sessions/{verb}")
    assert [thief.me(), len(site.place.live())] == ["nobody", 0]


@pytest.mark.parametrize("path", ["/static/app.css", "/static/"])
def test_an_exempt_path_costs_no_question_and_sees_no_login(memory: Site, path: str) -> None:
    shop, browser = memory.signing(exempt_paths=["/static/"])
    browser.get("/remember/ann.1")
    browser.jar["theme"] = "dark"
    asked, looked = dict(memory.place.backend.asked), len(shop.identifier.asked)
    assert browser.get(path) == "nobody"
    assert browser.house.seen[-1].header("cookie") == "theme=dark"
    assert (dict(memory.place.backend.asked), len(shop.identifier.asked)) == (asked, looked)
