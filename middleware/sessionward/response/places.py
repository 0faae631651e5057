"""Which cookie does a response delete? Cookies of one name with different Domain or Path are different cookies (RFC 6265, 5.3).

A request does not say with which Domain and Path its cookies were set. So we remember the places at which the application sets
its login cookies. A deletion at another place concerns an older cookie of the same name.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sessionward.request.request import Location
from sessionward.response.set_cookies import SetCookie

MAX_PLACES: Final = 256
"""The largest number of places that one process remembers. A client chooses its ``Host``, so beyond it the rarest one goes."""


class _Place(NamedTuple):
    """``host``: the host that set a cookie without Domain, or empty."""

    name: str
    host: str
    domain: str
    path: str


class Places:
    """The places at which we have seen the application set its login cookies, and how often. Threads share it."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[_Place, int] = {}

    def learn(self, cookie: SetCookie, location: Location) -> None:
        """Remembers the place of a cookie that a response to a request at ``location`` sets."""
        seen, place = self._seen, _place(cookie, location)
        if place not in seen and len(seen) >= MAX_PLACES:
            seen.pop(min([*seen], key=lambda other: seen.get(other, 0)), None)
        seen[place] = seen.get(place, 0) + 1

    def deletes_what_came(self, cookie: SetCookie, location: Location) -> bool:
        """Returns whether this response deletes the cookie of the request, as far as we can know.

        If we have seen no login cookie for ``location``, every deletion counts of a cookie that a browser would send there: we
        prefer to sign the user out.
        """
        place = _place(cookie, location)
        if place in self._seen:
            return True
        if not _is_sent(place, location):
            return False
        return not any(seen.name == place.name and _is_sent(seen, location) for seen in [*self._seen])


def _place(cookie: SetCookie, location: Location) -> _Place:
    path = cookie.path or ""
    if not path.startswith("/"):
        path = location.path[: location.path.rfind("/")] or "/"  # RFC 6265, 5.1.4: the default path
    domain = (cookie.domain or "").lower()
    return _Place(cookie.name, "" if domain else location.host, domain, path)


def _is_sent(place: _Place, location: Location) -> bool:
    """Returns whether a browser sends a cookie of this place to this location (RFC 6265, 5.1.3 and 5.1.4)."""
    host, path = location.host, location.path
    if place.domain:
        if host and host != place.domain and not host.endswith("." + place.domain):
            return False
    elif place.host != host:
        return False
    return path == place.path or path.startswith(place.path if place.path.endswith("/") else place.path + "/")
