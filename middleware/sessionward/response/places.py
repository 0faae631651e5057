"""Which cookie does an answer delete? To a browser, cookies of one name with another Domain or Path are others (RFC 6265, 5.3).

A request does not say where its cookies were set. So the places at which the application sets its login cookies are
remembered as they are seen, and a deletion somewhere else is taken for one of an old namesake.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sessionward.request.request import Location
from sessionward.response.set_cookies import SetCookie

MAX_PLACES: Final = 256
"""Places that one process remembers: an application with more of them sets its cookies at random."""


class _Place(NamedTuple):
    """``host``: of a cookie without Domain, the host that set it; else empty."""

    name: str
    host: str
    domain: str
    path: str


class Places:
    """Where this application has been seen to set its login cookies."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[_Place] = set()

    def learn(self, cookie: SetCookie, location: Location) -> None:
        """Remembers where an answer to a request at ``location`` has set a cookie."""
        if len(self._seen) < MAX_PLACES:
            self._seen.add(_place(cookie, location))

    def deletes_what_came(self, cookie: SetCookie, location: Location) -> bool:
        """Whether this deletion is of the cookie that came with its request, as far as can be known.

        What was never seen being set counts if a browser would have sent it to ``location``: of a doubt the sign-out wins.
        """
        place = _place(cookie, location)
        if place in self._seen:
            return True
        if not _is_sent(place, location):
            return False
        return not any(seen.name == place.name and _is_sent(seen, location) for seen in self._seen)


def _place(cookie: SetCookie, location: Location) -> _Place:
    path = cookie.path or ""
    if not path.startswith("/"):
        path = location.path[: location.path.rfind("/")] or "/"  # RFC 6265, 5.1.4: the default path
    domain = (cookie.domain or "").lower()
    return _Place(cookie.name, "" if domain else location.host, domain, path)


def _is_sent(place: _Place, location: Location) -> bool:
    """Whether a browser sends the cookie to this location (RFC 6265, 5.1.3 and 5.1.4)."""
    host, path = location
    if place.domain:
        if host and host != place.domain and not host.endswith("." + place.domain):
            return False
    elif place.host != host:
        return False
    return path == place.path or path.startswith(place.path if place.path.endswith("/") else place.path + "/")
