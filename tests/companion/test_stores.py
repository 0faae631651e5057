"""A login in a store: the id stays while people sign in and out behind it, and a companion goes with its own id only."""

from __future__ import annotations

from tests.companion.conftest import Site
from tests.companion.shops import Browser
from tests.doors.sides import COOKIE
from tests.support.sessions import new_session


def test_a_sign_in_behind_an_id_that_stays_is_noticed(site: Site) -> None:
    _, browser = site.storing()
    browser.get("/visit")
    assert COOKIE not in browser.jar
    answer = browser.ask("POST", "/login/ann")
    assert [value.partition("=")[0] for value in answer.values("set-cookie")] == [COOKIE]
    assert [browser.me(), browser.get("/sessions/session"), len(site.place.live())] == ["ann", "ann", 1]


def test_an_adopted_companion_passes_with_its_session_again(site: Site) -> None:
    shop, browser = site.storing()
    shop.store["id7"] = "ann"
    browser.jar["sid"] = "id7"
    assert browser.me() == "ann"
    companion = browser.companion
    assert [browser.me(), browser.get("/sessions/session"), browser.companion] == ["ann", "ann", companion]
    (session,) = site.place.live()
    assert session.app_session == shop.identifier.digest("id7")


def test_so_is_a_sign_out(site: Site) -> None:
    _, browser = site.storing()
    browser.get("/login/ann")
    thief = browser.cloned()
    browser.get("/logout")
    assert [browser.companion, list(site.place.live()), site.place.companion_required()] == [None, [], True]
    assert thief.me() == "nobody"


def test_so_is_one_that_forgets_the_id(site: Site) -> None:
    shop, browser = site.storing()
    browser.get("/login/ann")
    shop.meanwhile = lambda: shop.store.pop(browser.jar["sid"])
    browser.get("/me")
    assert [browser.companion, list(site.place.live()), site.place.companion_required()] == [None, [], True]


def test_what_was_asked_of_us_beside_such_a_sign_in_goes_with_the_id(site: Site) -> None:
    shop, browser = site.storing()
    browser.get("/visit")
    shop.meanwhile = lambda: shop.store.update({browser.jar["sid"]: "ann"})
    browser.get("/sessions/login/ann")
    assert [browser.me(), browser.get("/sessions/session"), len(site.place.live())] == ["ann", "ann", 1]
    assert browser.press().json() == {"count": 0}


def test_so_is_another_user(site: Site) -> None:
    shop, browser = site.storing()
    browser.get("/login/ann")
    sid = browser.jar["sid"]
    browser.get("/login/bob")
    assert (browser.jar["sid"], shop.store[sid], browser.me()) == (sid, "bob", "bob")
    assert [len(site.place.live(user)) for user in ("ann", "bob")] == [0, 1]


def test_a_sign_in_behind_the_same_id_after_a_sign_out_is_a_new_companion(site: Site) -> None:
    _, browser = site.storing()
    browser.get("/login/ann")
    before, thief = browser.companion, browser.copied()
    browser.get("/logout")
    browser.get("/login/ann")
    assert browser.companion not in (None, before)
    assert [browser.me(), thief.me()] == ["ann", "nobody"]


def test_a_companion_goes_with_its_own_session_only(site: Site) -> None:
    _, first = site.storing()
    second = Browser(first.house)
    first.get("/login/ann")
    second.get("/login/ann")
    crossed = Browser(first.house, {**first.jar, "sid": second.jar["sid"]})
    assert [crossed.me(), first.me(), second.me()] == ["nobody", "ann", "ann"]
    assert crossed.press().error == "session_inactive"


def test_an_adopted_companion_goes_with_its_own_session_only(site: Site) -> None:
    shop, first = site.storing()
    shop.store.update(one="ann", two="ann")
    first.jar["sid"] = "one"
    assert first.me() == "ann"
    crossed = Browser(first.house, {**first.jar, "sid": "two"})
    assert [crossed.me(), first.me()] == ["nobody", "ann"]


def test_a_companion_follows_an_id_that_the_application_regenerates(site: Site) -> None:
    shop, browser = site.storing()
    browser.get("/login/ann")
    companion, old = browser.companion, browser.cloned()
    browser.get("/regenerate")
    assert browser.jar["sid"] != old.jar["sid"]
    assert [browser.me(), browser.companion, len(site.place.live())] == ["ann", companion, 1]
    shop.store[old.jar["sid"]] = "ann"  # a request in flight has written it back
    assert [old.me(), old.copied().me() == "nobody", browser.me()] == ["nobody", site.place.companion_required(), "ann"]


def test_an_id_that_was_written_back_is_nobody_once_companions_are_compulsory(site: Site) -> None:
    shop, browser = site.storing()
    other = Browser(browser.house)
    browser.get("/login/ann")
    other.get("/login/ann")
    thief = other.cloned()
    browser.press()
    shop.store[thief.jar["sid"]] = "ann"
    assert [thief.me(), thief.copied().me(), browser.me()] == ["nobody", "nobody", "ann"]


def test_p9_an_id_regenerated_by_an_answer_on_its_way_while_the_session_was_revoked_is_not_set(site: Site) -> None:
    shop, browser = site.storing()
    browser.get("/login/ann")
    shop.meanwhile = lambda: site.place.aside.revoke_all("ann")
    assert browser.ask("GET", "/regenerate").values("set-cookie") == []
    assert list(site.place.live()) == []


def test_of_two_answers_that_see_the_same_sign_in_one_brings_the_companion(site: Site) -> None:
    """The first has signed in behind the id; the second was on its way, and finds it done."""
    shop, browser = site.storing()
    browser.get("/visit")
    sid = browser.jar["sid"]

    def another_answer() -> None:
        shop.store[sid] = "ann"
        site.place.aside.login(new_session("ann", "d" * 32, age=lambda: 0.0, app_session=shop.identifier.digest(sid)))

    shop.meanwhile = another_answer
    assert browser.ask("GET", "/me").values("set-cookie") == []
    assert len(site.place.live()) == 1


def test_an_answer_that_only_reads_changes_nothing(site: Site) -> None:
    _, browser = site.storing()
    browser.get("/login/ann")
    written = site.place.written()
    answer = browser.ask("GET", "/me")
    assert (answer.body, answer.values("set-cookie"), site.place.written()) == (b"ann", [], written)


def test_an_id_that_the_store_does_not_know_is_taken_out(site: Site) -> None:
    _, browser = site.storing()
    browser.jar["sid"] = "chosen-by-the-client"
    assert browser.me() == "nobody"
    assert browser.house.seen[-1].header("cookie") is None
