"""After an answer as frameworks write it, the browser has the logins that we believe it to have: asked of a cookie jar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.message import Message
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, cast
from urllib.request import Request

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionward.credential.login_cookies import LoginCredential
from sessionward.response.set_cookies import cookies_after, drop_login_cookies, sets_login_cookie
from sessionward.response.set_cookies import parse_set_cookies as given_by
from tests.parsers.judged import COPY, GOOD, NAMES
from tests.parsers.set_cookies import DELETE, SET

NEW: Final = "ann.new-value"


class Answer:
    """As much of an answer as the jar wants to see."""

    def __init__(self, field: str) -> None:
        self._head = Message()
        self._head["Set-Cookie"] = field

    def info(self) -> Message:
        return self._head


def jar_of(fields: Sequence[str]) -> CookieJar:
    """A browser that has got these fields, one by one."""
    jar = CookieJar(DefaultCookiePolicy(strict_ns_domain=DefaultCookiePolicy.DomainLiberal))
    for field in fields:
        jar.extract_cookies(cast("Any", Answer(field)), Request("https://shop.app.example/"))
    return jar


def in_the_jar(fields: Sequence[str]) -> set[tuple[str, str]]:
    """The logins in it; an empty one is none. The jar leaves quotes where browsers do, too."""
    return {(cookie.name, value) for cookie in jar_of(fields) if (value := (cookie.value or "").strip('"'))}


def as_we_believe(fields: Sequence[str], *, kept: Sequence[LoginCredential] = ()) -> list[LoginCredential]:
    return cookies_after(kept, given_by([(b"set-cookie", field.encode("latin-1")) for field in fields], NAMES, time.time))


def named(logins: Sequence[LoginCredential]) -> set[tuple[str, str]]:
    return {(login.name, login.value) for login in logins}


OLD: Final = [LoginCredential("session", GOOD, (0,)), LoginCredential("remember_token", GOOD, (1,))]
HELD: Final = [f"session={GOOD}; Path=/", f"remember_token={GOOD}; Path=/"]


@pytest.mark.parametrize("framework", DELETE)
@pytest.mark.parametrize("name", ["session", "remember_token"])
def test_what_a_framework_deletes_is_gone(framework: str, name: str) -> None:
    fields = DELETE[framework](name, COPY)
    left = {(other, value) for other, value in named(OLD) if other != name}
    assert in_the_jar([*HELD, *fields]) == named(as_we_believe(fields, kept=OLD)) == left
    assert sets_login_cookie([(b"set-cookie", field.encode()) for field in fields], NAMES)


@pytest.mark.parametrize("framework", SET)
@pytest.mark.parametrize("name", ["session", "remember_token"])
def test_what_a_framework_sets_is_there(framework: str, name: str) -> None:
    fields = SET[framework](name, NEW)
    now = {(other, NEW if other == name else value) for other, value in named(OLD)}
    assert in_the_jar([*HELD, *fields]) == named(as_we_believe(fields, kept=OLD)) == now


@pytest.mark.parametrize(
    "expires",
    ["Thursday, 01-Jan-70 00:00:00 GMT", "Thu Jan  1 00:00:00 1970", "Thu, 1 Jan 1970 0:00:00 GMT", "THU, 01 JAN 1970 00:00:00 gmt"],
)
def test_dates_that_browsers_read_and_the_jar_does_not(expires: str) -> None:
    """RFC 6265, 5.1.1."""
    assert as_we_believe([f"session={NEW}; Path=/; Expires={expires}"]) == []


_WRITES = [(True, write) for write in SET.values()] + [(False, write) for write in DELETE.values()]
_made = st.builds(
    lambda write, name, value: write[1](name, value),
    st.sampled_from(_WRITES),
    st.sampled_from(["session", "remember_token", "theme", "sessions", "Session"]),
    st.sampled_from([NEW, COPY, "x"]),
)
_answers = st.lists(_made, max_size=5).map(lambda made: [field for fields in made for field in fields])


@settings(max_examples=300)
@given(_answers)
def test_of_several_fields_the_jar_and_we_keep_the_same(fields: list[str]) -> None:
    jar = {(name, value) for name, value in in_the_jar([*HELD, *fields]) if name in ("session", "remember_token")}
    assert named(as_we_believe(fields, kept=OLD)) == jar


@settings(max_examples=300)
@given(_answers)
def test_without_the_fields_that_set_a_login_the_jar_has_none_of_an_answer(fields: list[str]) -> None:
    """And the others are there as before."""
    head = [(b"Set-Cookie", field.encode()) for field in fields]
    left = [value.decode() for _, value in drop_login_cookies(head, NAMES, time.time)]
    assert {name for name, _ in in_the_jar(left)} & {"session", "remember_token"} == set()
    assert {pair for pair in in_the_jar(left) if pair[0] not in ("session", "remember_token")} == {
        pair for pair in in_the_jar(fields) if pair[0] not in ("session", "remember_token")
    }


# --- parts, places ----------------------------------------------------------------------------------------------------

_parts = st.lists(st.tuples(st.booleans(), st.sampled_from([0, 1, 2]), st.sampled_from(["a", "bb", "ccc"])), max_size=6)


@settings(max_examples=200)
@given(_parts)
def test_parts_are_those_that_the_jar_has_in_their_order(made: list[tuple[bool, int, str]]) -> None:
    fields = [(SET if sets else DELETE)["Django"](f"session-{number}", value)[0] for sets, number, value in made]
    whole = "".join(value for _, value in sorted(in_the_jar(fields)))
    assert named(as_we_believe(fields)) == ({("session-*", whole)} if whole else set())


_PLACES: Final = ["Path=/", "Path=/shop", "Path=/; Domain=app.example", "Path=/; Domain=.app.example"]
_places = st.lists(st.tuples(st.booleans(), st.sampled_from(_PLACES)), max_size=5)


@settings(max_examples=300)
@given(_places)
def test_a_cookie_in_another_place_is_another(made: list[tuple[bool, str]]) -> None:
    """Of several, the value set last is the one we tell of; none where the jar has none."""
    fields = [f"session={number}x; {place}; Max-Age={3600 if sets else 0}" for number, (sets, place) in enumerate(made)]
    believed = named(as_we_believe(fields))
    jar = in_the_jar(fields)
    assert bool(believed) == bool(jar)
    assert believed <= jar
    if jar:
        assert believed == {max(jar)}


@pytest.mark.parametrize("zone", ["", " GMT", " UTC", " -0000", " +0000"])
@pytest.mark.parametrize("hours", [-4, 4])
def test_an_expiry_is_in_utc_wherever_the_server_stands(zone: str, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6265, 5.1.1: what stands behind the time is not looked at. ``email.utils.formatdate`` writes ``-0000``."""
    with time_machine.travel("2027-06-09T10:18:14Z", tick=False):
        expires = time.strftime("%a, %d %b %Y %H:%M:%S", time.gmtime(time.time() + hours * 3600)) + zone
        for place in ("Asia/Tokyo", "America/Los_Angeles", "UTC"):
            monkeypatch.setenv("TZ", place)
            time.tzset()
            try:
                believed = as_we_believe([f"session={NEW}; Path=/; Expires={expires}"])
            finally:
                monkeypatch.undo()
                time.tzset()
            assert named(believed) == ({("session", NEW)} if hours > 0 else set()), place
