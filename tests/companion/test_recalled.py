"""The short way of a browser that sends the same cookies again: its identifier is not asked, and all else is decided as before.

Every other test of this folder runs on it too, on the sides that are called *recalled*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Barrier, Thread
from typing import Any, ClassVar

import pytest

import sessionward
from sessionward import ASGIMiddleware
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import SQLBackend
from sessionward.credential import recent
from sessionward.door.handle import context_of
from sessionward.identify.flask import FlaskLogin
from sessionward.modes.companion.recalled import can_recall
from sessionward.session.identifier import IdentifierSpec, Identity
from sessionward.sidecar.gate import Gate
from tests.companion.conftest import Site
from tests.companion.identifiers import Signed, Tokens, sealed
from tests.companion.places import MemoryPlace
from tests.companion.shops import GONE, Browser, SigningShop
from tests.doors.sides import COOKIE, SECRET, SESSIONS, TEXT, ASGIHouse, Here, House, Reply

DOORS = pytest.mark.parametrize("side", ["asgi", "webtest"], indirect=True)


class Kept(Signed):
    """One whose answers may be kept."""

    cacheable = True


class WithSession(Kept):
    """Its logins name a session of the application, the number behind the user."""

    cacheable = True

    def identify(self, name: str, value: str, /) -> Identity | None:
        identity = super().identify(name, value)
        return identity and Identity(user_id=identity.user_id, session_id=value.partition(".")[2].partition(".")[0])


def signed_in(site: Site, identifier: Signed | None = None, **settings: Any) -> tuple[Signed, Browser]:
    """An identifier whose answers may be kept, and Ann's browser, which has loaded one page since it signed in."""
    shop = SigningShop()
    shop.identifier = identifier or Kept()
    browser = Browser(site.open(shop, **settings))
    browser.get("/login/ann.1")
    assert browser.me() == "ann"
    shop.identifier.asked.clear()
    return shop.identifier, browser


def _nothing(_browser: Browser) -> None:
    """A job does it, aside."""


@DOORS
def test_the_identifier_is_not_asked_about_the_same_cookies_again(site: Site) -> None:
    identifier, browser = signed_in(site)
    assert [browser.me(), browser.get("/sessions/session"), browser.me()] == ["ann"] * 3
    assert identifier.asked == []


@DOORS
def test_the_backend_is_asked_once_for_each_request(memory: Site) -> None:
    assert isinstance(memory.place, MemoryPlace)
    _, browser = signed_in(memory)
    memory.place.backend.asked.clear()
    browser.me()
    assert dict(memory.place.backend.asked) == {"find": 1}


@DOORS
@pytest.mark.parametrize(
    "end",
    [
        lambda browser: browser.cloned().get("/sessions/logout"),
        lambda browser: browser.cloned().get("/sessions/revoke_all/ann"),
        _nothing,
    ],
    ids=["logout", "revoke_all", "a job"],
)
def test_p1_a_companion_that_has_ended_is_refused_at_once(site: Site, end: Callable[[Browser], Any]) -> None:
    identifier, browser = signed_in(site)
    end(browser)
    if end is _nothing:
        site.place.aside.revoke_all("ann")
    assert browser.me() == "nobody"
    assert identifier.asked, "a flow has decided"


@DOORS
def test_other_cookies_are_read_anew(site: Site) -> None:
    identifier, browser = signed_in(site)
    browser.jar["session"] = sealed("ann.2")
    assert browser.me() == "ann"
    browser.jar["session"] = sealed("bob.1")
    assert browser.me() == "nobody", "the companion is Ann's, and Bob has never signed in here"
    assert identifier.asked == ["session", "session"]


@DOORS
@pytest.mark.parametrize("passes", [recent.MOMENT, -1.0, 86_400.0], ids=["a moment", "the clock is set back", "a day"])
def test_after_a_moment_they_are_read_anew(memory: Site, passes: float) -> None:
    identifier, browser = signed_in(memory)
    recalled = middleware(browser.house)._mode._recalled
    now = recalled._clock()
    recalled._clock = lambda: now + passes
    assert browser.me() == "ann"
    assert identifier.asked == ["session"]


@DOORS
@pytest.mark.parametrize(
    "fields",
    [
        [("X-Session-Token", "a token of the application")],
        [("Authorization", "Bearer 0123456789ABCDEFGHIJKLMNOP000000")],
    ],
    ids=["a token of another kind", "a bearer that is none of ours"],
)
def test_other_fields_do_not_change_what_is_decided(site: Site, fields: Sequence[tuple[str, str]]) -> None:
    _, browser = signed_in(site)
    assert browser.get("/me", *fields) == "ann"


