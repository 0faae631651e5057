"""Who may revoke, how often, and what a sign-in beyond the limit meets: through both doors, over backends that judge."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest

import sessionward
from tests.doors.keepers import Keeper, Memory
from tests.doors.sides import SESSIONS, Answer, Browser, Builder, Here, Reply, town


def others(browser: Browser) -> Answer:
    return browser.ask("DELETE", SESSIONS)


def one(browser: Browser) -> Answer:
    return browser.ask("DELETE", f"{SESSIONS}/{another(browser)}")


def another(browser: Browser) -> str:
    """The id of another session of the user, or one that no session has."""
    listed = browser.ask("GET", SESSIONS)
    return listed.json()[0]["id"] if listed.status == 200 and listed.json() else "0190163d-8694-739b-aea5-966c26f8ad90"


CHANGES: Final[dict[str, tuple[Callable[[Browser], Answer], int]]] = {"others": (others, 200), "one": (one, 204)}
changes = pytest.mark.parametrize(("change", "done"), CHANGES.values(), ids=CHANGES)


# --- recent -----------------------------------------------------------------------------------------------------------


@changes
def test_an_old_sign_in_is_refused_and_a_new_one_may_revoke(build: Builder, change: Callable[[Browser], Answer], done: int) -> None:
    memory = Memory()
    house = build(town, memory, api=True, recent=300, sign_in="/login?next={return_to}")
    browser, other = Browser(house), Browser(house)
    for each in (browser, other):
        each.sign_in("ann")
    memory.now += 290
    assert change(browser).status == done
    browser.sign_in("ann")
    other.sign_in("ann")
    memory.now += 301
    refused = change(browser)
    assert (refused.status, refused.error) == (403, "session_refresh_required")
    assert refused.json()["redirect_browser_to"] == "/login?next=%2Fauth%2Fsessions"
    assert [each.ask("GET", "/me").body for each in (browser, other)] == [b"ann", b"ann"], "nothing was changed"
    browser.sign_in("ann")
    assert change(browser).status == done


@changes
def test_a_401_goes_before_and_tells_nothing_of_the_sign_in(build: Builder, change: Callable[[Browser], Answer], done: int) -> None:
    memory = Memory()
    house = build(town, memory, api=True, recent=300, rate_limit=1)
    browser = Browser(house)
    browser.sign_in("ann")
    assert change(browser).status == done
    memory.now += 301
    stolen = Browser(house, cookie=browser.cookie)
    browser.ask("POST", "/logout")
    assert change(stolen).status == 401


def test_the_verbs_and_the_reading_routes_ask_for_no_recent_sign_in(build: Builder) -> None:
    memory = Memory()
    house = build(town, memory, api=True, recent=300)
    browser, other = Browser(house), Browser(house)
    for each in (browser, other):
        each.sign_in("ann")
    memory.now += 301
    assert browser.ask("GET", SESSIONS).status == 200
    assert browser.ask("GET", f"{SESSIONS}/whoami").status == 200
    assert browser.ask("POST", "/revoke_others").body == b"1"


# --- how often --------------------------------------------------------------------------------------------------------


@changes
def test_beyond_the_rate_limit_the_answer_is_429_until_the_time_it_says(
    build: Builder, change: Callable[[Browser], Answer], done: int
) -> None:
    memory = Memory()
    house = build(town, memory, api=True, rate_limit=4)
    browser = Browser(house)
    browser.sign_in("ann")

    def tried() -> Answer:
        Browser(house).sign_in("ann")
        return change(browser)

    assert [tried().status for _ in range(4)] == [done] * 4
    refused = tried()
    assert (refused.status, refused.error) == (429, "rate_limited")
    wait = int(refused.value("retry-after"))
    assert 890 <= wait <= 900
    memory.now += wait
    assert [tried().status for _ in range(2)] == [done, 429]


@changes
def test_what_revokes_nothing_is_neither_counted_nor_refused(build: Builder, change: Callable[[Browser], Answer], done: int) -> None:
    house = build(town, Memory(), api=True, rate_limit=1)
    browser, other = Browser(house), Browser(house)
    browser.sign_in("ann")
    assert [change(browser).status for _ in range(3)] == [done] * 3
    other.sign_in("ann")
    assert [change(browser).status for _ in range(3)] == [done] * 3, "the first has revoked, and the others find nothing"


def test_both_changes_of_one_session_are_counted_together_and_a_thief_locks_nobody_out(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend, api=True, rate_limit=2)
    thief, owner = Browser(house), Browser(house)
    for each in (thief, owner):
        each.sign_in("ann")
    for _ in range(3):
        Browser(house).sign_in("ann")
    owners = owner.ask("GET", f"{SESSIONS}/whoami").json()["id"]
    spared = [each["id"] for each in thief.ask("GET", SESSIONS).json() if each["id"] != owners]
    assert [thief.ask("DELETE", f"{SESSIONS}/{each}").status for each in spared] == [204, 204, 429]
    assert [others(thief).status, one(thief).status] == [429, 429]
    assert others(owner).json() == {"count": 2}
    assert others(thief).status == 401


def test_what_is_refused_for_its_form_is_not_counted(build: Builder) -> None:
    browser = Browser(build(town, Memory(), api=True, rate_limit=1))
    browser.sign_in("ann")
    own = browser.ask("GET", f"{SESSIONS}/whoami").json()["id"]
    assert [browser.ask("DELETE", f"{SESSIONS}/{name}").status for name in ("x", own)] == [400, 400]
    assert others(browser).status == 200


# --- the forms of the page --------------------------------------------------------------------------------------------

FORMS: Final[dict[str, Callable[[Browser], str]]] = {
    "others": lambda browser: "revoke-others",
    "one": lambda browser: f"{another(browser)}/revoke",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_forms_of_the_page_are_bound_by_the_same_limits(build: Builder, form: Callable[[Browser], str]) -> None:
    memory = Memory()
    house = build(town, memory, api=True, recent=300, rate_limit=2, sign_in="/login?next={return_to}")
    browser = Browser(house)
    browser.sign_in("ann")

    def submitted() -> Answer:
        Browser(house).sign_in("ann")
        return browser.ask("POST", f"{SESSIONS}/{form(browser)}", ("Sec-Fetch-Site", "same-origin"), ("Accept", "text/html"))

    assert [submitted().status for _ in range(2)] == [303, 303]
    often = submitted()
    assert (often.status, often.value("content-type"), b"rate_limited" in often.body) == (429, "text/html; charset=utf-8", True)
    assert 1790 <= int(often.value("retry-after")) <= 1800
    memory.now += 301
    old = submitted()
    assert (old.status, b"session_refresh_required" in old.body) == (403, True)
    assert b'href="/login?next=%2Fauth%2Fsessions"' in old.body
    page = browser.ask("GET", SESSIONS, ("Accept", "text/html"))
    assert page.status == 200


# --- beyond max_sessions ----------------------------------------------------------------------------------------------


async def asking(here: Here) -> Reply:
    """An application that asks its user: ``/login/ann``, and then ``/login/ann`` with the ticket in a header."""
    verb, _, user = here.path.rpartition("/")
    if not verb.endswith("/login"):
        return await town(here)
    try:
        await here.sessions.login(user, ticket=here.header("x-ticket"))
    except sessionward.TooManySessions as full:
        return Reply(full.ticket.encode(), status=409, fields=[("Content-Type", "text/plain"), ("X-Count", str(full.count))])
    except sessionward.StaleLogin:
        return Reply(b"stale", status=401)
    return Reply(b"in")


def opened(build: Builder, keeper: Keeper, **settings: Any) -> list[Browser]:
    """Three browsers before an application that refuses a third session; two are signed in."""
    house = build(asking, keeper.backend, max_sessions=2, at_limit="refuse", **settings)
    browsers = [Browser(house) for _ in range(3)]
    assert [browser.ask("POST", "/login/ann").body for browser in browsers[:2]] == [b"in", b"in"]
    return browsers


def seen(browsers: list[Browser]) -> list[bytes]:
    return [browser.ask("GET", "/me").body for browser in browsers]


def test_a_sign_in_beyond_the_limit_is_refused_and_its_ticket_signs_in_and_ends_the_oldest(build: Builder, keeper: Keeper) -> None:
    browsers = opened(build, keeper)
    refused = browsers[2].ask("POST", "/login/ann")
    assert (refused.status, refused.value("x-count"), refused.values("set-cookie")) == (409, "2", [])
    assert seen(browsers) == [b"ann", b"ann", b"nobody"]
    assert browsers[2].ask("POST", "/login/ann", ("X-Ticket", refused.body.decode())).body == b"in"
    assert seen(browsers) == [b"nobody", b"ann", b"ann"]


def test_the_log_shows_a_refused_sign_in_without_the_user_id(build: Builder, keeper: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    browsers = opened(build, keeper)
    with caplog.at_level(logging.WARNING, "sessionward"):
        browsers[2].ask("POST", "/login/ann")
    (record,) = caplog.records
    user = hashlib.sha256(b"ann").hexdigest()[:8]
    assert record.getMessage() == f"a sign-in of user {user} was refused: the user has 2 live sessions, and may not have one more"


def test_p3_its_ticket_does_not_outlive_a_revocation(build: Builder, keeper: Keeper) -> None:
    browsers = opened(build, keeper)
    ticket = browsers[2].ask("POST", "/login/ann").body.decode()
    assert others(browsers[0]).json() == {"count": 1}
    assert browsers[2].ask("POST", "/login/ann", ("X-Ticket", ticket)).status == 401
    assert seen(browsers) == [b"ann", b"nobody", b"nobody"]


def test_a_browser_that_is_signed_in_signs_in_again_at_the_limit(build: Builder, keeper: Keeper) -> None:
    browsers = opened(build, keeper)
    assert browsers[1].ask("POST", "/login/ann").body == b"in"
    assert seen(browsers) == [b"ann", b"ann", b"nobody"]


def test_another_user_takes_no_place_and_its_refusal_keeps_the_session_that_the_browser_has(build: Builder, keeper: Keeper) -> None:
    browsers = opened(build, keeper)
    assert browsers[2].ask("POST", "/login/bob").body == b"in"
    assert browsers[2].ask("POST", "/login/ann").status == 409
    assert seen(browsers) == [b"ann", b"ann", b"bob"]
