"""Who signs in, out, or on: the browser's companion follows the answer of the application."""

from __future__ import annotations

from typing import Final

import pytest

from tests.companion.conftest import Site
from tests.companion.identifiers import sealed
from tests.companion.shops import Browser
from tests.doors.sides import COOKIE, Answer


def names(answer: Answer) -> list[str]:
    """The cookies that an answer sets or deletes."""
    return sorted(value.partition("=")[0] for value in answer.values("set-cookie"))


# --- signing in -------------------------------------------------------------------------------------------------------


def test_an_answer_that_signs_in_brings_a_companion(site: Site) -> None:
    _, browser = site.signing()
    answer = browser.ask("POST", "/login/ann.1")
    assert (names(answer), answer.values("cache-control")) == ([COOKIE, "session"], ["no-store"])
    assert [browser.me(), browser.get("/sessions/session"), len(site.place.live())] == ["ann", "ann", 1]


def test_each_sign_in_brings_one_of_its_own_also_in_the_same_second_and_by_the_same_bytes(site: Site) -> None:
    _, first = site.signing()
    browsers = [first, Browser(first.house), Browser(first.house)]
    for browser in browsers:
        browser.get("/login/ann.1")
    assert len({browser.jar["session"] for browser in browsers}) == 1
    assert len({browser.companion for browser in browsers}) == len(site.place.live()) == 3
    assert first.press().json() == {"count": 2}
    assert [browser.me() for browser in browsers] == ["ann", "nobody", "nobody"]


def test_the_companion_of_another_user_lets_no_login_pass(site: Site) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    crossed = Browser(browser.house, {**browser.jar, "session": sealed("bob.1"), "remember": sealed("bob.1")})
    assert [crossed.me(), crossed.get("/sessions/session")] == ["nobody", "nobody"]
    assert "session" not in (browser.house.seen[-1].header("cookie") or "").replace(COOKIE, "")
    assert [browser.me(), len(site.place.live()), site.place.companion_required("bob")] == ["ann", 1, False]


def test_another_user_in_the_same_browser_revokes_the_companion_before(site: Site) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    before = browser.cloned()
    browser.get("/login/bob.1")
    assert [browser.me(), before.me(), before.copied().me()] == ["bob", "nobody", "nobody"]
    assert [len(site.place.live(user)) for user in ("ann", "bob")] == [0, 1]
    assert [site.place.companion_required(user) for user in ("ann", "bob")] == [True, False]


def test_a_sign_in_where_the_login_was_lost_revokes_the_companion_before(site: Site) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    before = browser.companion
    del browser.jar["session"]
    browser.get("/login/ann.2")
    assert browser.companion not in (None, before)
    assert len(site.place.live()) == 1


def test_an_answer_that_signs_in_by_remember_me_alone_brings_a_companion(site: Site) -> None:
    shop, browser = site.signing()
    shop.fields = [shop.sets("remember", sealed("ann.1"))]
    browser.get("/me")
    shop.fields = ()
    assert browser.me() == "ann"
    assert len(site.place.live()) == 1


def test_a_session_in_parts_brings_a_companion_and_passes_with_it(site: Site) -> None:
    shop, browser = site.signing()
    login = sealed("ann.1")
    shop.fields = [shop.sets("part-0", login[:9]), shop.sets("part-1", login[9:])]
    browser.get("/me")
    shop.fields = ()
    browser.me()
    assert (browser.house.seen[-1].header("cookie") or "").startswith(f"part-0={login[:9]}; part-1={login[9:]}")
    assert [browser.get("/sessions/session"), len(site.place.live())] == ["ann", 1]


# --- sign-ins that began before the revocation (P3) -------------------------------------------------------------------


def test_p3_a_sign_in_that_began_before_the_revocation_leaves_nothing_in_the_browser(site: Site) -> None:
    shop, browser = site.signing()
    other = Browser(browser.house)
    other.get("/login/ann.1")
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    answer = browser.ask("POST", "/remember/ann.2")
    assert (answer.status, answer.values("set-cookie")) == (200, [])
    assert [list(site.place.live()), browser.me()] == [[], "nobody"]


