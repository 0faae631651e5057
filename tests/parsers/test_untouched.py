"""What is no login stays: in its order, to the byte; and a request without any login goes on as it came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionward.credential.login_cookies import verbatim_value
from tests.parsers.attacks import fields
from tests.parsers.frameworks import ALL
from tests.parsers.judged import (
    COPY,
    GOOD,
    LOGINS,
    PART,
    cookie_fields,
    environ_with,
    judge,
    logins_of,
    of_environ,
    of_scope,
    readings,
    scope_with,
    stripped,
)  # fmt: skip

TOKEN: Final = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Of names (RFC 9110)."""
PLAIN: Final = "!#$%&'()*+-./0123456789:<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz{|}~"
"""Of values that no framework reads in a way of its own."""
NEAR: Final = [
    "sessions", "xsession", "Session", "SESSION", "session.0", "session_0", "session-", "session-x", "session-0x",
    "session--0", "x-session-0", "remember", "remember_token2", "Remember_Token", "sessionid", "__Host-session", "sess%69o", "theme",
]  # fmt: skip

_names = (st.sampled_from(NEAR) | st.text(TOKEN.replace("%", ""), min_size=1, max_size=9)).filter(
    lambda name: name not in LOGINS and not PART.fullmatch(name)
)
_values = st.text(PLAIN, max_size=12) | st.sampled_from([COPY, "session", "session=1", f"session={COPY}", "a=b=c"])
others = st.builds(lambda name, value: f"{name}={value}".encode(), _names, _values)


@settings(max_examples=500)
@given(st.lists(others, min_size=1, max_size=6), fields)
def test_plain_pairs_stay_in_order_between_whatever_attacks(plain: Sequence[bytes], attacks: Sequence[bytes]) -> None:
    marked = [b"m%d.%s" % (number, pair) for number, pair in enumerate(plain)]
    between = [*attacks, *[b""] * len(marked)]
    sent = [b"; ".join(part for pair in zip(marked, between, strict=False) for part in pair)]
    for proven in (None, GOOD):
        scope, environ = judge(sent, proven)
        kept = [pair.strip(b" \t") for field in cookie_fields(scope) for pair in field.split(b";")]
        assert [pair for pair in kept if pair in set(marked)] == marked
        assert environ.get("HTTP_COOKIE", "").encode("latin-1") == b"; ".join(cookie_fields(scope)), "both doors take out the same"


@settings(max_examples=300)
@given(st.lists(others, max_size=6), st.sampled_from([b"; ", b";", b" ; ", b";\t", b";;"]))
def test_a_request_without_a_login_goes_on_as_it_came(pairs: list[bytes], joint: bytes) -> None:
    assert goes_on_as_it_came([joint.join(pairs)])
    assert goes_on_as_it_came(pairs)


@pytest.mark.parametrize(
    "field",
    [
        "", ";", "; ; ;", "=", "=v", "x", 'x="a b"', 'x="a; b=c"', 'prefs={"a":1,"b":[2]}', "x=\u2603", 'x="', "x=a,b", "x=%73ession%3d1",
        "x=my session", 'x="session"', "$Version=1; x=1", "x=1; Path=/", "expires=Wed, 09 Jun 2027 10:18:14 GMT",
    ],
)  # fmt: skip
def test_so_do_strange_spellings_of_other_cookies(field: str) -> None:
    assert goes_on_as_it_came([field.encode()])


@settings(max_examples=100)
@given(st.lists(others, max_size=4), st.integers(0, 4))
def test_and_a_login_that_is_proved_with_all_that_stands_around_it(pairs: list[bytes], place: int) -> None:
    assert goes_on_as_it_came([b";  ".join([*pairs[:place], f"session={GOOD}".encode(), *pairs[place:]])], proven=GOOD)


def goes_on_as_it_came(sent: Sequence[bytes], *, proven: str | None = None) -> bool:
    scope, environ = scope_with(sent), environ_with(sent)
    return [stripped(fields, proven) for fields in (of_scope(scope), of_environ(environ))] == [None, None]


@settings(max_examples=400)
@given(fields)
def test_what_goes_on_is_made_of_pairs_that_came_and_is_judged_alike_once_more(sent: Sequence[bytes]) -> None:
    came = [pair.strip(b" \t") for field in sent for pair in field.split(b";")]
    once = cookie_fields(judge(sent, GOOD)[0])
    left = iter(came)
    assert all(pair.strip(b" \t") in left for field in once for pair in field.split(b";")), "in the same order"
    assert cookie_fields(judge(once, GOOD)[0]) == once


# --- the one spelling that all read alike ------------------------------------------------------------------------------


def value_of(byte: int) -> str:
    """A value with this character in all its places, and Beaker's signature is not asked for."""
    return f"{chr(byte)}a{chr(byte)}{chr(byte)}b{chr(byte)}"


@pytest.mark.parametrize("byte", range(256))
def test_a_value_is_plain_only_if_every_framework_reads_it_as_it_stands(byte: int) -> None:
    value = value_of(byte)
    if verbatim_value(value.encode("latin-1")) is None:
        assert chr(byte) not in PLAIN
        return
    assert chr(byte) in PLAIN
    for field in (f"x=1; session={value}; y=2", f'x=1; session="{value}"; y=2'):
        sent = [field.encode("latin-1")]
        read = {name: logins_of(pairs) for name, pairs in readings(scope_with(sent), environ_with(sent)) if name != "Beaker"}
        assert read == {name: {value} for name in ALL if name != "Beaker"}
