"""From a credential to the key: what other applications really sign is read, everything else is nobody's and costs no query."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionward import ConfigurationError
from sessionward.backends import Credential
from sessionward.backends.table import TableBackend, Transform, hmac_suffixed, rails_signed, sha256, sha512, verbatim
from sessionward.backends.table.laravel import laravel_encrypted
from tests.backends.schemas import APP_KEY, LARAVEL_COOKIE, SECRET, SECRET_KEY_BASE, better_auth_cookie, laravel_cookie, rails_cookie

TOKEN = "kYq3xW9Zr0aP7dLm2NvB8tQsJ4hUeF6c"
# Signed with the `crypto` module of Node.js, as the applications do it.
BETTER_AUTH = f"{TOKEN}.hZ7ZHT2NUezdvrn4E3WLGWPMTrLtaGAMf%2BSYmn%2Bnf6E%3D"
EXPRESS = f"s%3A{TOKEN}.DmG%2FQG5DWFyniBIgnAx2fqs90ePhzJxqeJ3cXLb6uWU"
LARAVEL = (
    "eyJpdiI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHc9PSIsInZhbHVlIjoiZWVuUzdNaE4wQ1FGMnVUelU3T3JrR1BBajhxZGpUMENYSjdSUW5abHZxMVpXdVExSENXRWNN"
    "dDhsaEQzSUlUcWgrTStTc3YyWnZ0SDhzbHMvMUpidzVUZCtFS0RMNDN2M0R2WHpBVlY0U2pBVTMzVmZKTC9UUjNYRndjS3Y2QlciLCJtYWMiOiJjMjgwOGJmYWMwNmJk"
    "ZjM2ZDRkMDY5NmIyNjBkYjFjNDdhMWRjNmMxOWNmZjM4ZjQ2MTdlM2ZlNTYzNTU5NTc5IiwidGFnIjoiIn0%3D"
)
RAILS = (
    "eyJfcmFpbHMiOnsibWVzc2FnZSI6Ik53PT0iLCJleHAiOiIyMDQ1LTExLTI1VDAzOjAwOjAwLjAwMFoiLCJwdXIiOiJjb29raWUuc2Vzc2lvbl9pZCJ9fQ%3D%3D"
    "--46d27c947d8bca5409356e205ed4d0fbaaaa9476"
)

SIGNED: dict[str, tuple[Transform, str, str]] = {
    "better-auth": (hmac_suffixed(SECRET), BETTER_AUTH, TOKEN),
    "express": (hmac_suffixed("keyboard cat", prefix="s:", padded=False), EXPRESS, TOKEN),
    "laravel": (laravel_encrypted(APP_KEY, cookie=LARAVEL_COOKIE), LARAVEL, "a" * 40),
    "rails": (rails_signed(SECRET_KEY_BASE), RAILS, "7"),
}
signed = pytest.mark.parametrize("name", SIGNED)


@signed
def test_a_cookie_that_the_application_signed_names_its_key(name: str) -> None:
    transform, value, key = SIGNED[name]
    assert transform(value) == key
    assert transform(unquote(value)) == key


@signed
def test_not_one_character_may_be_another(name: str) -> None:
    transform, value, _ = SIGNED[name]
    value = unquote(value)
    end = base64.b64encode(b'","tag":""}').decode() if name == "laravel" else ""  # no part of what its MAC covers
    assert value.endswith(end[-8:])
    for at, character in enumerate(value[: len(value) - len(end)]):
        other = "B" if character != "B" else "C"
        assert transform(value[:at] + other + value[at + 1 :]) is None, at
        assert transform(value[:at] + value[at + 1 :]) is None, at
    assert transform(value + "A") is None


@signed
@given(value=st.one_of(st.text(st.characters(max_codepoint=255)), st.text("%.-=sAB:0{}\"'\xff")))
def test_nothing_that_a_client_can_send_raises_or_signs_in(name: str, value: str) -> None:
    assert SIGNED[name][0](value) is None


@given(value=st.text(st.characters(max_codepoint=255)))
def test_digests_take_every_byte(value: str) -> None:
    data = value.encode("latin-1")
    assert (sha256(value), sha512(value)) == (hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest())
    assert verbatim(value) == (value if value.isascii() else None)


def test_a_forged_cookie_costs_no_query() -> None:
    """There is no database at all behind these."""
    for transform, value, _ in SIGNED.values():
        backend = TableBackend(
            "postgresql://nobody@127.0.0.1:1/none", "sessions", key="id", user="user_id", cookie="c", transform=transform
        )
        for forged in ("", "x", value[:-1], value[1:], value.swapcase()):
            assert backend.find(Credential(forged.encode())) is None


# --- rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "cookie", "key"),
    [
        pytest.param(lambda: hmac_suffixed("new", "old"), better_auth_cookie("t", "old"), "t", id="hmac"),
        pytest.param(lambda: rails_signed("new", "old"), rails_cookie(3, secret="old"), "3", id="rails"),
        pytest.param(lambda: laravel_encrypted("n" * 32, "o" * 16, cookie="c"), laravel_cookie("id", b"o" * 16, "c"), "id", id="laravel"),
    ],
)
def test_what_an_older_secret_signed_is_read_while_it_is_named(make: Callable[[], Transform], cookie: str, key: str) -> None:
    assert make()(cookie) == key


@pytest.mark.parametrize(
    "make",
    [
        hmac_suffixed,
        lambda: hmac_suffixed(""),
        rails_signed,
        lambda: rails_signed(""),
        lambda: laravel_encrypted(cookie="c"),
        lambda: laravel_encrypted("short", cookie="c"),
        lambda: laravel_encrypted("base64:!!!", cookie="c"),
    ],
)
def test_without_a_secret_nothing_is_made(make: Callable[[], Transform]) -> None:
    with pytest.raises(ConfigurationError):
        make()


# --- signed, but not for this -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "options"),
    [
        pytest.param(7, {"purpose": "cookie.remember"}, id="the cookie of another purpose"),
        pytest.param(7, {"purpose": None}, id="no purpose"),
        pytest.param(7, {"expires": "2020-01-01T00:00:00.000Z"}, id="expired"),
        pytest.param(7, {"expires": 1}, id="an expiry that is none"),
        pytest.param(True, {}, id="true"),
        pytest.param(None, {}, id="null"),
        pytest.param([7], {}, id="a list"),
        pytest.param(7.0, {}, id="a fraction"),
    ],
)
def test_rails_signed_it_but_not_as_this_session(number: Any, options: dict[str, Any]) -> None:
    assert rails_signed(SECRET_KEY_BASE)(rails_cookie(number, **options)) is None


def test_a_signed_cookie_of_rails_may_hold_a_text_and_never_expire() -> None:
    assert rails_signed(SECRET_KEY_BASE)(rails_cookie("token", expires=None)) == "token"


@pytest.mark.parametrize(
    "data", [b"7", b"{}", b"[]", b'{"_rails": 7}', b'{"_rails": {"pur": "cookie.session_id"}}', b"\xff", b"[" * 100_000]
)
def test_signed_data_of_rails_without_an_envelope_signs_nobody_in(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    key = hashlib.pbkdf2_hmac("sha256", SECRET_KEY_BASE.encode(), b"signed cookie", 1000, 64)
    assert rails_signed(SECRET_KEY_BASE)(f"{text}--{hmac.new(key, text.encode(), hashlib.sha1).hexdigest()}") is None


def test_another_encrypted_cookie_of_laravel_is_not_its_session() -> None:
    transform = laravel_encrypted(APP_KEY, cookie=LARAVEL_COOKIE)
    assert transform(laravel_cookie("a", cookie="XSRF-TOKEN")) is None
    assert transform(laravel_cookie("a")) == "a"


@pytest.mark.parametrize("payload", [7, [], {}, {"iv": 1}, {"iv": "", "value": "", "mac": "\xff"}, {"iv": "QQ==", "value": "QQ=="}])
def test_a_payload_of_laravel_that_is_not_one_signs_nobody_in(payload: Any) -> None:
    if isinstance(payload, dict) and "value" in payload and "mac" not in payload:  # rightly authenticated nonsense
        mac = hmac.new(bytes(range(32)), (payload["iv"] + payload["value"]).encode(), hashlib.sha256).hexdigest()
        payload = {**payload, "mac": mac}
    assert laravel_encrypted(APP_KEY, cookie=LARAVEL_COOKIE)(quote(base64.b64encode(json.dumps(payload).encode()).decode())) is None
