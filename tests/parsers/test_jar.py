"""The login cookies that we believe a browser to have after an answer are those that a cookie jar has."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any, cast
from urllib.request import Request

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionward.given import after
from sessionward.given import given as given_by
from sessionward.logins import Login, Names

NAMES = Names([b"session", b"remember_token", b"part-*"])
OLD = {"session": "old", "remember_token": "kept"}

DELETIONS = {
    "Werkzeug": "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/",
    "Starlette": "session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax",
    "Django": 'session=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/',
    "WebOb": "session=; Max-Age=0; Path=/; expires=Wed, 31-Dec-97 23:59:59 GMT",
    "http.cookies": "session=; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=-1; Path=/",
    "Beaker": "session=abc; expires=Sat, 01-Jan-2022 10:00:00 GMT; Path=/",
    "Bottle": 'session=""; Max-Age=-1; Path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT',
    "Max-Age decides": "session=abc; Max-Age=0; Expires=Fri, 01 Jan 2100 00:00:00 GMT; Path=/",
}


class Answer:
    """As much of a response as a cookie jar looks at."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._message = Message()
        for field in fields:
            self._message["Set-Cookie"] = field

    def info(self) -> Message:
        return self._message


def in_the_jar(fields: Sequence[str]) -> dict[str, str]:
    jar, request = CookieJar(), Request("https://app.example/")
    for field in (*(f"{name}={value}; Path=/" for name, value in OLD.items()), *fields):  # one by one: this jar deletes first
        jar.extract_cookies(cast("Any", Answer([field])), request)
    return {cookie.name: cookie.value.strip('"') for cookie in jar if cookie.value and cookie.value.strip('"')}


def as_we_believe(fields: Sequence[str]) -> dict[str, str]:
    kept = [Login(name, value, (place,)) for place, (name, value) in enumerate(OLD.items())]
    cookies = given_by([(b"set-cookie", field.encode("latin-1")) for field in fields], NAMES, time.time)
    return {login.name: login.value for login in after(kept, cookies)}


@pytest.mark.parametrize("field", DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_is_one_as_each_framework_spells_it(field: str) -> None:
    assert in_the_jar([field]) == as_we_believe([field]) == {"remember_token": "kept"}


@pytest.mark.parametrize(
    "field",
    [
        "session=new; Path=/",
        "session=new; Path=/; HttpOnly; SameSite=Lax; Secure",
        "session=new; Path=/; Max-Age=3600; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "session=new; Path=/; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
        'session="new"; Path=/',
        "session=new; Path=/; Expires=whenever",
    ],
)
def test_a_login_is_one_whatever_stands_beside_it(field: str) -> None:
    assert in_the_jar([field]) == as_we_believe([field]) == {"remember_token": "kept", "session": "new"}


def test_an_attribute_that_says_nothing_is_left_out_as_browsers_do() -> None:
    """RFC 6265, 5.2.2; the jar would refuse the whole cookie."""
    assert as_we_believe(["session=new; Path=/; Max-Age=soon"]) == {"remember_token": "kept", "session": "new"}


_ATTRIBUTES = st.sampled_from(
    ["Max-Age=0", "Max-Age=-5", "Max-Age=60", "Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Expires=Fri, 01 Jan 2100 00:00:00 GMT", "HttpOnly"]
)
_FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["session", "remember_token", "theme"]),
        st.sampled_from(["a", "b.c-d", ""]),
        st.lists(_ATTRIBUTES, max_size=2, unique_by=lambda attribute: attribute.partition("=")[0]),
    ),
    max_size=4,
)


@settings(max_examples=1500)
@given(_FIELDS)
def test_several_fields_leave_what_a_jar_keeps(made: list[tuple[str, str, list[str]]]) -> None:
    fields = ["; ".join([f"{name}={value}", "Path=/", *attributes]) for name, value, attributes in made]
    expected = {name: value for name, value in in_the_jar(fields).items() if name != "theme"}
    assert as_we_believe(fields) == expected
