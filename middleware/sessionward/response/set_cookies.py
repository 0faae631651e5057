"""The login cookies that a response sets or deletes, and those that the browser has after the response."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from sessionward.credential.carriers import BLANKS
from sessionward.credential.login_cookies import LoginCredential, LoginNames, verbatim_value
from sessionward.request.request import Fields

_NUMBER: Final = re.compile(rb"-?[0-9]+")


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A login cookie that a response sets. ``value``: None if the response deletes it.

    ``is_odd``: the response sets a value that frameworks do not read alike, so we remove it from requests. ``value`` is None.
    """

    name: str
    part: int
    value: str | None = field(repr=False)
    samesite: str | None = None
    partitioned: bool = False
    domain: str | None = None
    path: str | None = None
    is_odd: bool = False


def parse_set_cookies(head: Fields, names: LoginNames, clock: Callable[[], float]) -> list[SetCookie]:
    """Returns the login cookies that a response head sets or deletes, in order. ``clock`` returns seconds since 1970."""
    return [
        cookie
        for name, value in head
        if len(name) == 10 and name.lower() == b"set-cookie" and (cookie := _parse(value, names, clock)) is not None
    ]


def _parse(field: bytes, names: LoginNames, clock: Callable[[], float]) -> SetCookie | None:
    pair, *rest = field.split(b";")
    name, equals, value = pair.partition(b"=")
    known = names.of(name.strip(BLANKS)) if equals else None  # without ``=`` browsers read a value without a name
    if known is None:
        return None
    attributes: dict[bytes, bytes] = {}
    for attribute in rest:
        key, _, text = attribute.partition(b"=")
        attributes[key.strip(BLANKS).lower()] = text.strip(BLANKS)
    plain = verbatim_value(value.strip(BLANKS))
    is_over = _is_over(attributes, clock)
    gone = plain is None or is_over
    samesite = attributes.get(b"samesite")
    domain = attributes.get(b"domain", b"").lstrip(b".").decode("latin-1")
    return SetCookie(
        known[0],
        known[1],
        None if gone or plain is None else plain.decode("latin-1"),
        None if samesite is None else samesite.decode("latin-1").lower(),
        b"partitioned" in attributes,
        domain or None,
        attributes.get(b"path", b"").decode("latin-1") or None,
        is_odd=plain is None and not is_over and value.strip(BLANKS + b'"') != b"",
    )


def _is_over(attributes: dict[bytes, bytes], clock: Callable[[], float]) -> bool:
    """Returns whether a browser deletes the cookie at once (RFC 6265, 5.3). Max-Age takes precedence over Expires."""
    max_age = attributes.get(b"max-age", b"")
    if _NUMBER.fullmatch(max_age):
        return max_age.startswith(b"-") or not max_age.strip(b"0")
    try:  # browsers ignore the zone and read UTC (RFC 6265, 5.1.1)
        return parsedate_to_datetime(attributes.get(b"expires", b"").decode("latin-1")).replace(tzinfo=UTC).timestamp() <= clock()
    except (ValueError, TypeError, IndexError, OverflowError):  # not a date that a browser would read
        return False


def cookies_after(kept: Iterable[LoginCredential], cookies: Sequence[SetCookie], *, clears: bool = False) -> list[LoginCredential]:
    """Returns the login credentials that the browser has after the response.

    Cookies of one name with different Domain or Path are different cookies. An application that has changed its domain deletes
    the old one and sets the new one in the same response; the new one stays. ``clears``: whether the response deletes all
    cookies before it sets others.
    """
    found: dict[tuple[str, int, str | None, str | None], SetCookie] = {}
    for cookie in cookies:
        place = (cookie.name, cookie.part, cookie.domain, cookie.path)
        found.pop(place, None)
        found[place] = cookie
    values: dict[str, dict[int, str]] = {cookie.name: {} for cookie in cookies}
    for cookie in found.values():
        if cookie.value is not None:
            values[cookie.name][cookie.part] = cookie.value
    logins = [login for login in kept if login.name not in values and not (clears and login.places)]
    return logins + [LoginCredential(name, "".join(value for _, value in sorted(parts.items()))) for name, parts in values.items() if parts]


def clears_cookies(head: Fields) -> bool:
    """Returns whether a response makes the browser delete all cookies of the site (W3C Clear Site Data, 3.1)."""
    return any(
        len(key) == 15 and key.lower() == b"clear-site-data" and not _CLEARED.isdisjoint(part.strip(BLANKS) for part in value.split(b","))
        for key, value in head
    )


_CLEARED: Final = frozenset({b'"cookies"', b'"*"'})


def drop_login_cookies(head: Fields, names: LoginNames, clock: Callable[[], float]) -> list[tuple[bytes, bytes]]:
    """Returns a response head without the fields that set a login cookie. Those that delete one stay."""
    return [(key, value) for key, value in head if not (key.lower() == b"set-cookie" and _signs_in(value, names, clock))]


def _signs_in(set_cookie: bytes, names: LoginNames, clock: Callable[[], float]) -> bool:
    cookie = _parse(set_cookie, names, clock)
    return cookie is not None and cookie.value is not None


def sets_login_cookie(head: Fields, names: LoginNames) -> bool:
    """Returns whether a response head sets or deletes a login cookie."""
    for key, value in head:  # noqa: SIM110 - runs for each response
        if len(key) == 10 and key.lower() == b"set-cookie" and is_login(value, names):
            return True
    return False


def is_login(set_cookie: bytes, names: LoginNames) -> bool:
    """Returns whether a Set-Cookie value sets or deletes a login cookie."""
    name, equals, _ = set_cookie.partition(b";")[0].partition(b"=")
    return bool(equals) and names.of(name.strip(BLANKS)) is not None