@pytest.mark.parametrize("side", ["asgi"], indirect=True)
@pytest.mark.parametrize("first", [False, True], ids=["behind it", "in front"])
def test_a_second_cookie_field_is_read_too(site: Site, first: bool) -> None:
    """An application that joins the fields, or reads only one of them, would find another login there."""
    identifier, browser = signed_in(site)
    house = browser.house
    assert isinstance(house, ASGIHouse)
    same = ("Cookie", "; ".join(f"{name}={value}" for name, value in browser.jar.items()))
    other = ("Cookie", f"session={sealed('bob.1')}")
    answer = house.ask("GET", "/me", *([other, same] if first else [same, other]))
    assert answer.body == b"ann"
    assert identifier.asked == ["session", "session"], "both are judged, and Bob's is removed"
    assert sealed("bob.1").encode() not in b"".join(value for _, value in house.seen[-1].mapping["headers"])


@DOORS
def test_on_an_exempt_path_the_login_is_removed_all_the_same(site: Site) -> None:
    _, browser = signed_in(site, exempt_paths=["/static/"])
    assert [browser.me(), browser.get("/static/logo"), browser.me()] == ["ann", "nobody", "ann"]


@DOORS
def test_behind_the_applications_own_session_middleware_it_is_refused_all_the_same(site: Site) -> None:
    identifier = Kept()
    identifier.outer_key = "a.session"  # type: ignore[attr-defined]
    _, browser = signed_in(site, identifier)
    assert browser.ask("GET", "/me").status == 200
    assert browser.ask("GET", "/me", base={"a.session": {}}).status == 503


@DOORS
def test_a_login_that_names_a_session_is_not_kept_since_its_companion_may_move(site: Site) -> None:
    identifier, browser = signed_in(site, WithSession())
    before = browser.cloned()
    assert before.me() == "ann"
    browser.get("/login/ann.2")  # the application has given the browser another session
    assert browser.me() == "ann"
    identifier.asked.clear()
    assert before.me() == "nobody", "its session has ended, though the companion that it shows has not"
    assert identifier.asked == ["session"]


@DOORS
def test_a_companion_that_grows_old_is_extended_also_within_a_moment(memory: Site) -> None:
    identifier, browser = signed_in(memory, lifetime=1000)
    recalled = middleware(browser.house)._mode._recalled
    clock, passed = recalled._clock, 0.0
    recalled._clock = lambda: clock() + passed

    def passing(seconds: float) -> list[str]:
        nonlocal passed
        passed += seconds
        memory.place.pass_time(seconds)
        return browser.ask("GET", "/me").values("set-cookie")

    assert [passing(497), passing(1)] == [[], []]
    assert identifier.asked == ["session"], "the second one is recalled"
    (renewed,) = passing(recent.MOMENT - 0.4)
    assert renewed.startswith(f"{COOKIE}=")


@DOORS
def test_a_field_that_was_admitted_with_the_token_of_another_session_is_not_kept(site: Site) -> None:
    """The companion in the cookie is Bob's. Ann's token in the header has decided about Ann's login."""
    _, ann = signed_in(site)
    bob = Browser(ann.house)
    bob.get("/login/bob.1")
    token, ann.jar[COOKIE] = ann.jar[COOKIE].partition(".")[0], bob.jar[COOKIE]
    assert ann.get("/me", ("X-Session-Token", token)) == "ann"
    assert ann.me() == "nobody"


@DOORS
@pytest.mark.parametrize("kind", ["revoked", "forged", "live"])
def test_a_companion_cookie_beside_a_header_is_judged_by_itself(site: Site, kind: str) -> None:
    _, ann = signed_in(site)
    other = Browser(ann.house)
    other.get("/login/ann.2")
    assert other.me() == "ann"
    if kind == "revoked":
        assert ann.ask("DELETE", SESSIONS).json() == {"count": 1}
    token, ann.jar[COOKIE] = ann.jar[COOKIE].partition(".")[0], "forged" if kind == "forged" else other.jar[COOKIE]
    assert ann.get("/me", ("X-Session-Token", token)) == "ann"
    assert (COOKIE in (ann.house.seen[-1].header("cookie") or "")) == (kind == "live")


@DOORS
def test_what_is_kept_shows_no_cookie(memory: Site) -> None:
    _, browser = signed_in(memory)
    recalled = middleware(browser.house)._mode._recalled
    kept = recalled._admissions.values(recalled._clock())
    assert len(kept) == 1
    assert all(len(key) == 32 for key in kept)
    shown = repr(kept)
    assert all(part not in shown for value in browser.jar.values() for part in (value, value.partition(".")[0] + ".", value[:32]))


