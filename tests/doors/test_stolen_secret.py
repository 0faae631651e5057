"""A secret was stolen: what a new one alone ends, what it does not, and the command that ends the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

import sessionward
from sessionward import Session
from sessionward.cli import main
from sessionward.credential.token import TOKEN_LENGTH
from sessionward.session.assertion import Signer
from tests.api.houses import links
from tests.doors.keepers import Keeper
from tests.doors.sides import COOKIE, SECRET, SESSIONS, Browser, Builder, Here, House, Reply, town

NEW: Final = "a new secret, made since the old one was stolen: 0123456789"
ASSERTING: Final = "the secret of a sidecar in front, which was not stolen: 0123456789"


async def over_two_requests(here: Here) -> Reply:
    """``/begin/ann`` answers with a ticket, ``/in/ann`` signs in with the one in a header; else as in the town."""
    verb, _, user = here.path.strip("/").partition("/")
    if verb == "begin":
        return Reply((await here.sessions.begin_login(user)).encode())
    if verb != "in":
        return await town(here)
    try:
        return Reply((await here.sessions.login(user, ticket=here.header("x-ticket"))).encode())
    except sessionward.StaleLogin:
        return Reply(b"stale", 401)


@pytest.fixture
def house(build: Builder, sqlite: Callable[..., Keeper]) -> Callable[[str], House]:
    """The application over one database, with the secret that is given."""
    backend = sqlite().backend
    return lambda secret: build(over_two_requests, backend, secrets=[secret], assertion_secrets=[ASSERTING], api=True)


def who(house: House, name: str, value: str) -> str:
    return house.ask("GET", "/me", (name, value)).body.decode()


def test_a_new_secret_alone_ends_the_cookies_and_the_tickets(house: Callable[[str], House]) -> None:
    before = house(SECRET)
    browser = Browser(before)
    browser.sign_in()
    ticket = before.ask("POST", "/begin/ann").body.decode()
    after = house(NEW)
    assert [who(one, "Cookie", f"{COOKIE}={browser.cookie}") for one in (before, after)] == ["ann", "nobody"]
    assert [one.ask("POST", "/in/ann", ("X-Ticket", ticket)).status for one in (after, before)] == [401, 200]


def test_a_new_secret_alone_does_not_end_header_tokens_assertions_page_tokens_or_sessions(house: Callable[[str], House]) -> None:
    before = house(SECRET)
    token = Browser(before).sign_in()
    for _ in range(2):
        Browser(before).sign_in()
    link = urlsplit(links(before.ask("GET", SESSIONS, ("X-Session-Token", token), query="page_size=1"))["next"])
    asserted = Signer([ASSERTING.encode()]).sign(Session(id=uuid4(), user_id="bob"), datetime.now(UTC).timestamp()).decode()
    after = house(NEW)
    assert who(after, "X-Session-Token", token) == "ann"
    assert who(after, "Authorization", f"Bearer {token}") == "ann"
    assert who(after, "X-Session-Assertion", asserted) == "bob"
    answer = after.ask("GET", link.path, ("X-Session-Token", token), query=link.query)
    assert (answer.status, len(answer.json()), answer.value("x-total-count")) == (200, 1, "2"), "they are listed, page by page"


def test_what_was_copied_from_a_cookie_passes_in_a_header_after_a_new_secret(house: Callable[[str], House]) -> None:
    browser = Browser(house(SECRET))
    browser.sign_in()
    assert browser.cookie is not None
    after = house(NEW)
    assert who(after, "X-Session-Token", browser.cookie[:TOKEN_LENGTH]) == "ann"


def test_revoking_everybody_ends_what_a_new_secret_has_left(house: Callable[[str], House], sqlite_url: str) -> None:
    before = house(SECRET)
    token, ticket = Browser(before).sign_in(), before.ask("POST", "/begin/ann").body.decode()
    assert main(["revoke", "--everybody", "--backend", sqlite_url]) == 0
    for one in (before, house(NEW)):
        assert who(one, "X-Session-Token", token) == "nobody"
        assert one.ask("DELETE", SESSIONS, ("X-Session-Token", token)).error == "session_inactive"
        assert one.ask("POST", "/in/ann", ("X-Ticket", ticket)).status == 401
    browser = Browser(house(NEW))
    browser.sign_in()
    assert browser.me() == "ann", "a new sign-in is accepted"
