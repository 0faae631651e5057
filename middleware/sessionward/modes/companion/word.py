"""What a response does to the login: which of the application's login cookies it sets, and which it deletes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sessionward.modes.companion.judge import CompanionContext, Rules
from sessionward.request.request import Fields
from sessionward.response.set_cookies import SetCookie, clears_cookies, parse_set_cookies


class Word(NamedTuple):
    """``cookies``: the login cookies that it sets or deletes, in order. ``clears``: whether the browser first deletes all cookies."""

    cookies: Sequence[SetCookie]
    clears: bool


def word_of(rules: Rules, context: CompanionContext, head: Fields) -> Word:
    """Reads a response head. Leaves out deletions of older cookies of the same name with another Domain or Path."""
    cookies = parse_set_cookies(head, rules.names, context.clock)
    here: list[SetCookie] = []
    for cookie in cookies:
        if cookie.value is not None:
            rules.places.learn(cookie, context.location)
        elif not rules.places.deletes_what_came(cookie, context.location) and not _is_set_at(cookie, cookies):
            continue
        here.append(cookie)
    return Word(here, clears_cookies(head))


def said(cookies: Sequence[SetCookie]) -> frozenset[tuple[str, int, str | None]]:
    """Returns what a response head does to the login, as a value to compare with that of another head."""
    return frozenset((cookie.name, cookie.part, cookie.value) for cookie in cookies)


def _is_set_at(deleted: SetCookie, cookies: Sequence[SetCookie]) -> bool:
    """Returns whether the response also sets a cookie with the name, Domain and Path of this deletion."""
    place = (deleted.name, deleted.part, deleted.domain, deleted.path)
    return any(cookie.value is not None and (cookie.name, cookie.part, cookie.domain, cookie.path) == place for cookie in cookies)


DOMAIN: Final = (
    "the application's login cookie has Domain={domain}, but cookie_domain is not set: other hosts of that domain get the login"
    " without our companion cookie, and we remove it there once any session of its user has been revoked; set cookie_domain={domain!r}"
)
