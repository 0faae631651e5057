"""One table of scenarios: each function is a row, written once, and runs through every side of both doors."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, Final
from uuid import UUID

import pytest
from itsdangerous import Signer

import sessionward
from sessionward.backends import Credential
from sessionward.credential.token import new_token
from sessionward.door.parts import warn
from tests.doors.keepers import Foreign, Keeper, Memory
from tests.doors.sides import COOKIE, SECRET, SESSIONS, TEXT, ASGIHouse, Browser, Builder, Fields, Here, House, Reply, town

OWN: Final = "https://app.example"
SIBLING: Final = "https://evil.example"


def signed(token: str, *, secret: str = SECRET, purpose: str = "cookie") -> str:
    """A token as a cookie holds it."""
    signer = Signer(secret, salt=f"sessionward.{purpose}.v1:".encode(), key_derivation="hmac", digest_method=hashlib.sha256)
    return signer.sign(token).decode()


def cookie(*values: str) -> tuple[str, str]:
    return ("Cookie", "; ".join(f"{COOKIE}={value}" for value in values))


def signed_in(house: House, *users: str) -> list[Browser]:
    """One browser for each user named, signed in."""
    browsers = [Browser(house) for _ in users]
    for browser, user in zip(browsers, users, strict=True):
        browser.sign_in(user)
    return browsers


# --- signing in -------------------------------------------------------------------------------------------------------


ALWAYS: Final = {"Path=/", "HttpOnly"}
LAX: Final = {*ALWAYS, "Secure", "SameSite=Lax"}
TWO_WEEKS: Final = "Max-Age=1209600"


@pytest.mark.parametrize(
    ("settings", "persistent", "name", "attributes"),
    [
        pytest.param({}, True, COOKIE, {*LAX, TWO_WEEKS}, id="by default"),
        pytest.param({"insecure": True}, True, "session-ward", {*ALWAYS, "SameSite=Lax", TWO_WEEKS}, id="insecure"),
        pytest.param({"cookie_samesite": "strict"}, True, COOKIE, {*ALWAYS, "Secure", "SameSite=Strict", TWO_WEEKS}, id="strict"),
        pytest.param({"cookie_samesite": "none"}, True, COOKIE, {*ALWAYS, "Secure", "SameSite=None", TWO_WEEKS}, id="none"),
        pytest.param({}, False, COOKIE, LAX, id="until the browser closes"),
        pytest.param({"lifetime": 60}, True, COOKIE, {*LAX, "Max-Age=60"}, id="a minute"),
        pytest.param({"cookie_name": "sid"}, True, "sid", {*LAX, TWO_WEEKS}, id="own name"),
    ],
)
def test_login_sets_one_cookie_with_exactly_these_attributes(
    build: Builder, settings: dict[str, Any], persistent: bool, name: str, attributes: set[str]
) -> None:
    async def login(here: Here) -> Reply:
        return Reply((await here.sessions.login("ann", persistent=persistent)).encode())

    answer = build(login, **settings).ask("POST", "/login")
    pair, *found = answer.value("set-cookie").split("; ")
    assert (sorted(found), pair) == (sorted(attributes), f"{name}={signed(answer.body.decode())}")
    assert re.fullmatch(r"[A-Za-z0-9]{32}", answer.body.decode())


def test_an_answer_with_a_cookie_of_ours_is_kept_by_no_cache_and_keeps_all_else_in_order(build: Builder) -> None:
    async def login(here: Here) -> Reply:
        await here.sessions.login("ann")
        fields = [
            ("Content-Type", "text/plain"),
            ("Cache-Control", "public, max-age=600"),
            ("Set-Cookie", "a=1; Path=/"),
            ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("Surrogate-Control", "max-age=600"),
            ("CDN-Cache-Control", "max-age=600"),
            ("Set-Cookie", "b=2; Path=/"),
            ("Vary", "Accept"),
        ]
        return Reply(b"in", fields=fields)

    answer = build(login).ask("POST", "/login")
    assert answer.values("cache-control") == ["no-store"]
    kept = [(name, value) for name, value in answer.fields if name in ("content-type", "vary") or value[:2] in ("a=", "b=")]
    assert kept == [("content-type", "text/plain"), ("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/"), ("vary", "Accept")]
    assert not {"expires", "surrogate-control", "cdn-cache-control"} & {name for name, _ in answer.fields}
    assert len(answer.values("set-cookie")) == 3


def test_an_answer_without_a_cookie_of_ours_keeps_its_caching(build: Builder) -> None:
    async def cached(here: Here) -> Reply:
        return Reply(fields=[*TEXT, ("Cache-Control", "public"), ("Expires", "0"), ("Set-Cookie", "theme=dark")])

    answer = build(cached).ask("GET", "/")
    assert answer.fields[1:4] == [("cache-control", "public"), ("expires", "0"), ("set-cookie", "theme=dark")]


def test_login_in_a_browser_that_has_a_session_revokes_that_one(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend)
    browser, other = signed_in(house, "ann", "ann")
    before = browser.cookie
    browser.sign_in("ann")
    assert browser.cookie != before
    assert Browser(house, cookie=before).me() == "nobody"
    assert browser.press().json() == {"count": 1}
    assert other.me() == "nobody"


def test_login_as_somebody_else_revokes_the_session_that_the_browser_had(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend)
    browser, bystander = signed_in(house, "ann", "ann")
    before = browser.cookie
    browser.sign_in("bob")
    assert (browser.me(), bystander.me(), Browser(house, cookie=before).me()) == ("bob", "ann", "nobody")


def test_a_login_beyond_max_sessions_revokes_the_oldest_session(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend, max_sessions=2)
    browsers = signed_in(house, "ann", "ann", "bob", "ann")
    assert [browser.me() for browser in browsers] == ["nobody", "ann", "bob", "ann"]
    assert browsers[3].press().json() == {"count": 1}


def test_the_current_session_changes_at_once(build: Builder) -> None:
    seen: list[str | None] = []

    async def turns(here: Here) -> Reply:
        sessions = here.sessions

        def look() -> None:
            seen.append(sessions.current.user_id if sessions.current is not None else None)

        look()
        await sessions.login("ann")
        look()
        await sessions.login("bob")
        look()
        await sessions.logout()
        look()
        await sessions.login("ann", ticket=await sessions.begin_login("ann"))
        look()
        await sessions.revoke_all("ann")
        look()
        return Reply()

    answer = build(turns).ask("GET", "/")
    assert seen == [None, "ann", "bob", None, "ann", None]
    assert answer.values("set-cookie") == []


# --- the button -------------------------------------------------------------------------------------------------------


def test_p1_one_of_three_browsers_presses_the_button_and_the_others_are_out_at_once(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend)
    first, second, third, bystander = signed_in(house, "ann", "ann", "ann", "bob")
    before = first.cookie
    answer = first.press()
    assert (answer.status, answer.json()) == (200, {"count": 2})
    assert [browser.me() for browser in (first, second, third, bystander)] == ["ann", "nobody", "nobody", "bob"]
    assert answer.values("set-cookie") == []
    assert first.cookie == before
    assert second.press().status == 401


def test_p5_an_immediate_repeat_counts_nothing(build: Builder, keeper: Keeper) -> None:
    first, _ = signed_in(build(town, keeper.backend), "ann", "ann")
    assert [first.press().json()["count"] for _ in range(3)] == [1, 0, 0]


def test_p3_a_button_that_finds_nothing_raises_once_and_the_verb_always(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend)
    (browser,) = signed_in(house, "ann")
    assert [browser.press().json() for _ in range(5)] == [{"count": 0}] * 5
    assert keeper.aside.begin_login("ann") == 1
    assert [browser.ask("GET", "/revoke_others").body for _ in range(2)] == [b"0"] * 2
    assert keeper.aside.begin_login("ann") == 3


def test_p5_expired_sessions_are_not_counted(build: Builder) -> None:
    memory = Memory()
    house = build(town, memory, lifetime=60)
    signed_in(house, "ann")
    memory.now += 61
    (browser,) = signed_in(house, "ann")
    assert browser.press().json() == {"count": 0}


def test_the_answer_of_the_button_has_exactly_these_headers(build: Builder) -> None:
    (browser,) = signed_in(build(), "ann")
    answer = browser.press()
    assert answer.body == b'{"count": 0}'
    assert sorted(answer.fields) == [
        ("cache-control", "no-store"),
        ("content-length", "12"),
        ("content-type", "application/json; charset=utf-8"),
        ("vary", "Cookie, Authorization, X-Session-Token"),
        ("x-content-type-options", "nosniff"),
    ]


def test_the_button_reads_no_body_and_no_query(build: Builder) -> None:
    house = build()
    first, second = signed_in(house, "ann", "ann")
    token = first.sign_in()
    reads = house.body_reads
    assert first.press(query="count=9&all=1", body=b'{"count": 9}').json() == {"count": 1}
    assert house.body_reads == reads
    assert second.me() == "nobody"
    anonymous = house.ask("DELETE", SESSIONS, query=f"token={token}&x-session-token={token}", body=token.encode())
    assert anonymous.status == 401


@pytest.mark.usefixtures("never_stale")
def test_the_button_works_for_every_carrier(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend)
    tokens = [Browser(house).sign_in() for _ in range(3)]
    assert house.ask("DELETE", SESSIONS, ("X-Session-Token", tokens[0])).json() == {"count": 2}
    tokens.append(Browser(house).sign_in())
    assert house.ask("DELETE", SESSIONS, ("Authorization", f"bearer {tokens[3]}")).json() == {"count": 1}
    assert house.ask("GET", "/me", ("X-Session-Token", tokens[0])).body == b"nobody"
    assert house.ask("GET", "/me", ("Authorization", f"Bearer {tokens[3]}")).body == b"ann"


# --- statuses ---------------------------------------------------------------------------------------------------------

TEXTS: Final = {
    "header_too_large": (431, "Request Header Fields Too Large"),
    "ambiguous_credentials": (400, "Bad Request"),
    "security_csrf_violation": (403, "Forbidden"),
    "session_inactive": (401, "Unauthorized"),
    "backend_unavailable": (503, "Service Unavailable"),
    "outcome_unknown": (503, "Service Unavailable"),
}
"""Error id to code and status."""

FOREIGN: Final = ("Sec-Fetch-Site", "cross-site")
LONG: Final = ("Cookie", "x=" + "y" * 16_384)
UNSIGNED: Final = cookie("x" * 32 + "." + "y" * 43)
TWO: Final = cookie(signed(new_token()), signed(new_token()))


def down() -> sessionward.BackendUnavailable:
    return sessionward.BackendUnavailable("driver text")


REFUSED: Final = [
    pytest.param([LONG], None, "header_too_large", id="a cookie field that is too long"),
    pytest.param([LONG, TWO, FOREIGN], down(), "header_too_large", id="too long before all else"),
    pytest.param([TWO], None, "ambiguous_credentials", id="two cookies of ours"),
    pytest.param([("X-Session-Token", "a"), ("X-Session-Token", "b")], None, "ambiguous_credentials", id="two tokens, none of our form"),
    pytest.param([TWO, FOREIGN], down(), "ambiguous_credentials", id="ambiguous before cross-site and outage"),
    pytest.param([UNSIGNED, FOREIGN], None, "security_csrf_violation", id="cross-site with an invalid cookie"),
    pytest.param([cookie(signed(new_token())), FOREIGN], down(), "security_csrf_violation", id="cross-site before the outage"),
    pytest.param([], down(), "session_inactive", id="no credential, which needs no backend"),
    pytest.param([FOREIGN], None, "session_inactive", id="cross-site without any credential"),
    pytest.param([UNSIGNED], down(), "session_inactive", id="a forged cookie, which needs no backend"),
    pytest.param([cookie(signed(new_token()))], None, "session_inactive", id="an unknown session"),
    pytest.param([("X-Session-Token", new_token()), FOREIGN], None, "session_inactive", id="an unknown token, exempt from cross-site"),
    pytest.param([("X-Session-Token", "typing error")], down(), "session_inactive", id="a token not of our form"),
    pytest.param([cookie(signed(new_token()))], down(), "backend_unavailable", id="an outage"),
    pytest.param([cookie(signed(new_token()))], OSError("driver text"), "backend_unavailable", id="an error of the driver"),
    pytest.param([cookie(signed(new_token()))], sessionward.OutcomeUnknown("driver text"), "outcome_unknown", id="silence at the commit"),
]


@pytest.mark.parametrize(("fields", "failure", "error"), REFUSED)
def test_a_refusal_has_this_status_this_body_and_exactly_these_headers(
    build: Builder, fields: Fields, failure: Exception | None, error: str
) -> None:
    memory = Memory()
    if failure is not None:
        memory.fail(failure)
    house = build(backend=memory)
    answer = house.ask("DELETE", SESSIONS, *fields, ("X-Request-Id", "r-1"))
    code, status = TEXTS[error]
    body = answer.json()["error"]
    assert (answer.status, house.seen) == (code, [])
    assert set(body) == {"id", "code", "status", "request", "message", "reason"}
    assert (body["id"], body["code"], body["status"], body["request"]) == (error, code, status, "r-1")
    if code == 401:
        assert body["message"] == "The request could not be authorized"
        assert body["reason"] == "No valid session credentials found in the request."
    assert b"driver text" not in answer.body
    expected = {
        "cache-control": "no-store",
        "content-length": str(len(answer.body)),
        "content-type": "application/json; charset=utf-8",
        "vary": "Cookie, Authorization, X-Session-Token",
        "x-content-type-options": "nosniff",
    }
    if code == 401:
        expected["www-authenticate"] = 'Bearer error="invalid_token"' if fields and fields[0][0] == "X-Session-Token" else "Bearer"
    if code == 503:
        assert int(answer.value("retry-after")) in range(1, 6)
        expected["retry-after"] = answer.value("retry-after")
    assert dict(answer.fields) == expected
    assert len(answer.fields) == len(expected)


def test_p7_an_outage_in_the_middle_is_503_and_revokes_nothing(build: Builder) -> None:
    memory = Memory()
    first, second = signed_in(build(backend=memory), "ann", "ann")

    def fall_silent() -> None:
        raise sessionward.OutcomeUnknown("silence")

    memory.on_revoke_others = fall_silent
    answer = first.press()
    assert (answer.status, answer.error) == (503, "outcome_unknown")
    assert (first.me(), second.me()) == ("ann", "ann")


def test_p2_a_caller_whose_own_session_is_revoked_meanwhile_gets_401(build: Builder) -> None:
    memory = Memory()
    first, second = signed_in(build(backend=memory), "ann", "ann")
    memory.on_revoke_others = lambda: memory.revoke_all("ann")
    assert (first.press().status, second.me()) == (401, "nobody")


def test_all_401_of_one_carrier_are_alike_apart_from_the_request(build: Builder) -> None:
    memory = Memory()
    house = build(backend=memory, lifetime=60)
    revoked, expired = signed_in(house, "bob", "ann")
    memory.revoke_all("bob")
    memory.now += 61
    own = str(revoked.cookie)
    invalid = [own, expired.cookie, signed(new_token()), "forged", "", signed(new_token(), purpose="ticket"), f'"{own}"']
    token = own.partition(".")[0]
    by_cookie = [house.ask("DELETE", SESSIONS, cookie(str(value)), ("X-Request-Id", "r")) for value in invalid]
    by_cookie.append(house.ask("DELETE", SESSIONS, ("X-Request-Id", "r")))
    tokens = (token, new_token(), "nonsense")
    by_header = [house.ask("DELETE", SESSIONS, ("X-Session-Token", value), ("X-Request-Id", "r")) for value in tokens]
    by_header.append(house.ask("DELETE", SESSIONS, ("Authorization", f"Bearer {token}"), ("X-Request-Id", "r")))
    assert {answer.status for answer in by_cookie + by_header} == {401}
    assert {answer.body for answer in by_cookie + by_header} == {by_cookie[0].body}
    assert all(answer.fields == by_cookie[0].fields for answer in by_cookie)
    assert all(answer.fields == by_header[0].fields for answer in by_header)
    assert (by_cookie[0].value("www-authenticate"), by_header[0].value("www-authenticate")) == ("Bearer", 'Bearer error="invalid_token"')


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        pytest.param("d7ef54b1", True, id="plain"),
        pytest.param("!" * 128, True, id="128 characters"),
        pytest.param("x" * 129, False, id="129 characters"),
        pytest.param("two words", False, id="with a blank"),
        pytest.param("", False, id="empty"),
        pytest.param("caf\xe9", False, id="not ASCII"),
    ],
)
def test_an_error_names_the_request_id_that_came_or_a_new_uuid(build: Builder, given: str, echoed: bool) -> None:
    named = build().ask("DELETE", SESSIONS, ("X-Request-Id", given)).json()["error"]["request"]
    assert (named == given) == echoed
    assert echoed or UUID(named)


def test_debug_says_what_was_wrong_and_never_the_credential(build: Builder) -> None:
    token = new_token()
    spoken = [
        build(debug=debug).ask("DELETE", SESSIONS, field).json()["error"].get("debug")
        for debug in (True, False)
        for field in (("X-Session-Token", token), cookie(signed(token)), UNSIGNED)
    ]
    assert spoken[3:] == [None, None, None]
    assert all(spoken[:3])
    assert token not in str(spoken)


# --- cross-site calls -------------------------------------------------------------------------------------------------

ABSENT: Final = None

CROSS_SITE: Final = [
    pytest.param("same-origin", OWN, {}, 200, id="1 same-origin"),
    pytest.param("same-origin", ABSENT, {}, 200, id="2 same-origin, no Origin"),
    pytest.param("same-origin", "null", {}, 200, id="3 same-origin, null"),
    pytest.param("none", ABSENT, {}, 200, id="4 the address bar"),
    pytest.param("same-site", SIBLING, {}, 403, id="5 a sibling"),
    pytest.param("same-site", SIBLING, {"trusted_origins": [SIBLING]}, 200, id="6 a trusted sibling"),
    pytest.param("cross-site", "https://evil.test", {}, 403, id="7 another site"),
    pytest.param("cross-site", "null", {}, 403, id="8 a sandbox"),
    pytest.param("Same-Origin", OWN, {}, 403, id="9 another case"),
    pytest.param("same-origin, cross-site", OWN, {}, 403, id="9 a list"),
    pytest.param("", OWN, {}, 403, id="9 empty"),
    pytest.param("unheard-of", OWN, {}, 403, id="9 an unknown word"),
    pytest.param(ABSENT, OWN, {}, 200, id="11 an old browser"),
    pytest.param(ABSENT, OWN, {"public_origin": OWN}, 200, id="11 with public_origin"),
    pytest.param(ABSENT, OWN + ":8443", {}, 403, id="12 another port"),
    pytest.param(ABSENT, "http://app.example", {"public_origin": OWN}, 403, id="12 http"),
    pytest.param(ABSENT, OWN + ".", {}, 403, id="12 a trailing dot"),
    pytest.param(ABSENT, "https://APP.example", {}, 403, id="12 upper case"),
    pytest.param(ABSENT, "https://x@app.example", {}, 403, id="12 user info"),
    pytest.param(ABSENT, OWN + "/x", {}, 403, id="12 a path"),
    pytest.param(ABSENT, "null", {}, 403, id="13 null"),
    pytest.param(ABSENT, ABSENT, {}, 200, id="14 no browser"),
    pytest.param(ABSENT, "https://app.example.evil.test", {}, 403, id="20 ours as a prefix"),
    pytest.param(ABSENT, "https://evil-app.example", {}, 403, id="20 ours as a suffix"),
]


@pytest.mark.parametrize(("site", "origin", "settings", "status"), CROSS_SITE)
def test_a_cookie_counts_only_for_pages_that_may_call(
    build: Builder, site: str | None, origin: str | None, settings: dict[str, Any], status: int
) -> None:
    memory = Memory()
    first, second = signed_in(build(backend=memory, **settings), "ann", "ann")
    memory.asked.clear()
    fields = [("Sec-Fetch-Site", site)] * (site is not None) + [("Origin", origin)] * (origin is not None)
    answer = first.press(*[(name, value) for name, value in fields if value is not None])
    assert answer.status == status
    assert memory.asked == ([] if status == 403 else ["find", "revoke_others"])
    assert second.me() == ("ann" if status == 403 else "nobody")


def test_two_lines_of_sec_fetch_site_or_origin_are_refused(build: Builder) -> None:
    (browser,) = signed_in(build(trusted_origins=[OWN]), "ann")
    assert browser.press(("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")).status == 403
    assert browser.press(("Origin", OWN), ("Origin", OWN)).status == 403


def test_forwarded_headers_do_not_move_the_own_origin(build: Builder) -> None:
    (browser,) = signed_in(build(), "ann")
    forwarded = (("X-Forwarded-Host", "evil.test"), ("Forwarded", "host=evil.test"))
    assert browser.press(("Origin", "https://evil.test"), *forwarded).status == 403


def test_a_header_token_is_exempt_and_decides_over_the_cookie(build: Builder) -> None:
    house = build()
    victim, other = signed_in(house, "ann", "ann")
    token = Browser(house).sign_in("bob")
    assert victim.press(("X-Session-Token", token), FOREIGN, ("Origin", "https://evil.test")).json() == {"count": 0}
    assert (victim.me(), other.me()) == ("ann", "ann")


def test_a_trusted_origin_can_read_every_answer_and_nobody_else_can(build: Builder) -> None:
    house = build(trusted_origins=[SIBLING])
    (browser,) = signed_in(house, "ann")
    for answer in (browser.press(("Origin", SIBLING)), house.ask("DELETE", SESSIONS, ("Origin", SIBLING))):
        assert answer.value("access-control-allow-origin") == SIBLING
        assert answer.value("access-control-allow-credentials") == "true"
        assert answer.value("vary") == "Cookie, Authorization, X-Session-Token, Origin"
    for answer in (browser.press(("Origin", OWN)), browser.press(("Origin", "https://evil.test"))):
        assert not [name for name, _ in answer.fields if name.startswith("access-control")]
        assert answer.value("vary") == "Cookie, Authorization, X-Session-Token"


# --- invalid credentials ----------------------------------------------------------------------------------------------


def _revoked(house: House) -> tuple[str, str]:
    (browser,) = signed_in(house, "zoe")
    house.backend.revoke_all("zoe")
    return cookie(str(browser.cookie))


def _expired(house: House) -> tuple[str, str]:
    (browser,) = signed_in(house, "zoe")
    house.backend.now += 15 * 86_400
    return cookie(str(browser.cookie))


INVALID: Final[list[Any]] = [
    pytest.param(_revoked, id="revoked"),
    pytest.param(_expired, id="expired"),
    pytest.param(lambda house: cookie(signed(new_token())), id="unknown"),
    pytest.param(lambda house: UNSIGNED, id="forged"),
    pytest.param(lambda house: cookie(signed(new_token())[:-1]), id="truncated"),
    pytest.param(lambda house: cookie(signed(new_token(), secret=SECRET[::-1])), id="of another secret"),
    pytest.param(lambda house: cookie(""), id="empty"),
    pytest.param(lambda house: cookie(f'"{signed(new_token())}"'), id="quoted"),
    pytest.param(lambda house: ("X-Session-Token", new_token()), id="a token"),
    pytest.param(lambda house: ("Authorization", f"Bearer {new_token()}"), id="a bearer"),
]
Invalid = Callable[[House], tuple[str, str]]


def with_pairs_of_the_app(field: tuple[str, str]) -> list[tuple[str, str]]:
    name, value = field
    return [(name, f'a="1";  {value} ;b= {{2}}')] if name == "Cookie" else [("Cookie", 'a="1"; b= {2}'), field]


@pytest.mark.parametrize("invalid", INVALID)
def test_an_invalid_credential_is_taken_out_and_nothing_else_is(build: Builder, invalid: Invalid) -> None:
    house = build(backend=Memory())
    answer = house.ask("GET", "/me", *with_pairs_of_the_app(invalid(house)), ("X-Other", "kept"))
    here = house.seen[-1]
    assert (answer.status, answer.body) == (200, b"nobody")
    assert here.header("cookie") in ('a="1";b= {2}', 'a="1"; b= {2}')
    assert (here.header("x-session-token"), here.header("authorization"), here.header("x-other")) == (None, None, "kept")
    assert answer.values("set-cookie") == []


def test_a_cookie_field_that_held_only_an_invalid_cookie_is_taken_out_whole(build: Builder) -> None:
    house = build()
    house.ask("GET", "/me", UNSIGNED)
    assert house.seen[-1].header("cookie") is None


def test_an_invalid_token_beside_a_bearer_of_the_application_is_taken_out_alone(build: Builder) -> None:
    house = build()
    house.ask("GET", "/me", ("X-Session-Token", new_token()), ("Authorization", "Bearer key-of-an-api"))
    here = house.seen[-1]
    assert (here.header("x-session-token"), here.header("authorization")) == (None, "Bearer key-of-an-api")


@pytest.mark.parametrize("invalid", INVALID)
def test_an_invalid_credential_is_rejected_if_the_setting_says_so(build: Builder, invalid: Invalid) -> None:
    house = build(backend=Memory(), on_invalid="reject")
    field = invalid(house)
    calls = len(house.seen)
    answer = house.ask("GET", "/me", field)
    assert (answer.status, answer.error, len(house.seen)) == (401, "session_inactive", calls)
    assert answer.value("www-authenticate") == ("Bearer" if field[0] == "Cookie" else 'Bearer error="invalid_token"')


@pytest.mark.parametrize("setting", ["strip", "reject"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([("X-Session-Token", "of another system")], id="a foreign X-Session-Token"),
        pytest.param([("X-Session-Token", "a, b")], id="two foreign tokens"),
        pytest.param([("Authorization", "Bearer 0123456789abcdef0123456789abcdef")], id="an API key as bearer"),
        pytest.param([("Authorization", "Bearer")], id="a bearer without a value"),
        pytest.param([("Authorization", "Basic Og==")], id="Basic"),
        pytest.param([("Cookie", "a=1; a=2; sid=x; sid=y")], id="doubled cookies of the application"),
        pytest.param([("Cookie", f"x{COOKIE}=1; {COOKIE.lower()}=2; \xa0{COOKIE}=3; a={COOKIE}")], id="names that only look like ours"),
        pytest.param([("Cookie", f"\x0b{COOKIE}=1; \x0c{COOKIE}=2; {COOKIE}\x1c=3; {COOKIE}")], id="blanks of other kinds around it"),
    ],
)
def test_what_is_the_applications_own_passes_as_it_came(build: Builder, setting: str, fields: Fields) -> None:
    house = build(on_invalid=setting)
    answer = house.ask("GET", "/me", *fields)
    here = house.seen[-1]
    assert (answer.status, answer.body) == (200, b"nobody")
    assert [here.header(name) for name, _ in fields] == [value for _, value in fields]
    assert here.mapping is house.sent


def test_a_bearer_of_the_application_passes_beside_a_live_cookie(build: Builder) -> None:
    house = build()
    (browser,) = signed_in(house, "ann")
    assert browser.ask("GET", "/me", ("Authorization", "Bearer key-of-an-api")).body == b"ann"
    assert house.seen[-1].header("authorization") == "Bearer key-of-an-api"


@pytest.mark.parametrize("of_our_form", [True, False])
def test_a_header_token_that_proves_nothing_never_falls_back_to_the_cookie(build: Builder, of_our_form: bool) -> None:
    house = build()
    (browser,) = signed_in(house, "ann")
    field = ("X-Session-Token", new_token() if of_our_form else "nonsense")
    assert browser.ask("GET", "/me", field).body == b"nobody"
    assert browser.press(field).status == 401
    assert (browser.me(), browser.press(("X-Session-Token", "")).status) == ("ann", 200)


@pytest.mark.parametrize("on_invalid", ["strip", "reject"])
def test_an_exempt_path_costs_no_look_and_is_no_open_door(build: Builder, on_invalid: str) -> None:
    memory = Memory()
    house = build(backend=memory, exempt_paths=("/static/",), on_invalid=on_invalid)
    (browser,) = signed_in(house, "ann")
    memory.asked.clear()
    browser.others = ["a=1"]
    answer = browser.ask("GET", "/static/me")
    assert (answer.status, answer.body, memory.asked) == (200, b"nobody", [])
    assert house.seen[-1].header("cookie") == "a=1"
    assert browser.ask("GET", "/statics/me").body == b"ann"


# --- ambiguous credentials --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["GET /me", "POST /", f"OPTIONS {SESSIONS}", f"DELETE {SESSIONS}"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([cookie(signed(new_token()), signed(new_token()))], id="our cookie twice"),
        pytest.param([cookie("planted", signed(new_token()), signed(new_token()))], id="our cookie twice beside one that is not ours"),
        pytest.param([("X-Session-Token", new_token()), ("X-Session-Token", "other")], id="two lines of X-Session-Token"),
        pytest.param([("X-Session-Token", f"other, {new_token()}")], id="joined by a comma"),
        pytest.param([("X-Session-Token", new_token()), ("Authorization", f"Bearer {new_token()}")], id="two carriers that differ"),
        pytest.param([("X-Session-Token", "nonsense"), ("Authorization", f"Bearer {new_token()}")], id="a foreign token and our bearer"),
        pytest.param([("Authorization", f"Bearer {new_token()}"), ("Authorization", f"Bearer {new_token()}")], id="two bearers"),
    ],
)
def test_ambiguous_credentials_of_ours_are_refused_on_every_route(build: Builder, route: str, fields: Fields) -> None:
    house = build()
    method, path = route.split()
    answer = house.ask(method, path, *fields)
    assert (answer.status, answer.error, house.seen) == (400, "ambiguous_credentials", [])


@pytest.mark.parametrize("planted", ["", "x", new_token()], ids=["an empty one", "rubbish", "a token that nobody has signed"])
def test_a_cookie_of_our_name_that_a_sibling_host_has_planted_locks_nobody_out(build: Builder, planted: str) -> None:
    keeper_house = build(town)
    (browser,) = signed_in(keeper_house, "ann")
    both = ("Cookie", f"{COOKIE}={planted}; {COOKIE}={browser.cookie}")
    assert keeper_house.ask("GET", "/me", both).body == b"ann"
    assert keeper_house.ask("DELETE", SESSIONS, both).status == 200


def test_a_cookie_of_our_name_that_is_not_ours_is_explained_once_in_the_log(build: Builder, caplog: pytest.LogCaptureFixture) -> None:
    warn.cache_clear()
    house = build(town)
    with caplog.at_level(logging.WARNING, "sessionward"):
        for _ in range(3):
            house.ask("GET", "/me", UNSIGNED)
    (record,) = caplog.records
    assert f"the cookie {COOKIE}" in record.getMessage()
    assert "`audience`" in record.getMessage()


def test_two_applications_on_one_host_do_not_share_a_cookie_if_each_has_its_audience(build: Builder) -> None:
    names = {
        audience: build(town, audience=audience).ask("POST", "/login/ann").values("set-cookie")[0].partition("=")[0]
        for audience in ("", "shop", "forum")
    }
    assert names[""] == COOKIE
    assert names["shop"].startswith(f"{COOKIE}-")
    assert len(set(names.values())) == 3


def test_equal_values_count_as_one(build: Builder) -> None:
    house = build()
    token = Browser(house).sign_in()
    for fields in (
        [cookie(signed(token), signed(token))],
        [("X-Session-Token", token), ("X-Session-Token", token)],
        [("X-Session-Token", f"{token},{token}")],
        [("X-Session-Token", token), ("Authorization", f"Bearer {token}")],
    ):
        assert house.ask("GET", "/me", *fields).body == b"ann"
        assert house.ask("DELETE", SESSIONS, *fields).status == 200


def test_cookie_fields_that_came_apart_are_read_as_one(build: Builder) -> None:
    house = build()
    one, two = signed_in(house, "ann", "bob")
    assert house.ask("GET", "/me", ("Cookie", "a=1"), cookie(str(one.cookie)), ("Cookie", "b=2")).body == b"ann"
    assert house.ask("GET", "/me", cookie(str(one.cookie)), cookie(str(two.cookie))).status == 400


def test_a_long_cookie_is_refused_on_our_route_only(build: Builder) -> None:
    house = build()
    assert house.ask("GET", "/me", LONG).status == 200
    assert house.ask("DELETE", SESSIONS, ("Cookie", LONG[1][:16_384])).status == 401


# --- what the application gets ----------------------------------------------------------------------------------------


def test_without_a_credential_the_application_gets_the_same_object_and_one_key(build: Builder) -> None:
    house = build()
    before: list[dict[str, Any]] = []
    inner = house.handler

    async def noting(here: Here) -> Reply:
        before.append(dict(here.mapping))
        return await inner(here)

    house.handler = noting
    house.ask("GET", "/me", ("Cookie", "a=1"), ("Authorization", "Basic Og=="))
    key = "sessionward" if build.is_asgi else "sessionward.sessions"
    ((seen),) = before
    assert house.seen[-1].mapping is house.sent
    assert seen[key] is sessionward.of(house.sent)
    assert set(seen) == {*house.sent}
    assert [name for name in seen if "sessionward" in name] == [key]


def test_a_backend_that_cannot_sign_in_adds_one_key_to_anonymous_requests(build: Builder) -> None:
    memory = Memory()
    house = build(_silent, Foreign(memory))
    house.ask("GET", "/")
    assert house.seen[-1].mapping is house.sent
    assert [name for name in house.sent if "sessionward" in name] == ["sessionward" if build.is_asgi else "sessionward.sessions"]
    assert sessionward.of(house.sent).current is None
    assert memory.asked == []


def test_a_backend_that_cannot_sign_in_attaches_a_live_session(build: Builder) -> None:
    memory = Memory()
    (browser,) = signed_in(build(backend=memory), "ann")
    house = build(town, Foreign(memory))
    assert house.ask("GET", "/me", cookie(str(browser.cookie))).body == b"ann"
    assert house.ask("DELETE", SESSIONS, cookie(str(browser.cookie))).json() == {"count": 0}


async def _silent(here: Here) -> Reply:
    return Reply()


def test_a_live_session_is_attached_and_its_credential_stays(build: Builder, keeper: Keeper) -> None:
    found: list[sessionward.Session] = []

    async def look(here: Here) -> Reply:
        if here.path == "/look":
            found.append(here.sessions.current)
            return Reply()
        return await town(here)

    house = build(look, keeper.backend)
    (browser,) = signed_in(house, "ann")
    browser.others = ["a=1"]
    browser.ask("GET", "/look")
    (session,) = found
    assert (session.user_id, session.id.version) == ("ann", 4)
    assert session.issued_at is not None
    assert session.expires_at is not None
    assert (session.expires_at - session.issued_at).total_seconds() == pytest.approx(14 * 86_400, abs=5)
    assert house.seen[-1].header("cookie") == f"a=1; {COOKIE}={browser.cookie}"
    assert house.seen[-1].mapping is house.sent


@pytest.mark.parametrize("remote_user", [True, False])
def test_remote_user_is_set_under_wsgi_if_the_setting_says_so(build: Builder, remote_user: bool) -> None:
    house = build(remote_user=remote_user)
    (browser,) = signed_in(house, "ann")
    browser.ask("GET", "/me")
    expected = "ann" if remote_user and not build.is_asgi else None
    assert house.seen[-1].mapping.get("REMOTE_USER") == expected


def test_remote_user_of_the_server_stands(build: Builder) -> None:
    house = build(remote_user=True)
    (browser,) = signed_in(house, "ann")
    browser.ask("GET", "/me", base={"REMOTE_USER": "of the server"})
    assert house.seen[-1].mapping["REMOTE_USER"] == "of the server"


def test_p7_an_outage_is_503_for_whoever_has_a_credential_and_nothing_for_others(build: Builder) -> None:
    memory = Memory()
    house = build(backend=memory)
    (browser,) = signed_in(house, "ann")
    memory.fail(down())
    calls = len(house.seen)
    answer = browser.ask("GET", "/me")
    assert (answer.status, answer.error, len(house.seen)) == (503, "backend_unavailable", calls)
    assert int(answer.value("retry-after")) in range(1, 6)
    assert answer.values("set-cookie") == []
    assert house.ask("GET", "/me").body == b"nobody"
    memory.on_find = lambda: None
    assert browser.me() == "ann"


# --- signing out ------------------------------------------------------------------------------------------------------


def test_logout_clears_the_cookie_revokes_the_session_and_may_be_repeated(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend)
    browser, other = signed_in(house, "ann", "ann")
    before = browser.cookie
    for _ in range(3):
        answer = browser.ask("POST", "/logout")
        assert answer.status == 200
        pair, *attributes = answer.value("set-cookie").split("; ")
        assert (pair, sorted(attributes)) == (f"{COOKIE}=", ["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Lax", "Secure"])
        assert answer.value("cache-control") == "no-store"
    assert (browser.cookie, Browser(house, cookie=before).me(), other.me()) == (None, "nobody", "ann")


def test_a_change_of_password_revokes_the_others_and_keeps_the_caller(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend)
    first, second, third = signed_in(house, "ann", "ann", "ann")
    assert first.ask("POST", "/revoke_others").body == b"2"
    assert [browser.me() for browser in (first, second, third)] == ["ann", "nobody", "nobody"]


def test_revoke_others_of_nobody_is_not_signed_in(build: Builder) -> None:
    house = build()
    with pytest.raises(sessionward.NotSignedIn):
        house.ask("POST", "/revoke_others")


def test_revoke_others_of_a_caller_whose_session_is_revoked_meanwhile_is_session_revoked(build: Builder, keeper: Keeper) -> None:
    async def too_late(here: Here) -> Reply:
        if here.path != "/change":
            return await town(here)
        keeper.aside.revoke_all("ann")
        with pytest.raises(sessionward.SessionRevoked):
            await here.sessions.revoke_others()
        return Reply(b"too late")

    (browser,) = signed_in(build(too_late, keeper.backend), "ann")
    assert browser.ask("POST", "/change").body == b"too late"


def test_revoke_all_revokes_the_caller_too_if_it_is_theirs(build: Builder, keeper: Keeper) -> None:
    house = build(town, keeper.backend)
    first, second, bob = signed_in(house, "ann", "ann", "bob")
    assert bob.ask("POST", "/revoke_all/ann").body == b"2"
    assert (first.me(), second.me(), bob.me()) == ("nobody", "nobody", "bob")


# --- P3: stale logins -------------------------------------------------------------------------------------------------


def test_p3_a_login_that_began_before_all_were_revoked_is_stale(build: Builder, keeper: Keeper) -> None:
    async def late(here: Here) -> Reply:
        keeper.aside.revoke_all("ann")  # by another request, while this one checks the old password
        with pytest.raises(sessionward.StaleLogin):
            await here.sessions.login("ann")
        return Reply(b"sign in again")

    answer = build(late, keeper.backend).ask("POST", "/login")
    assert (answer.body, answer.values("set-cookie")) == (b"sign in again", [])


def test_p3_a_ticket_is_good_until_the_sessions_are_revoked(build: Builder, keeper: Keeper) -> None:
    tickets: list[str] = []

    async def steps(here: Here) -> Reply:
        verb, _, user = here.path[1:].partition("/")
        if verb == "begin_login":
            tickets.append(await here.sessions.begin_login(user))
            return Reply()
        try:
            await here.sessions.login(user, ticket=tickets[-1])
        except sessionward.StaleLogin:
            return Reply(b"stale", 409)
        return Reply(b"in")

    house = build(steps, keeper.backend)
    keeper.aside.revoke_all("ann")
    house.ask("GET", "/begin_login/ann")
    assert house.ask("GET", "/finish/ann").status == 200
    assert house.ask("GET", "/finish/bob").status == 409
    keeper.aside.revoke_all("ann")
    assert house.ask("GET", "/finish/ann").status == 409
    house.ask("GET", "/begin_login/ann")
    assert house.ask("GET", "/finish/ann").status == 200
    tickets.append(tickets[-1][:-1] + ("A" if tickets[-1][-1] != "A" else "B"))
    assert house.ask("GET", "/finish/ann").status == 409


def test_p3_forgot_password_revokes_all_and_then_signs_in(build: Builder, keeper: Keeper) -> None:
    async def forgot(here: Here) -> Reply:
        if here.path != "/forgot":
            return await town(here)
        count = await here.sessions.revoke_all("ann")
        await here.sessions.login("ann")
        return Reply(str(count).encode())

    house = build(forgot, keeper.backend)
    lost, thief = signed_in(house, "ann", "ann")
    browser = Browser(house)
    assert browser.ask("POST", "/forgot").body == b"2"
    assert (browser.me(), lost.me(), thief.me()) == ("ann", "nobody", "nobody")


def test_p3_a_session_that_was_revoked_cannot_renew_itself(build: Builder, keeper: Keeper) -> None:
    async def renew(here: Here) -> Reply:
        if here.path != "/renew":
            return await town(here)
        keeper.aside.revoke(here.sessions.current.user_id, here.sessions.current.id)
        with pytest.raises(sessionward.StaleLogin):
            await here.sessions.login("ann")
        return Reply(b"no")

    (browser,) = signed_in(build(renew, keeper.backend), "ann")
    answer = browser.ask("POST", "/renew")
    assert (answer.body, answer.values("set-cookie")) == (b"no", [])


# --- P9: a session that is revoked while its answer is made -----------------------------------------------------------


def test_p9_a_login_that_is_revoked_before_the_head_sets_no_cookie_and_the_answer_passes(build: Builder, keeper: Keeper) -> None:
    async def overtaken(here: Here) -> Reply:
        await here.sessions.login("ann")
        keeper.aside.revoke_all("ann")
        return Reply(b"welcome", 201, [*TEXT, ("Set-Cookie", "theme=dark")])

    answer = build(overtaken, keeper.backend).ask("POST", "/login")
    assert (answer.status, answer.body, answer.values("set-cookie")) == (201, b"welcome", ["theme=dark"])


def test_p9_a_session_of_this_very_request_is_judged_by_itself(build: Builder, keeper: Keeper) -> None:
    async def switches(here: Here) -> Reply:
        if here.path != "/switch":
            return await town(here)
        await here.sessions.login("bob")
        keeper.aside.revoke_all("ann")
        return Reply()

    (browser,) = signed_in(build(switches, keeper.backend), "ann")
    browser.ask("POST", "/switch")
    assert browser.me() == "bob"


def test_p9_a_backend_that_falls_silent_before_the_head_costs_the_cookie_and_not_the_answer(build: Builder) -> None:
    memory = Memory()

    async def silent(here: Here) -> Reply:
        await here.sessions.login("ann")
        memory.fail(down())
        return Reply(b"welcome", fields=[*TEXT, ("Set-Cookie", "theme=dark")])

    answer = build(silent, memory).ask("POST", "/login")
    assert (answer.status, answer.body, answer.values("set-cookie")) == (200, b"welcome", ["theme=dark"])


@pytest.mark.parametrize(
    ("meanwhile", "kept"),
    [
        pytest.param(lambda memory: None, True, id="alive"),
        pytest.param(lambda memory: memory.revoke_all("ann"), False, id="revoked"),
        pytest.param(lambda memory: memory.fail(OSError("gone")), False, id="backend silent"),
    ],
)
def test_p9_a_cookie_of_our_name_that_the_application_sets_itself_needs_a_live_session(
    build: Builder, meanwhile: Callable[[Memory], Any], kept: bool
) -> None:
    memory = Memory()

    async def refresh(here: Here) -> Reply:
        if here.path != "/refresh":
            return await town(here)
        meanwhile(memory)
        fields = [("Set-Cookie", "a=1"), ("Set-Cookie", f"{COOKIE}=again; Path=/; Secure"), ("Set-Cookie", "b=2"), *TEXT]
        return Reply(fields=fields)

    (browser,) = signed_in(build(refresh, memory), "ann")
    answer = browser.ask("GET", "/refresh")
    own = [f"{COOKIE}=again; Path=/; Secure"] if kept else []
    assert (answer.status, answer.values("set-cookie")) == (200, ["a=1", *own, "b=2"])


def test_a_cookie_of_our_name_that_the_application_sets_for_nobody_is_its_own_affair(build: Builder) -> None:
    async def sets(here: Here) -> Reply:
        return Reply(fields=[*TEXT, ("Set-Cookie", f"{COOKIE}=theirs")])

    assert build(sets).ask("GET", "/").values("set-cookie") == [f"{COOKIE}=theirs"]


def test_there_is_a_second_look_only_when_a_cookie_of_ours_goes_out(build: Builder) -> None:
    memory = Memory()

    async def themed(here: Here) -> Reply:
        if here.path != "/themed":
            return await town(here)
        return Reply(fields=[*TEXT, ("Set-Cookie", "theme=dark")])

    (browser,) = signed_in(build(themed, memory), "ann")
    memory.asked.clear()
    browser.ask("GET", "/themed")
    assert memory.asked == ["find"]


def test_our_cookie_of_login_replaces_one_of_our_name_by_the_application(build: Builder) -> None:
    async def both(here: Here) -> Reply:
        await here.sessions.login("ann")
        return Reply(fields=[*TEXT, ("Set-Cookie", f"{COOKIE}=theirs; Path=/")])

    (set_cookie,) = build(both).ask("GET", "/").values("set-cookie")
    assert "theirs" not in set_cookie


def test_after_the_head_is_out_a_verb_that_changes_a_cookie_is_a_usage_error(build: Builder) -> None:
    raised: list[str] = []

    async def late(here: Here) -> Reply:
        if here.path.startswith("/login"):
            return await town(here)
        await here.start(Reply())
        for verb in (lambda: here.sessions.login("ann"), here.sessions.logout):
            with pytest.raises(sessionward.UsageError, match="head") as error:
                await verb()
            raised.append(str(error.value))
        return Reply(str(await here.sessions.revoke_all("bob")).encode())

    house = build(late)
    signed_in(house, "bob")
    answers = [house.ask("GET", "/"), *(browser.ask("GET", "/") for browser in signed_in(house, "ann"))]
    assert [(answer.status, answer.values("set-cookie"), answer.body) for answer in answers] == [(200, [], b"1"), (200, [], b"0")]
    assert len(raised) == 4


# --- which requests are ours ------------------------------------------------------------------------------------------

SPELLINGS: Final = [
    pytest.param("/auth/sessions", True, id="as it is"),
    pytest.param("/auth/sessions/", True, id="a trailing slash"),
    pytest.param("/auth//sessions", True, id="a doubled slash"),
    pytest.param("/auth//sessions/", True, id="both"),
    pytest.param("//auth/sessions", False, id="doubled in front"),
    pytest.param("/auth///sessions", False, id="tripled"),
    pytest.param("/auth/sessions//", False, id="two trailing slashes"),
    pytest.param("/auth%2fsessions", False, id="an encoded slash"),
    pytest.param("/auth%2Fsessions", False, id="an encoded slash, upper case"),
    pytest.param("/%61uth/sessions", False, id="an encoded letter"),
    pytest.param("/auth/sessions;x", False, id="a parameter"),
    pytest.param("/auth/sessions%20", False, id="a blank behind"),
    pytest.param("/auth/./sessions", False, id="a dot"),
    pytest.param("/x/../auth/sessions", False, id="two dots"),
    pytest.param("/Auth/Sessions", False, id="another case"),
    pytest.param("/auth/sessions/whoami", False, id="below"),
    pytest.param("/auth", False, id="above"),
]


@pytest.mark.parametrize("mount", ["", "/shop", "/a b"], ids=["at the root", "mounted", "mounted at a blank"])
@pytest.mark.parametrize(("path", "ours"), SPELLINGS)
def test_our_route_is_these_spellings_and_no_other(build: Builder, path: str, ours: bool, mount: str) -> None:
    house = build()
    answer = house.ask("DELETE", path, mount=mount, query="x=/auth/sessions")
    assert (answer.status == 401, len(house.seen)) == (ours, int(not ours))


@pytest.mark.parametrize("mount", ["", "/shop"], ids=["at the root", "mounted"])
@pytest.mark.parametrize(("path", "ours"), [spelling for spelling in SPELLINGS if "%" not in str(spelling.values[0])])
def test_a_server_that_shows_no_raw_path_is_judged_by_the_decoded_one(build: Builder, path: str, ours: bool, mount: str) -> None:
    house = build()
    assert (house.ask("DELETE", path, mount=mount, shows_raw=False).status == 401) == ours


@pytest.mark.parametrize("raw", ["/a%20b/auth/sessions", "/a%20b/auth//sessions?x=1"])
def test_a_mount_point_may_be_encoded_in_the_request_line(build: Builder, raw: str) -> None:
    house = build()
    base: dict[str, Any] = {"raw_path": raw.partition("?")[0].encode()} if build.is_asgi else {"REQUEST_URI": raw}
    assert house.ask("DELETE", "/auth/sessions", mount="/a b", base=base).status == 401


def test_another_path_is_ours_if_the_setting_says_so(build: Builder) -> None:
    house = build(path="/account/sign-out/others")
    for path in ("/account/sign-out/others", "/account//sign-out/others/", "/account/sign-out//others"):
        assert house.ask("DELETE", path).status == 401
    assert house.ask("DELETE", SESSIONS).body == b"the application"
    assert house.ask("DELETE", "/account//sign-out//others").body == b"the application"


def test_below_a_mount_point_only_the_path_below_it_is_ours(build: Builder) -> None:
    house = build(path="/shop/auth/sessions")
    assert house.ask("DELETE", SESSIONS, mount="/shop").body == b"the application"
    assert house.ask("DELETE", "/shop" + SESSIONS, mount="/shop").status == 401


def test_forwarded_headers_never_move_the_path(build: Builder) -> None:
    house = build()
    moved = [(name, SESSIONS) for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Uri")]
    assert house.ask("DELETE", "/", *moved).body == b"the application"
    assert house.ask("DELETE", SESSIONS, *[(name, "/elsewhere") for name, _ in moved]).status == 401


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "HEAD", "POST", "PUT", "PATCH", "delete"])
def test_every_other_method_on_our_path_is_the_applications(build: Builder, method: str) -> None:
    house = build()
    first, second = signed_in(house, "ann", "ann")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checkers have never heard of a method in lower case
        answer = first.ask(method, SESSIONS, ("X-HTTP-Method-Override", "DELETE"), query="_method=DELETE")
    assert answer.status == 200
    assert house.seen[-1].method == method
    assert second.me() == "ann"


PREFLIGHT: Final = ("Access-Control-Request-Method", "DELETE")


def test_a_preflight_from_a_trusted_origin_is_answered_since_no_application_knows_our_route(build: Builder) -> None:
    house = build(trusted_origins=[SIBLING, "https://other.example"])
    asked = ("Access-Control-Request-Headers", "authorization,x-session-token, X-Request-Id ,x-custom")
    for fields in ([], [asked]):
        answer = house.ask("OPTIONS", SESSIONS, ("Origin", SIBLING), PREFLIGHT, *fields)
        assert (answer.status, answer.body) == (204, b"")
        assert dict(answer.fields) == {
            "access-control-allow-origin": SIBLING,
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "DELETE",
            **({"access-control-allow-headers": "authorization, x-request-id, x-session-token"} if fields else {}),
            "access-control-max-age": "600",
            "vary": "Origin",
        }
    assert house.seen == []


@pytest.mark.parametrize(
    ("path", "fields", "trusted"),
    [
        pytest.param(SESSIONS, [("Origin", SIBLING), PREFLIGHT], [], id="nobody is trusted"),
        pytest.param(SESSIONS, [("Origin", SIBLING), PREFLIGHT], ["https://other.example"], id="another origin is trusted"),
        pytest.param(SESSIONS, [("Origin", SIBLING)], [SIBLING], id="no preflight"),
        pytest.param(SESSIONS, [PREFLIGHT], [SIBLING], id="no origin"),
        pytest.param("/elsewhere", [("Origin", SIBLING), PREFLIGHT], [SIBLING], id="another route"),
    ],
)
def test_every_other_preflight_is_the_applications_and_gets_no_grant_of_ours(
    build: Builder, path: str, fields: list[tuple[str, str]], trusted: list[str]
) -> None:
    answer = build(trusted_origins=trusted).ask("OPTIONS", path, *fields)
    assert (answer.status, answer.body) == (200, b"the application")
    assert {name for name, _ in answer.fields} <= {"content-type", "content-length"}


# --- the timeout ------------------------------------------------------------------------------------------------------


def test_p7_a_database_that_is_locked_is_503_within_the_timeout_and_the_repeat_works(
    build: Builder, sqlite: Callable[..., Keeper], sqlite_url: str
) -> None:
    keeper = sqlite()
    house = build(town, keeper.backend, backend_timeout=0.3)
    first, second = signed_in(house, "ann", "ann")
    other = sqlite3.connect(Path(sqlite_url.removeprefix("sqlite:///")), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        began = monotonic()
        answer = first.press()
        took = monotonic() - began
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert (answer.status, answer.error) == (503, "backend_unavailable")
    assert int(answer.value("retry-after")) in range(1, 6)
    assert 0.2 < took < 5
    assert second.me() == "ann"
    assert first.press().json() == {"count": 1}


class Stuck:
    """An async backend that knows one session and falls silent when it is asked for the rest."""

    def __init__(self, silent: str) -> None:
        self.silent = silent
        self.asked: list[str] = []

    async def find(self, credential: Credential, /) -> sessionward.Session | None:
        await self._answer("find")
        return sessionward.Session(id=UUID(int=1), user_id="ann")

    async def revoke_others(self, session: sessionward.Session, /) -> int:
        await self._answer("revoke_others")
        return 1

    async def _answer(self, name: str) -> None:
        self.asked.append(name)
        if name == self.silent:
            await asyncio.Event().wait()


@pytest.mark.parametrize(("silent", "error"), [("find", "backend_unavailable"), ("revoke_others", "outcome_unknown")])
def test_p7_an_async_backend_that_falls_silent_is_503_within_the_timeout(silent: str, error: str) -> None:
    backend = Stuck(silent)
    house = ASGIHouse(town, backend, backend_timeout=0.1)
    answer = house.ask("DELETE", SESSIONS, ("X-Session-Token", new_token()))
    house.close()
    assert (answer.status, answer.error, backend.asked[-1]) == (503, error, silent)


# --- what the log says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"insecure": True}], ids=["by default", "insecure"])
def test_a_call_over_plain_http_without_our_cookie_is_explained_once(
    build: Builder, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    warn.cache_clear()
    house = build(town, **settings)
    with caplog.at_level(logging.WARNING, "sessionward"):
        for _ in range(3):
            assert house.ask("DELETE", SESSIONS, base={"scheme": "http", "wsgi.url_scheme": "http"}).status == 401
            assert house.ask("DELETE", SESSIONS).status == 401
    assert [("insecure=True" in record.getMessage()) for record in caplog.records] == ([] if settings else [True])
