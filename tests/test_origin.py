"""The cross-site table: what a page may do with a cookie that the browser adds by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from sessionward.flow import revoke_others_endpoint
from sessionward.request.origin import may_call
from tests.support.core import DOORS, PAIR, SESSION, SIGNED_RIVAL, TOKEN, Door, Field, mode_of, opened, play, request_of

OWN = b"https://app.example"
ATTACKER = b"https://evil.example"
SIBLING = b"https://evil.app.example"
FRIEND = b"https://spa.example"
HOST = (b"host", b"app.example")


def site(value: bytes) -> Field:
    return (b"sec-fetch-site", value)


def origin(value: bytes) -> Field:
    return (b"origin", value)


@dataclass(frozen=True)
class Row:
    """One row: what the browser says, and whether it may call; by ``Host`` alone too, where that differs."""

    name: str
    fields: Sequence[Field]
    passes: bool
    passes_by_host: bool | None = None


TABLE = (
    Row("1 own page", [site(b"same-origin"), origin(OWN)], True),
    Row("2 own page without origin", [site(b"same-origin")], True),
    Row("3 own page under no-referrer", [site(b"same-origin"), origin(b"null")], True),
    Row("4 typed by a person", [site(b"none")], True),
    Row("5 sibling", [site(b"same-site"), origin(SIBLING)], False),
    Row("5 sibling without origin", [site(b"same-site")], False),
    Row("6 trusted sibling", [site(b"same-site"), origin(FRIEND)], True),
    Row("6 trusted page of another site", [site(b"cross-site"), origin(FRIEND)], True),
    Row("6 trusted page in an old browser", [origin(FRIEND)], True),
    Row("6 trusted in another case", [site(b"cross-site"), origin(FRIEND.upper())], False),
    Row("6 beginning of a trusted one", [site(b"cross-site"), origin(FRIEND + b".evil.example")], False),
    Row("7 page of another site", [site(b"cross-site"), origin(ATTACKER)], False),
    Row("7 page of another site without origin", [site(b"cross-site")], False),
    Row("8 sandboxed frame", [site(b"cross-site"), origin(b"null")], False),
    Row("9 in another case", [site(b"Same-Origin"), origin(OWN)], False),
    Row("9 list", [site(b"same-origin, cross-site"), origin(OWN)], False),
    Row("9 list of equal ones", [site(b"same-origin, same-origin"), origin(OWN)], False),
    Row("9 empty", [site(b""), origin(OWN)], False),
    Row("9 unknown word", [site(b"same-party"), origin(OWN)], False),
    Row("9 with a blank", [site(b"same-origin "), origin(OWN)], False),
    Row("9 in quotes", [site(b'"same-origin"'), origin(OWN)], False),
    Row("10 two lines", [site(b"same-origin"), site(b"same-origin"), origin(OWN)], False),
    Row("10 two lines that differ", [site(b"same-origin"), site(b"cross-site"), origin(OWN)], False),
    Row("10 two origins", [site(b"same-origin"), origin(OWN), origin(ATTACKER)], False),
    Row("10 two origins, the first trusted", [site(b"same-origin"), origin(FRIEND), origin(ATTACKER)], False),
    Row("10 own origin twice in an old browser", [origin(OWN), origin(OWN)], False),
    Row("11 own page in an old browser", [origin(OWN)], True),
    Row("12 another port", [origin(OWN + b":8443")], False),
    Row("12 plain http", [origin(b"http://app.example")], False, passes_by_host=True),
    Row("12 another scheme", [origin(b"chrome-extension://app.example")], False),
    Row("12 trailing dot", [origin(OWN + b".")], False),
    Row("12 upper-case host", [origin(b"https://APP.example")], False),
    Row("12 upper-case scheme", [origin(b"HTTPS://app.example")], False),
    Row("12 userinfo", [origin(b"https://app.example@evil.example")], False),
    Row("12 own userinfo", [origin(b"https://x@app.example")], False),
    Row("12 path", [origin(OWN + b"/")], False),
    Row("12 blank behind", [origin(OWN + b" ")], False),
    Row("12 default port", [origin(OWN + b":443")], False),
    Row("12 empty", [origin(b"")], False),
    Row("12 scheme only", [origin(b"https://")], False),
    Row("12 host only", [origin(b"app.example")], False),
    Row("12 one slash", [origin(b"https:/app.example")], False),
    Row("13 null in an old browser", [origin(b"null")], False),
    Row("14 not a browser", [], True),
    Row("20 own name in front of another", [origin(b"https://app.example.evil.test")], False),
    Row("20 own name behind another", [origin(b"https://evil-app.example")], False),
    Row("21 forwarded host", [site(b"cross-site"), origin(ATTACKER), (b"x-forwarded-host", b"evil.example")], False),
    Row("21 forwarded host in an old browser", [origin(ATTACKER), (b"x-forwarded-host", b"evil.example")], False),
    Row("21 forwarded own host", [site(b"cross-site"), origin(ATTACKER), (b"x-forwarded-host", b"app.example")], False),
    Row("21 referer says nothing", [origin(ATTACKER), (b"referer", b"https://app.example/")], False),
)

rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
by = pytest.mark.parametrize("public", [OWN, None], ids=["by public_origin", "by Host"])


def expected(row: Row, public: bytes | None) -> bool:
    return row.passes if public is not None or row.passes_by_host is None else row.passes_by_host


@rows
@by
@pytest.mark.parametrize("door", DOORS)
def test_the_cross_site_table(row: Row, public: bytes | None, door: Door) -> None:
    request = request_of(*row.fields, HOST, door=door)
    assert may_call(request, trusted=frozenset({FRIEND}), public=public) is expected(row, public)


def settings_of(row: Row, public: bytes | None) -> dict[str, Any]:
    return {
        "trusted_origins": [FRIEND.decode()],
        "public_origin": None if public is None else public.decode(),
    }


@rows
@by
def test_the_cross_site_table_from_end_to_end(row: Row, public: bytes | None) -> None:
    """With a cookie as the only credential the table decides, and decides before any question."""
    here = opened((b"cookie", PAIR), *row.fields, HOST, mode=mode_of(**settings_of(row, public)), method="DELETE")
    played = play(revoke_others_endpoint(*here), SESSION, 2)
    assert played.value.status == (200 if expected(row, public) else 403)
    assert played.kinds == (["Find", "RevokeOthers"] if expected(row, public) else [])


@rows
@pytest.mark.parametrize("cookie", [None, PAIR, b"__Host-session-ward=" + SIGNED_RIVAL], ids=["16 token only", "17 same", "17 other"])
@pytest.mark.parametrize("carrier", [(b"x-session-token", TOKEN), (b"authorization", b"Bearer " + TOKEN)], ids=["token", "bearer"])
def test_a_credential_that_a_page_cannot_send_by_itself_is_exempt(row: Row, cookie: bytes | None, carrier: Field) -> None:
    fields = [carrier, *row.fields, HOST, *([(b"cookie", cookie)] if cookie else [])]
    here = opened(*fields, mode=mode_of(**settings_of(row, OWN)), method="DELETE")
    assert play(revoke_others_endpoint(*here), SESSION, 2).value.status == 200


@rows
def test_an_invalid_cookie_is_judged_like_a_live_one(row: Row) -> None:
    here = opened((b"cookie", PAIR[:-1]), *row.fields, HOST, mode=mode_of(**settings_of(row, OWN)), method="DELETE")
    played = play(revoke_others_endpoint(*here))
    assert played.value.status == (401 if row.passes else 403)


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        pytest.param([origin(b"http://127.0.0.1:8000"), (b"host", b"127.0.0.1:8000")], True, id="port in both"),
        pytest.param([origin(b"http://127.0.0.1:8000"), (b"host", b"127.0.0.1")], False, id="port in the origin"),
        pytest.param([origin(b"http://127.0.0.1"), (b"host", b"127.0.0.1:8000")], False, id="port in the host"),
        pytest.param([origin(b"http://[::1]:8000"), (b"host", b"[::1]:8000")], True, id="IPv6"),
        pytest.param([origin(OWN)], False, id="no host"),
        pytest.param([origin(OWN), (b"host", b"")], False, id="empty host"),
        pytest.param([origin(b"https://"), (b"host", b"")], False, id="both empty"),
        pytest.param([origin(OWN), HOST, (b"host", b"evil.example")], False, id="two hosts"),
        pytest.param([origin(ATTACKER), (b"host", b"app.example@evil.example")], False, id="host with userinfo"),
        pytest.param([origin(ATTACKER + b"?"), (b"host", b"evil.example?")], True, id="host with a question mark: the client's own"),
        pytest.param([origin(b"null"), (b"host", b"null")], False, id="null"),
        pytest.param([origin(OWN), (b"x-forwarded-host", b"app.example"), (b"host", b"10.0.0.1")], False, id="behind a proxy"),
    ],
)
def test_without_a_public_origin_host_and_port_of_both_are_equal(fields: list[Field], passes: bool) -> None:
    for door in DOORS:
        assert may_call(request_of(*fields, door=door), trusted=(), public=None) is passes


def test_with_a_public_origin_the_host_header_says_nothing() -> None:
    attacked = request_of(origin(ATTACKER), (b"host", b"evil.example"))
    assert not may_call(attacked, trusted=(), public=OWN)
    proxied = request_of(origin(OWN), (b"host", b"10.0.0.1"))
    assert may_call(proxied, trusted=(), public=OWN)