def test_p3_also_of_a_user_never_seen(site: Site) -> None:
    shop, browser = site.signing()
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    assert browser.ask("POST", "/login/ann.1").values("set-cookie") == []


def test_p3_also_in_the_browser_of_another_user_who_stays_signed_in(site: Site) -> None:
    shop, browser = site.signing()
    browser.get("/login/bob.1")
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    assert browser.ask("POST", "/login/ann.1").values("set-cookie") == []
    assert browser.me() == "bob"


def test_a_sign_in_after_the_revocation_in_the_same_answer_is_taken(site: Site) -> None:
    """Forgot password: revoke all, then sign in."""
    shop, browser = site.signing()
    other = Browser(browser.house)
    other.get("/login/ann.1")
    shop.fields = [shop.sets("session", sealed("ann.2"))]
    assert browser.get("/sessions/revoke_all/ann") == "1"
    shop.fields = ()
    assert [browser.me(), other.me(), len(site.place.live())] == ["ann", "nobody", 1]


@pytest.mark.parametrize("companion", [True, False], ids=["with a companion", "with a login from before"])
@pytest.mark.parametrize("caching", ["no-store", "public"])
def test_a_revocation_of_all_that_the_caller_asked_for_renews_no_login_of_the_callers(site: Site, companion: bool, caching: str) -> None:
    """An application whose sessions roll sets the login with each answer: that is no sign-in."""
    shop, browser = site.signing()
    browser.jar["session"] = sealed("ann.1")
    if companion:
        browser.me()
    shop.fields = [("Cache-Control", caching), shop.sets("session", sealed("ann.2"))]
    answer = browser.ask("GET", "/sessions/revoke_all/ann")
    shop.fields = ()
    assert (answer.status, answer.values("set-cookie")) == (200, [])
    assert [browser.me(), list(site.place.live())] == ["nobody", []]


# --- answers of sessions that were revoked meanwhile ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login/ann.2", "/remember/ann.2"])
def test_p9_an_answer_on_its_way_while_the_session_was_revoked_sets_no_login(site: Site, path: str) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    answer = browser.ask("GET", path)
    assert (answer.status, answer.body, answer.values("set-cookie")) == (200, b"ann", [])
    assert [browser.me(), list(site.place.live())] == ["nobody", []]


def test_p9_but_it_may_delete_it(site: Site) -> None:
    shop, browser = site.signing()
    browser.get("/remember/ann.1")
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    answer = browser.ask("GET", "/logout")
    assert {"session", "remember"} <= set(names(answer))
    assert not [value for value in answer.values("set-cookie") if "Max-Age=0" not in value]


def test_p9_and_set_what_signs_nobody_in(site: Site) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    shop.fields = [("Set-Cookie", "theme=dark"), ("X-Other", "kept")]
    answer = browser.ask("GET", "/login/ann.2")
    assert (answer.values("set-cookie"), answer.value("x-other")) == (["theme=dark"], "kept")


def test_p9_an_answer_that_deletes_one_login_and_sets_another_only_deletes(site: Site) -> None:
    shop, browser = site.signing()
    browser.get("/remember/ann.1")
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    shop.fields = [("Set-Cookie", "remember=; Path=/; Max-Age=0")]
    assert names(browser.ask("GET", "/login/ann.2")) == ["remember"]


def test_p9_an_answer_that_sets_no_login_passes_as_it_is(site: Site) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    answer = browser.ask("GET", "/me")
    assert (answer.body, answer.values("set-cookie"), answer.values("cache-control")) == (b"ann", [], [])


def test_a_rolling_session_goes_on_with_its_companion(site: Site) -> None:
    _, browser = site.signing()
    browser.get("/login/ann.1")
    companion, written = browser.companion, site.place.written()
    answer = browser.ask("GET", "/login/ann.2")
    assert (names(answer), site.place.written()) == (["session"], written)
    assert (browser.me(), browser.companion) == ("ann", companion)


