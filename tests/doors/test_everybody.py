"""What browsers and clients meet after all sessions of all users were revoked by a job or a shell."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from sessionward import StaleLogin
from sessionward.lease import WAITED
from tests.doors.keepers import Keeper
from tests.doors.sides import SESSIONS, Browser, Builder, Here, Reply

LEASE: Final = 0.3


async def village(here: Here) -> Reply:
    """Signs in with a ticket, too: it travels in the path as a client keeps it."""
    _, verb, *rest = here.path.split("/")
    if verb == "begin":
        return Reply((await here.sessions.begin_login(rest[0])).encode())
    if verb == "login":
        try:
            return Reply((await here.sessions.login(rest[0], ticket=rest[1] if rest[1:] else None)).encode())
        except StaleLogin:
            return Reply(b"stale")
    if verb == "change":
        await here.sessions.revoke_all(rest[0])
        return Reply((await here.sessions.login(rest[0])).encode())
    session = here.sessions.current
    return Reply(b"nobody" if session is None else session.user_id.encode())


def test_p6_no_carrier_signs_anybody_in_and_a_new_sign_in_does(build: Builder, keeper: Keeper) -> None:
    house = build(village, keeper.backend)
    browser = Browser(house)
    token = house.ask("GET", "/login/ann").body.decode()
    browser.sign_in("ann")
    keeper.aside.revoke_everybody()
    assert browser.me() == "nobody"
    assert browser.press().status == 401
    for field in ("X-Session-Token", token), ("Authorization", f"Bearer {token}"):
        assert house.ask("GET", "/me", field).body == b"nobody"
        assert house.ask("DELETE", SESSIONS, field).status == 401
    new = Browser(house)
    new.sign_in("ann")
    assert (new.me(), new.press().json()) == ("ann", {"count": 0})


def test_p3_a_ticket_of_before_is_refused_and_one_of_after_is_taken(build: Builder, keeper: Keeper) -> None:
    house = build(village, keeper.backend)
    before = house.ask("GET", "/begin/ann").body.decode()
    keeper.aside.revoke_everybody()
    assert house.ask("GET", f"/login/ann/{before}").body == b"stale"
    after = house.ask("GET", "/begin/ann").body.decode()
    assert len(house.ask("GET", f"/login/ann/{after}").body) == 32


def test_p3_who_revokes_all_and_then_signs_in_needs_no_ticket(build: Builder, keeper: Keeper) -> None:
    keeper.aside.revoke_everybody()
    browser = Browser(build(village, keeper.backend))
    browser.ask("GET", "/change/ann")
    assert browser.me() == "ann"


def test_p1_no_worker_that_trusts_a_session_for_a_lease_accepts_it(build: Builder, sqlite: Callable[..., Keeper]) -> None:
    keeper, other = sqlite(), sqlite()
    keeper.aside.set_lease(LEASE)
    houses = [build(village, one.backend, lease=LEASE) for one in (keeper, other)]
    browser = Browser(houses[0])
    browser.sign_in("ann")
    browsers = [Browser(house, cookie=browser.cookie) for house in houses]
    assert [one.me() for one in browsers] == ["ann", "ann"]
    keeper.aside.revoke_everybody()
    assert [one.me() for one in browsers * 2] == ["nobody"] * 4
    assert [one.press().status for one in browsers] == [401, 401]


def test_p1_the_first_refusal_waits_for_the_workers_that_trust_a_session(build: Builder, sqlite: Callable[..., Keeper]) -> None:
    """The job that revoked everybody was killed before it could wait: its answer did not come, and a refusal is an answer, too."""
    keeper = sqlite()
    keeper.aside.set_lease(LEASE)
    browser = Browser(build(village, keeper.backend, lease=LEASE))
    browser.sign_in("ann")
    keeper.aside.within(10.0).revoke_everybody()
    began = monotonic()
    while browser.me() != "nobody":
        assert monotonic() - began < 10 * WAITED * LEASE
    assert monotonic() - began >= WAITED * LEASE
