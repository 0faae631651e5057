"""The reader takes any bytes, and its time grows with their number only."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionward.credential.carriers import BLANKS
from sessionward.credential.login_cookies import MAX_LOGINS, MAX_SUSPECTS, LoginNames, parse_login_credentials, strip
from sessionward.request.request import joined
from sessionward.response.set_cookies import cookies_after, drop_login_cookies, sets_login_cookie
from sessionward.response.set_cookies import parse_set_cookies as given_by
from tests.parsers.attacks import COPIED, fields
from tests.parsers.judged import GOOD, NAMES, of_environ, of_scope, parsed_of, scope_with, stripped

SIZE: Final = 65_536
"""Bytes."""


def repeated(part: bytes) -> Callable[[int], bytes]:
    return lambda size: part * (size // len(part))


def between(front: bytes, part: bytes, behind: bytes) -> Callable[[int], bytes]:
    return lambda size: front + part * (size // len(part)) + behind


SHAPES: Final = {
    "backslashes in quotes": between(b'session="', b"\\", COPIED + b'"'),
    "octal escapes": between(b'session="', b"\\141", b'"'),
    "quotes": repeated(b'"'),
    "blanks": between(b"session", b" ", b"=" + COPIED),
    "vertical tabs": between(b"session", b"\x0b", b"x"),
    "names without a value": repeated(b"\x0bsession"),
    "names and blanks": repeated(b" session \x0b"),
    "digits of a part": between(b"\x0bsession-", b"0", b""),
    "digits of many parts": repeated(b"\x0bsession-11111111"),
    "parts": lambda size: b";".join(b"session-%d=x" % number for number in range(size // 14)),
    "one part, over and over": repeated(b"session-0=x;"),
    "one login, over and over": repeated(b"session=x;"),
    "logins of many values": lambda size: b";".join(b"session=%d" % number for number in range(size // 14)),
    "semicolons": repeated(b";"),
    "equals signs": repeated(b"="),
    "percents": repeated(b"%73"),
    "percents in a name": between(b"", b"%73", b"=1"),
    "prefixes of the name": repeated(b" sessio"),
    "commas": repeated(b"x=1,session"),
    "bytes beyond ASCII": repeated(b"\xffsession\xff"),
    "NULs": between(b"session", b"\x00", b"=x"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_time_is_linear_in_what_is_read(shape: str) -> None:
    """Only printed (``-s``), but for a bound that a quadratic reader breaks and a busy machine does not: the time is this thread's own."""
    small, large = (least(SHAPES[shape](size)) for size in (SIZE // 2, SIZE))
    print(f"{shape}: {large * 1000:.2f} ms for 64 kB, {large / small:.1f} times that for 32 kB")
    assert large < 2.0


def least(cookie: bytes) -> float:
    """Seconds of this thread, in the best of three."""
    times = []
    fields = [(b"cookie", cookie)]
    for _ in range(3):
        begin = time.thread_time()
        found = parsed_of(fields)
        strip(fields, found, found.credentials)
        times.append(time.thread_time() - begin)
    return max(min(times), 1e-7)


@given(fields | st.lists(st.binary(max_size=80), max_size=3))
@settings(max_examples=500)
def test_nothing_that_is_sent_raises(sent: list[bytes]) -> None:
    found = parsed_of(of_scope(scope_with(sent)))
    assert len(found.credentials) <= MAX_LOGINS
    assert {place for login in found.credentials for place in login.places} <= set(range(len(found.pairs))) - found.obfuscated


@pytest.mark.parametrize("name", [b"session", b"session-0"])
@pytest.mark.parametrize(("others", "passes"), [(MAX_LOGINS - 1, True), (MAX_LOGINS, False)], ids=["as many", "one more"])
def test_more_logins_than_anybody_has_are_all_taken_out_the_proved_one_too(name: bytes, others: int, passes: bool) -> None:
    proved = name + b"=" + GOOD.encode()
    sent = b"; ".join([*(b"remember_token=%d" % number for number in range(others)), proved])
    assert stripped(of_scope(scope_with([sent])), GOOD) == ([(b"cookie", proved)] if passes else [])


@given(
    fields
    | st.lists(st.binary(max_size=80), max_size=3)
    | st.lists(
        st.lists(st.sampled_from([b"s", b"e", b"session", b"\x00", b'"', b"%73", b"=", b";", b" ", b"-0"])).map(b"".join), max_size=2
    )
)
@settings(max_examples=2000)
def test_no_login_in_any_spelling_is_overlooked_in_the_first_pass(sent: list[bytes]) -> None:
    cookie = b"; ".join(value for _, value in of_scope(scope_with(sent)))
    suspects = NAMES.suspects(cookie)
    for place, pair in enumerate(cookie.split(b";")):
        name, equals, _ = pair.strip(BLANKS).partition(b"=")
        if (equals and NAMES.of(name.rstrip(BLANKS)) is not None) or NAMES.obfuscated(pair.strip(BLANKS)):
            assert place in suspects


def test_of_more_suspects_than_are_read_closely_none_passes() -> None:
    sent = b"; ".join([*(b"x%d=session" % number for number in range(MAX_SUSPECTS)), b"session=" + GOOD.encode(), b"theme=dark"])
    assert stripped(of_scope(scope_with([sent])), GOOD) == [(b"cookie", b"theme=dark")]


@given(st.text(max_size=40))
def test_not_even_text_that_no_server_should_put_there(text: str) -> None:
    """Beyond latin-1, against PEP 3333."""
    environ = {"HTTP_COOKIE": f"session={GOOD}; x={text}; session={text}"}
    sent = of_environ(environ)
    left = stripped(sent, GOOD)
    assert f"session={GOOD}" in (sent if left is None else left)[0][1].decode("latin-1")


@given(fields)
def test_without_any_name_nothing_is_a_login(sent: list[bytes]) -> None:
    cookies = of_scope(scope_with(sent))
    found = parse_login_credentials(partial(joined, cookies), LoginNames([]))
    assert strip(cookies, found, found.credentials) is None


_SET_PARTS: Final = [
    b"session", b"session-0", b"session-1000", b"=", b"=x", b'"', b";", b"; ", b"Max-Age=", b"Expires=", b"0", b"-", b"9" * 5000, b"-1",
    b"session=x; Max-Age=" + b"9" * 5000, b"Thu, 01 Jan 1970 00:00:00 GMT", b"Thu, 01 Jan 99999 00:00:00 GMT",
    b"Thu, 01 Jan 1970 00:00:00 +9999", b"Domain=", b"Path=/", b"\x00", b"\xff",
]  # fmt: skip
_set = st.lists(st.sampled_from(_SET_PARTS) | st.binary(max_size=4), max_size=9).map(b"".join)


@settings(max_examples=500)
@given(st.lists(_set, max_size=3))
def test_nothing_that_an_application_sets_raises(sent: list[bytes]) -> None:
    head = [(b"Set-Cookie", value) for value in sent]
    cookies = given_by(head, NAMES, time.time)
    assert bool(cookies) == sets_login_cookie(head, NAMES)
    assert len(drop_login_cookies(head, NAMES, time.time)) == len(head) - sum(cookie.value is not None for cookie in cookies)
    assert {login.name for login in cookies_after([], cookies)} <= {cookie.name for cookie in cookies}
