"""What every check begins with: a site, the door that is to be put around it, and people who sign in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Protocol

import httpx2

from tests.matrix.browser import Browser
from tests.matrix.site import Site

ANN: Final = "ann"
BOB: Final = "bob"


class Door(Protocol):
    """Puts a door around a site."""

    def __call__(self, site: Site, /, **settings: Any) -> None: ...


class DoesNotApply(Exception):
    """A check that says nothing about this framework; its text goes on after "does not apply because"."""


class Story:
    """One site, and the people at its browsers."""

    def __init__(self, site: Site, door: Door, neighbour: Callable[[], Site], *, counts: bool = True, many: int = 10_000) -> None:
        self.site = site
        self.door = door
        self.neighbour = neighbour
        """A site of another framework whose session cookie has the same name, below ``/shop``."""
        self.many = many
        """What one user may have of sessions: less behind the naive way, which asks for each and has no timeout."""
        self.counts = counts
        """False for a door that knows no number: the naive way has none where nothing is kept on the server."""

    def install(self) -> None:
        self.door(self.site)

    def revokes_others(self, caller: Browser, count: int) -> None:
        """The caller signs out the others, and is told how many."""
        answer = caller.sign_out_others()
        assert answer.status_code == 200, f"DELETE: {answer.status_code} {answer.text}"
        if self.counts:
            assert answer.json() == {"count": count}, f"{answer.json()}, not {count}"

    def signed_in(self, user: str = ANN, *, remember: bool = False) -> Browser:
        browser = Browser(self.site)
        browser.login(user, remember=remember)
        assert browser.me().user == user
        return browser

    def logins_set_by(self, answer: httpx2.Response) -> list[str]:
        """The names of cookies that sign someone in, the companion among them, which an answer sets to something."""
        gone = re.compile(r'=(""|\'\'|null)?(;|$)|Max-Age=0|1970', re.IGNORECASE)
        names = ("__Host-session-ward", *(() if self.site.in_header else self.site.login_cookies))
        fields = answer.headers.get_list("set-cookie")
        return [name for field in fields if (name := field.partition("=")[0]) in names and not gone.search(field)]