@DOORS
def test_where_a_request_went_is_known_though_a_framework_moves_it_to_a_mount(memory: Site) -> None:
    """The place of a cookie without Path depends on it."""
    _, browser = signed_in(memory)
    shop, ran = browser.house.handler, list[str]()
    assert isinstance(shop, SigningShop)

    async def moved(here: Here) -> Reply:
        path = here.path
        ran.append(path)
        reply = await shop(here)
        here.mapping.update({"SCRIPT_NAME": "/shop", "root_path": "/shop", "path": f"/shop{path}", "raw_path": b"/shop" + path.encode()})
        return reply

    browser.house.handler = moved
    places = middleware(browser.house)._mode._recalled._rules.places._seen
    places.clear()
    shop.attributes = "HttpOnly"
    assert browser.ask("GET", "/login/ann.1").status == 200
    assert (ran, {place.path for place in places}) == (["/login/ann.1"], {"/login"})


@pytest.mark.parametrize("side", ["asgi"], indirect=True)
def test_p8_an_application_that_changes_the_list_of_headers_signs_nobody_out(memory: Site) -> None:
    _, browser = signed_in(memory)
    shop = browser.house.handler

    async def taking(here: Here) -> Reply:
        here.mapping["headers"][:] = [field for field in here.mapping["headers"] if field[0] != b"cookie"]
        return Reply(fields=[*TEXT, ("Set-Cookie", f"remember={GONE}")])

    browser.house.handler = taking
    assert browser.ask("GET", "/me").values("set-cookie") == [f"remember={GONE}"]
    browser.house.handler = shop
    assert browser.me() == "ann"


@DOORS
def test_threads_that_ask_for_its_context_at_once_get_the_same(memory: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _, browser = signed_in(memory)
    mode = middleware(browser.house)._mode
    both, resume, contexts = Barrier(2, timeout=30), type(mode).resume, list[object]()

    def resuming(mode: Any, context: Any, location: Any) -> None:
        resume(mode, context, location)
        both.wait()  # each has found none

    monkeypatch.setattr(type(mode), "resume", resuming)

    async def asking(here: Here) -> Reply:
        handle = sessionward.of(here.mapping)
        threads = [Thread(target=lambda: contexts.append(context_of(handle))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Reply()

    browser.house.handler = asking
    browser.ask("GET", "/me")
    assert len(contexts) == 2
    assert contexts[0] is contexts[1]


def test_where_no_middleware_can_recall_nothing_is_remembered() -> None:
    """The gate of the sidecar, and ASGI over a sync server, which have no short way for this mode."""
    backend = MemoryBackend()
    server = SQLBackend("postgresql://ada@127.0.0.1/nothing")  # connects at the first question
    application = ASGIMiddleware(SigningShop(), server, identify=Kept(), secrets=[SECRET])  # type: ignore[arg-type]
    assert application._mode.recall is None
    assert Gate(backend, {"secrets": [SECRET], "identify": Kept()}).mode.recall is None
    assert middleware(ASGIHouse(SigningShop(), backend, identify=Kept()))._mode.recall is not None


def test_a_subclass_that_identifies_otherwise_says_anew_whether_its_answers_may_be_kept() -> None:
    class Otherwise(FlaskLogin):
        def identify(self, name: str, value: str, /) -> Identity | None:
            return super().identify(name, value)

    class AlsoKept(Otherwise):
        cacheable = True

    key = "a secret of the application"
    specs = [IdentifierSpec.of(kind(key)) for kind in (FlaskLogin, Otherwise, AlsoKept)]
    assert [spec.cacheable for spec in specs] == [True, False, True]


@pytest.mark.parametrize(
    ("declares", "goes"),
    [
        ({}, True),
        ({"cacheable": False}, False),
        ({"blocking": True}, False),
        ({"server_side": True}, False),
        ({"keeps_id_at_login": True}, False),
        ({"headers": Tokens.headers}, False),
    ],
    ids=["plain", "not cacheable", "blocking", "server_side", "keeps_id_at_login", "headers"],
)
def test_which_identifiers_allow_it(declares: dict[str, Any], goes: bool) -> None:
    identifier = Kept()
    for name, value in declares.items():
        setattr(identifier, name, value)
    assert can_recall(IdentifierSpec.of(identifier)) is goes


def test_an_async_identifier_does_not_allow_it() -> None:
    class Async:
        cookies: ClassVar[Sequence[str]] = ("session",)
        blocking: ClassVar[bool] = False
        cacheable: ClassVar[bool] = True

        async def identify(self, name: str, value: str, /) -> None: ...

    assert not can_recall(IdentifierSpec.of(Async()))


def middleware(house: House) -> Any:
    return house.app if isinstance(house, ASGIHouse) else house.door  # type: ignore[attr-defined]