# --- signing out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deleting",
    [
        "session=; Max-Age=0",
        "session=",
        'session=""; Path=/',
        "session=x; Max-Age=-1",
        "session=deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "session=; expires=Thu, 01-Jan-1970 00:00:00 GMT; Path=/",
        f"session={sealed('-.1')}; Path=/",
        f"session={sealed('ann.1')}; Path=/; Max-Age=0",
        f"session={sealed('ann.1')}; Max-Age=-5; Expires=Wed, 01 Jan 2098 00:00:00 GMT",
        f"session={sealed('ann.1')}; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ],
)
def test_an_answer_that_deletes_or_empties_the_login_revokes_the_companion(site: Site, deleting: str) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    thief = browser.cloned()
    shop.fields = [("Set-Cookie", deleting)]
    answer = browser.ask("GET", "/me")
    shop.fields = ()
    assert any(value.startswith(f"{COOKIE}=; Max-Age=0") for value in answer.values("set-cookie"))
    assert deleting in answer.values("set-cookie")
    assert [list(site.place.live()), site.place.companion_required()] == [[], True]
    assert [thief.me(), thief.copied().me()] == ["nobody", "nobody"]


def test_an_answer_that_deletes_one_of_two_logins_does_not(site: Site) -> None:
    shop, browser = site.signing()
    browser.get("/remember/ann.1")
    shop.fields = [("Set-Cookie", "session=; Path=/; Max-Age=0")]
    browser.me()
    shop.fields = ()
    assert [browser.me(), len(site.place.live())] == ["ann", 1]


LEGACY: Final = [
    "session=; Domain=.example.com; Path=/; Max-Age=0",
    "session=; Path=/old; Max-Age=0",
    "session=; Max-Age=0; path=/; domain=old.test",
]


@pytest.mark.parametrize("legacy", LEGACY)
def test_a_deletion_for_another_domain_or_path_behind_a_sign_in_does_not_undo_it(site: Site, legacy: str) -> None:
    """So do applications that have moved."""
    shop, browser = site.signing()
    login = shop.sets("session", sealed("ann.1"))
    for fields in ([login, ("Set-Cookie", legacy)], [("Set-Cookie", legacy), login]):
        shop.fields = fields
        answer = browser.house.ask("GET", "/me")
        assert names(answer) == [COOKIE, "session", "session"]
    assert len(site.place.live()) == 2


def test_a_deletion_behind_a_sign_in_at_the_same_place_does(site: Site) -> None:
    shop, browser = site.signing()
    shop.fields = [shop.sets("session", sealed("ann.1")), ("Set-Cookie", "session=; Path=/; Max-Age=0")]
    assert names(browser.house.ask("GET", "/me")) == ["session", "session"]
    assert list(site.place.live()) == []


@pytest.mark.parametrize("alive", ["session=x; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "other=; Max-Age=0"])
def test_an_answer_that_deletes_something_else_does_not(site: Site, alive: str) -> None:
    shop, browser = site.signing()
    browser.get("/login/ann.1")
    shop.fields = [("Set-Cookie", alive.replace("=x", f"={sealed('ann.2')}"))]
    browser.me()
    shop.fields = ()
    assert [browser.me(), len(site.place.live())] == ["ann", 1]


def test_a_logout_of_nobody_writes_nothing(site: Site) -> None:
    _, browser = site.signing()
    written = site.place.written()
    answer = browser.ask("GET", "/logout")
    assert (names(answer), site.place.written()) == (["remember", "session"], written)


def test_the_logout_of_one_browser_leaves_the_others(site: Site) -> None:
    _, browser = site.signing()
    other = Browser(browser.house)
    for each in (browser, other):
        each.get("/login/ann.1")
    browser.get("/logout")
    assert [browser.me(), other.me(), other.copied().me()] == ["nobody", "ann", "nobody"]
