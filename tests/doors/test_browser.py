"""A real browser: what Chromium sends from our own pages, from a sibling's and from strangers', and what becomes of it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import sessionward
from sessionward.backends.memory import MemoryBackend
from tests.doors.browser import running_chromium
from tests.doors.servers import PATIENCE, request
from tests.doors.sides import COOKIE, SECRET, SESSIONS
from tests.doors.test_scenarios import signed

APP: Final = "app.a.localhost"
SIBLING: Final = "evil.a.localhost"
STRANGER: Final = "evil.b.localhost"
"""Names under ``localhost`` are loopback in Chromium and count as secure; ``a.localhost`` is one site, ``b.localhost`` another."""


# --- the browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with an empty profile."""
    with running_chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


class Site:
    """Everything on one port: the application behind the door on its own name, and pages of others on theirs."""

    def __init__(
        self, chromium: Any, listener: socket.socket, *, granted: tuple[str, ...], trusts: tuple[str, ...], **settings: Any
    ) -> None:
        self.chromium = chromium
        self.port = listener.getsockname()[1]
        self.backend = MemoryBackend()
        self.arrived: list[dict[str, str]] = []
        """Requests for our route: ``method``, ``status`` and headers."""
        cors = Middleware(
            CORSMiddleware,
            allow_origins=[self.origin(name) for name in granted],
            allow_methods=["DELETE"],
            allow_credentials=True,
        )
        routes = [
            Route("/login/{user}", self._login),
            Route("/me", self._me, methods=["GET", "POST"]),
            Route("/", self._page),
            Route(SESSIONS, self._page, methods=["GET", "POST"]),
        ]
        trusted = [self.origin(name) for name in trusts]
        app = Starlette(routes=routes, middleware=[cors])
        self._door = sessionward.ASGIMiddleware(app, self.backend, secrets=[SECRET], trusted_origins=trusted, **settings)
        self._others = Starlette(routes=[Route("/", self._page), Route("/plant", self._plant)])
        self.planted: list[str] = []

    def origin(self, name: str) -> str:
        return name if name == "null" else f"http://{name}:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        fields = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        is_ours = not fields["host"].startswith("evil.")
        app: ASGIApp = self._door if is_ours else self._others

        async def noting(message: Message) -> None:
            if is_ours and message["type"] == "http.response.start" and scope["path"] == SESSIONS:
                self.arrived.append({"method": scope["method"], "status": str(message["status"]), **fields})
            await send(message)

        await app(scope, receive, noting)

    async def _login(self, request: Request) -> Response:
        return PlainTextResponse(await sessionward.of(request).login(request.path_params["user"]))

    async def _me(self, request: Request) -> Response:
        session = sessionward.of(request).current
        return HTMLResponse(f"<p>{'nobody' if session is None else session.user_id}</p>")

    async def _page(self, request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>a page</title>")

    async def _plant(self, request: Request) -> Response:
        response = PlainTextResponse("planted")
        response.raw_headers.extend((b"set-cookie", value.encode("latin-1")) for value in self.planted)
        return response

    # --- what a person or a page does

    def open(self, name: str, path: str = "/") -> str:
        """Go to a page; the text on it."""
        self.chromium.get(self.origin(name) + path)
        text: str = self.chromium.execute_script("return document.body.innerText.trim()")
        return text

    def fetch(self, path: str, name: str = APP, **options: Any) -> dict[str, Any]:
        """``fetch()`` on the page that is open: ``status`` and ``body`` as its script sees them, or ``failed``."""
        found: dict[str, Any] = self.chromium.execute_async_script(_FETCH, self.origin(name) + path, {"credentials": "include", **options})
        return found

    def press(self, **options: Any) -> dict[str, Any]:
        return self.fetch(SESSIONS, method="DELETE", **options)

    def others(self, count: int = 2, user: str = "ann") -> list[str]:
        """Sign the user in elsewhere; the tokens."""
        return [self.ask("GET", f"/login/{user}").decode() for _ in range(count)]

    def live(self, tokens: list[str]) -> list[bool]:
        return [b"ann" in self.ask("GET", "/me", ("X-Session-Token", token)) for token in tokens]

    def ask(self, method: str, path: str, *fields: tuple[str, str]) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(request(method, path, *fields))
            with connection.makefile("rb") as stream:
                return stream.read().partition(b"\r\n\r\n")[2]

    def methods(self) -> list[str]:
        return [arrived["method"] for arrived in self.arrived]


_FETCH: Final = """
const [url, options, done] = arguments;
fetch(url, options)
  .then(async answer => done({status: answer.status, body: await answer.text()}))
  .catch(failure => done({failed: String(failure)}));
"""

Build = Callable[..., Site]


@pytest.fixture
def build(chromium: Any) -> Iterator[Build]:
    """Builds a site and serves it; the browser comes without cookies."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def make(*, granted: tuple[str, ...] = (), trusts: tuple[str, ...] = (), **settings: Any) -> Site:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        site = Site(chromium, listener, granted=granted, trusts=trusts, **settings)
        server = uvicorn.Server(uvicorn.Config(site, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return site

    yield make
    chromium.get("about:blank")
    for server, thread in running:
        server.should_exit = server.force_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


def signed_in(site: Site, user: str = "ann") -> Site:
    """The browser is signed in and looks at a page of the application."""
    site.open(APP, f"/login/{user}")
    assert site.open(APP, "/me") == user
    return site


# --- our own pages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"referrerPolicy": "no-referrer"}], ids=["as usual", "without a referrer"])
def test_p1_a_button_on_our_own_page_puts_the_others_out(build: Build, options: dict[str, str]) -> None:
    site = signed_in(build())
    others = site.others()
    assert site.live(others) == [True, True]
    assert site.press(**options) == {"status": 200, "body": '{"count": 2}'}
    assert site.live(others) == [False, False]
    assert site.open(APP, "/me") == "ann"
    (arrived,) = site.arrived
    assert (arrived["method"], arrived["sec-fetch-site"], arrived["origin"]) == ("DELETE", "same-origin", site.origin(APP))


def test_the_browser_keeps_the_cookie_out_of_the_reach_of_scripts(build: Build) -> None:
    site = signed_in(build())
    (cookie,) = site.chromium.get_cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"], cookie["path"]) == (COOKIE, True, True, "Lax", "/")
    assert site.chromium.execute_script("return document.cookie") == ""


def test_a_sandboxed_frame_on_our_own_page_ends_nothing(build: Build) -> None:
    for granted in ((), ("null",)):
        site = signed_in(build(granted=granted))
        others = site.others()
        site.open(APP)
        answer = site.chromium.execute_async_script(_IN_A_SANDBOX, site.origin(APP) + SESSIONS)
        assert "failed" in answer
        assert site.methods() == (["OPTIONS", "DELETE"] if granted else ["OPTIONS"])
        assert [arrived["status"] for arrived in site.arrived if arrived["method"] == "DELETE"] in ([], ["401"], ["403"])
        assert {(arrived["sec-fetch-site"], arrived["origin"]) for arrived in site.arrived} == {("cross-site", "null")}
        assert site.live(others) == [True, True]


_IN_A_SANDBOX: Final = (
    """
const [url, done] = arguments;
addEventListener("message", event => done(event.data), {once: true});
const frame = document.createElement("iframe");
frame.sandbox = "allow-scripts";
frame.srcdoc = `<script>
  fetch(${JSON.stringify(url)}, {method: "DELETE", credentials: "include"})
    .then(answer => parent.postMessage({status: answer.status}, "*"))
    .catch(failure => parent.postMessage({failed: String(failure)}, "*"));
</`"""
    + """ + `script>`;
document.body.append(frame);
"""
)


# --- a sibling's pages ------------------------------------------------------------------------------------------------


def test_a_siblings_page_is_stopped_by_the_preflight_if_the_application_grants_nothing(build: Build) -> None:
    site = signed_in(build())
    others = site.others()
    site.open(SIBLING)
    assert "failed" in site.press()
    (preflight,) = site.arrived
    assert (preflight["method"], preflight.get("cookie")) == ("OPTIONS", None)
    assert site.live(others) == [True, True]


def test_a_siblings_page_is_stopped_by_us_if_the_application_grants_it_cors(build: Build) -> None:
    site = signed_in(build(granted=(SIBLING,)))
    others = site.others()
    site.open(SIBLING)
    assert "failed" in site.press()  # it may not even read the refusal
    _, call = site.arrived
    assert (call["method"], call["status"], call["sec-fetch-site"], call["origin"]) == ("DELETE", "403", "same-site", site.origin(SIBLING))
    assert COOKIE in call["cookie"]  # SameSite does nothing against a sibling
    assert site.live(others) == [True, True]
    assert site.open(APP, "/me") == "ann"


@pytest.mark.parametrize("granted", [(), (SIBLING,)], ids=["an application without CORS", "one that grants it, too"])
def test_a_trusted_siblings_page_may_call_and_read_the_answer(build: Build, granted: tuple[str, ...]) -> None:
    site = signed_in(build(granted=granted, trusts=(SIBLING,)))
    others = site.others()
    site.open(SIBLING)
    assert site.press() == {"status": 200, "body": '{"count": 2}'}
    assert site.live(others) == [False, False]
    assert site.methods() == ["OPTIONS", "DELETE"]


def test_a_trusted_siblings_page_can_read_a_refusal_too(build: Build) -> None:
    site = build(granted=(SIBLING,), trusts=(SIBLING,))
    site.open(SIBLING)
    answer = site.press()
    assert (answer["status"], json.loads(answer["body"])["error"]["id"]) == (401, "session_inactive")


@pytest.mark.parametrize("name", [SIBLING, STRANGER], ids=["a sibling", "a stranger"])
@pytest.mark.parametrize("method", ["post", "delete"])
def test_a_form_of_others_on_our_path_is_the_applications_and_ends_nothing(build: Build, name: str, method: str) -> None:
    site = signed_in(build())
    others = site.others()
    site.open(name)
    site.chromium.execute_script(_SUBMIT, site.origin(APP) + SESSIONS + "?_method=DELETE", method)
    _wait_for(lambda: site.methods() == ["POST" if method == "post" else "GET"], site)
    assert site.arrived[0]["status"] == "200"
    assert site.live(others) == [True, True]


_SUBMIT: Final = """
const form = document.createElement("form");
[form.action, form.method] = [arguments[0], arguments[1]];
form.setAttribute("method", arguments[1]);
document.body.append(form);
form.submit();
"""


def _wait_for(done: Callable[[], bool], site: Site) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(site.chromium, PATIENCE, poll_frequency=0.02).until(lambda _: done())


# --- strangers' pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("granted", [(), (STRANGER,)], ids=["granted nothing", "granted CORS"])
@pytest.mark.parametrize("samesite", ["lax", "none"])
def test_a_strangers_page_ends_nothing(build: Build, granted: tuple[str, ...], samesite: str) -> None:
    site = signed_in(build(granted=granted, cookie_samesite=samesite))
    others = site.others()
    site.open(STRANGER)
    assert "failed" in site.press()
    assert site.methods() == (["OPTIONS", "DELETE"] if granted else ["OPTIONS"])
    for call in site.arrived[1:]:
        assert call["sec-fetch-site"] == "cross-site"
        assert call["status"] == ("403" if COOKIE in call.get("cookie", "") else "401")
    assert site.live(others) == [True, True]
    assert site.open(APP, "/me") == "ann"


def test_a_strangers_page_cannot_send_a_delete_without_asking(build: Build) -> None:
    site = signed_in(build())
    site.open(STRANGER)
    assert "failed" in site.press(mode="no-cors")
    assert site.arrived == []


def test_a_strangers_link_arrives_signed_in_and_a_strangers_form_does_not(build: Build) -> None:
    site = signed_in(build())
    site.open(STRANGER)
    site.chromium.execute_script("location.href = arguments[0]", site.origin(APP) + "/me")
    _wait_for(lambda: APP in site.chromium.current_url and site.chromium.execute_script("return document.readyState") == "complete", site)
    assert site.chromium.execute_script("return document.body.innerText.trim()") == "ann"
    site.open(STRANGER)
    site.chromium.execute_script(_SUBMIT, site.origin(APP) + "/me", "post")
    _wait_for(lambda: APP in site.chromium.current_url and site.chromium.execute_script("return document.readyState") == "complete", site)
    assert site.chromium.execute_script("return document.body.innerText.trim()") == "nobody"


# --- cookies that others plant ----------------------------------------------------------------------------------------


def test_cookies_that_a_sibling_plants_around_our_name_change_nothing(build: Build) -> None:
    site = signed_in(build())
    others = site.others()
    token = site.others(1, "eve")[0]
    evil = signed(token)
    domain = "; Domain=a.localhost; Path=/"
    site.planted = [
        f"{COOKIE}={evil}{domain}",  # refused by the browser
        f"{COOKIE}={evil}{domain}; Secure",
        f"{COOKIE.lower()}={evil}{domain}; Secure",
        f"={COOKIE}={evil}{domain}",
        f"\xa0{COOKIE}={evil}{domain}",
        f"\xa0{COOKIE}={evil}; Domain=a.localhost; Path=/auth",
        f"\x85{COOKIE}={evil}{domain}",
        f"\xc2\xa0{COOKIE}={evil}{domain}",
        f'x="a; {COOKIE}={evil}; y=b"{domain}',
        f"session-ward={evil}{domain}",
    ]
    site.open(SIBLING, "/plant")
    assert site.open(APP, "/me") == "ann"
    assert site.press() == {"status": 200, "body": '{"count": 2}'}
    sent = site.arrived[-1]["cookie"]
    assert sent.count(evil) >= 2  # some of them did come along
    assert site.live(others) == [False, False]
    assert b"eve" in site.ask("GET", "/me", ("X-Session-Token", token))


def test_a_twin_of_an_unprefixed_name_that_a_sibling_plants_is_refused_and_not_chosen(build: Build) -> None:
    site = signed_in(build(cookie_name="sid"))
    others = site.others()
    evil = signed(site.others(1, "eve")[0])
    site.planted = [f"sid={evil}; Domain=a.localhost; Path=/auth"]
    site.open(SIBLING, "/plant")
    assert site.open(APP, "/me") == "ann"
    answer = site.press()
    assert (answer["status"], json.loads(answer["body"])["error"]["id"]) == (400, "ambiguous_credentials")
    assert site.arrived[-1]["cookie"].count("sid=") == 2
    assert site.live(others) == [True, True]
