"""A browser as the checks need it: a jar of cookies of its own, and requests that can be held while they are under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import Cookie
from http.cookies import SimpleCookie
from threading import Event
from typing import Any, Final, Protocol
from urllib.parse import urlencode
from uuid import UUID

import httpx2

ORIGIN: Final = "https://app.example"
PATIENCE: Final = 30.0
"""Seconds after which a test that hangs is called off."""


class Gate:
    """Where a view of the application waits in the middle of its work."""

    def __init__(self) -> None:
        self.begun = Event()
        self.released = Event()

    def hold(self) -> None:
        """Called by the view, between its first look at the session and its second."""
        self.begun.set()
        assert self.released.wait(PATIENCE), "nobody let the view go on"


class Place(Protocol):
    """What a browser talks to."""

    gate: Gate

    def start(self, request: httpx2.Request) -> Future[httpx2.Response]: ...


@dataclass(frozen=True, slots=True)
class Me:
    """What the application says: who this is, and what lies in the cart."""

    user: str
    cart: str


NOBODY: Final = "anonymous"


class Pending:
    """A request under way. Its answer's cookies reach the jar when the answer is taken."""

    def __init__(self, browser: Browser, request: httpx2.Request, future: Future[httpx2.Response]) -> None:
        self._browser = browser
        self._request = request
        self._future = future

    def answer(self, patience: float = PATIENCE) -> httpx2.Response:
        try:
            response = self._future.result(patience)
        except TimeoutError:
            raise AssertionError(f"no answer within {patience} s") from None
        response.request = self._request
        self._browser.cookies.extract_cookies(response)
        return response

    def has_ended(self) -> bool:
        return self._future.done()

    def has_failed(self) -> bool:
        """Whether the answer broke off."""
        return self._future.exception(PATIENCE) is not None


class Browser:
    """One device. Keeps cookies by name, path, Secure and expiry as browsers do, and follows no redirects."""

    def __init__(self, place: Place, prefix: str = "", cookies: httpx2.Cookies | None = None) -> None:
        self.place = place
        self.prefix = prefix
        self.cookies = httpx2.Cookies() if cookies is None else cookies

    def at(self, prefix: str) -> Browser:
        """The same browser, looking at an application below this path."""
        return Browser(self.place, prefix, self.cookies)

    def start(self, method: str, path: str, **form: str) -> Pending:
        headers = {} if method == "GET" else {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
        body = urlencode(form).encode() if form else b""
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        request = httpx2.Request(method, ORIGIN + self.prefix + path, headers=headers, content=body)
        self.cookies.set_cookie_header(request)
        return Pending(self, request, self.place.start(request))

    def ask(self, method: str, path: str, **form: str) -> httpx2.Response:
        return self.start(method, path, **form).answer()

    # --- what people do -----------------------------------------------------------------------------------------------

    def login(self, user: str, *, remember: bool = False) -> httpx2.Response:
        form = {"username": user, "password": password_of(user), **({"remember": "1"} if remember else {})}
        answer = self.ask("POST", "/login", **form)
        assert answer.status_code < 400, f"the sign-in was refused: {answer.status_code} {answer.text[:200]}"
        return answer

    def logout(self) -> None:
        answer = self.ask("POST", "/logout")
        assert answer.status_code < 400, f"the sign-out was refused: {answer.status_code} {answer.text[:200]}"

    def put(self, item: str) -> None:
        answer = self.ask("POST", "/cart", item=item)
        assert answer.status_code < 400, f"the cart was refused: {answer.status_code} {answer.text[:200]}"

    def me(self) -> Me:
        answer = self.ask("GET", "/me")
        if answer.status_code == 401:  # how some applications call a stranger
            return Me(NOBODY, "")
        assert answer.status_code == 200, f"/me: {answer.status_code} {answer.text[:200]}"
        found: dict[str, Any] = answer.json()
        return Me(found["user"], found["cart"])

    def sign_out_others(self) -> httpx2.Response:
        return self.ask("DELETE", "/auth/sessions")

    @contextmanager
    def under_way(self, method: str, path: str, **form: str) -> Iterator[Pending]:
        """A request that is in the middle of its view as long as the block runs."""
        gate = self.place.gate = Gate()
        pending = self.start(method, path, **form)
        try:
            while not gate.begun.wait(0.05):
                assert not pending.has_ended(), f"the view was never entered: {pending.answer().status_code}"
            yield pending
        finally:
            gate.released.set()

    # --- what lies in the jar -----------------------------------------------------------------------------------------

    def jar(self) -> dict[str, str]:
        """All cookies, by name."""
        return {cookie.name: cookie.value or "" for cookie in self.cookies.jar}

    def plant(self, name: str, value: str) -> None:
        self.cookies.set(name, value, domain="app.example", path=self.prefix or "/")

    def drop(self, *names: str) -> None:
        for cookie in list(self.cookies.jar):
            if cookie.name in names:
                self.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)

    def copy(self, *names: str) -> Browser:
        """Another browser with copies of these cookies, or of all: a thief's, or a backup."""
        other = Browser(self.place, self.prefix)
        for cookie in self.cookies.jar:
            if not names or cookie.name in names:
                other.cookies.jar.set_cookie(_kept(cookie))
        return other


def _kept(cookie: Cookie) -> Cookie:
    """A copy that never expires: a thief does not look at Max-Age."""
    return Cookie(
        0,
        cookie.name,
        cookie.value,
        None,
        port_specified=False,
        domain=cookie.domain,
        domain_specified=cookie.domain_specified,
        domain_initial_dot=cookie.domain_initial_dot,
        path=cookie.path,
        path_specified=cookie.path_specified,
        secure=cookie.secure,
        expires=None,
        discard=True,
        comment=None,
        comment_url=None,
        rest={},
    )


def cookies_of(header: str) -> Mapping[str, str]:
    return {name: morsel.value for name, morsel in SimpleCookie(header).items()}


IDS: Final[Mapping[str, int | UUID]] = {"zero": 0, "seven": 7, "uuid": UUID("00000000-0000-4000-8000-000000000007")}
"""The users whose id is not their name."""


def id_of(user: str) -> Any:
    """A user's id, of the type that the application's model has."""
    return IDS.get(user, user)


def in_json(user: str) -> Any:
    """The same as JSON can hold it."""
    found = id_of(user)
    return str(found) if isinstance(found, UUID) else found


def name_of(stored: object) -> str:
    """The user of an id that was read somewhere."""
    return next((name for name, known in IDS.items() if str(known) == str(stored)), str(stored))


def password_of(user: str) -> str:
    return f"correct horse of {user}"
