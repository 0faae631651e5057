"""The login cookies that an answer sets or deletes, and what the browser has once it has got the answer."""

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
    """A login cookie as an answer sets it; ``value`` is None where it is deleted.

    ``is_odd``: it is set to a value that frameworks do not read alike, so that we take it out of requests; ``value`` is None.
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
    """The login cookies that the head of an answer sets or deletes, in order. ``clock``: seconds since 1970."""
    return [
        cookie
        for name, value in head
        if len(name) == 10 and name.lower() == b"set-cookie" and (cookie := _parse(value, names, clock)) is not None
    ]


def _parse(field: bytes, names: LoginNames, clock: Callable[[], float]) -> SetCookie | None:
    pair, *rest = field.split(b";")
    name, equals, value = pair.partition(b"=")
    known = names.of(name.strip(BLANKS)) if equals else None  # without, browsers take it for a value that has no name
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
    """Whether a browser forgets a cookie at once (RFC 6265, 5.3): Max-Age decides over Expires."""
    max_age = attributes.get(b"max-age", b"")
    if _NUMBER.fullmatch(max_age):
        return max_age.startswith(b"-") or not max_age.strip(b"0")
    try:  # in UTC, whatever zone it names (RFC 6265, 5.1.1)
        return parsedate_to_datetime(attributes.get(b"expires", b"").decode("latin-1")).replace(tzinfo=UTC).timestamp() <= clock()
    except (ValueError, TypeError, IndexError, OverflowError):  # no date, or none that a browser would read
        return False


def cookies_after(kept: Iterable[LoginCredential], cookies: Sequence[SetCookie]) -> list[LoginCredential]:
    """The login credentials that the browser has once it has got the answer.

    Cookies of one name with another Domain or Path are others: deleting one of those, as applications do that have changed
    their domain, leaves what is set beside it.
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
    logins = [login for login in kept if login.name not in values]
    return logins + [LoginCredential(name, "".join(value for _, value in sorted(parts.items()))) for name, parts in values.items() if parts]


def drop_login_cookies(head: Fields, names: LoginNames, clock: Callable[[], float]) -> list[tuple[bytes, bytes]]:
    """The head of an answer without the fields that set a login cookie; those that delete one stay."""
    return [(key, value) for key, value in head if not (key.lower() == b"set-cookie" and _signs_in(value, names, clock))]


def _signs_in(set_cookie: bytes, names: LoginNames, clock: Callable[[], float]) -> bool:
    cookie = _parse(set_cookie, names, clock)
    return cookie is not None and cookie.value is not None


def sets_login_cookie(head: Fields, names: LoginNames) -> bool:
    """Whether the head of an answer sets or deletes a login cookie."""
    for key, value in head:  # noqa: SIM110 - at each response
        if len(key) == 10 and key.lower() == b"set-cookie" and is_login(value, names):
            return True
    return False


def is_login(set_cookie: bytes, names: LoginNames) -> bool:
    """Whether a Set-Cookie value is about a login cookie."""
    name, equals, _ = set_cookie.partition(b";")[0].partition(b"=")
    return bool(equals) and names.of(name.strip(BLANKS)) is not None
