"""Litestar takes the key of client-side sessions for a regular expression; its own matcher is asked here what a key lets in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from litestar.middleware.session.client_side import ClientSideSessionBackend, CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.login_cookies import LoginNames
from sessionward.errors import ConfigurationError
from sessionward.identify import Function
from sessionward.identify.litestar import client_side, server_side
from tests.identify.claims import SECRET

KEY = b"0123456789abcdef"
ALPHABET = "abcXsession-_.0123456789!#$%&'*+^`|~"


def lets_in(key: str, name: str) -> bool:
    cookies: Any = SimpleNamespace(cookies={name: "x"})
    return bool(ClientSideSessionBackend(CookieBackendConfig(secret=KEY, key=key)).get_cookie_keys(cookies))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("app.session", "appXsession"),
        ("session+", "sessionnn"),
        ("sessions*", "session"),
        ("session|sid", "sid"),
        ("a.b-0", "aXb-0"),
        ("session$", "session"),
        ("^session", "session"),
    ],
)
def test_a_key_that_lets_other_names_in_is_refused_at_start(key: str, name: str) -> None:
    assert lets_in(key, name)
    with pytest.raises(ConfigurationError, match="regular expression") as told:
        client_side(CookieBackendConfig(secret=KEY, key=key), user="user")
    assert repr(key) in str(told.value)


@pytest.mark.parametrize("key", ["session", "__Host-session", "a_b-c", "sid!", "a#b%c&d'e`f~g"])
def test_a_key_that_is_taken_lets_in_itself_and_its_parts_alone(key: str) -> None:
    names = LoginNames([name.encode() for name in client_side(CookieBackendConfig(secret=KEY, key=key), user="user").cookies])
    changed = {key[:at] + other + key[at + 1 :] for at in range(len(key)) for other in ALPHABET}
    longer = {f"{key}{tail}" for tail in (*ALPHABET, "-0", "-1", "-12", "-007", "-99999", "-", "-a", "--1")}
    for name in {key, *changed, *longer}:
        found = names.of(name.encode()) is not None or names.obfuscated(f"{name}=x".encode())
        assert found or not lets_in(key, name), name


def test_the_key_of_sessions_on_the_server_is_no_expression() -> None:
    app: Any = SimpleNamespace()
    assert server_side(app, ServerSideSessionConfig(key="app.session"), user="user").cookies == ("app.session",)


@pytest.mark.parametrize("name", ["süß", "a b", "a;b", "a=b", "", "a\r\nb", "a,b", "(sid)"])
def test_a_name_that_no_cookie_can_have_is_refused_at_start(name: str) -> None:
    identifier = Function(lambda name, value: value, cookies=["sid", name])
    with pytest.raises(ConfigurationError, match="not a name that a cookie can have"):
        sessionward.WSGIMiddleware(lambda environ, start_response: [], MemoryBackend(), identify=identifier, secrets=[SECRET])
