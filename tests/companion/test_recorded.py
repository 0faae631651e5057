"""Mode application over a store that writes revoked sessions back: what was revoked is kept out, and what is new is noted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from sessionward import BackendUnavailable
from sessionward.backends import Credential
from tests.companion.recorded import AsyncRenewing, AsyncWatching, FindingRevoked, Renewing, Seeing, Store, Watched, Watching, watched
from tests.companion.shops import Browser
from tests.doors.sides import ASGIHouse, House, ValidatedHouse, WebTestHouse
from tests.doors.test_websocket import handshake

CANARY: Final = "words-of-a-driver"
HOUSES: Final[dict[str, tuple[Callable[..., House], type[Any]]]] = {
    "asgi": (ASGIHouse, Watching),
    "asgi, async": (ASGIHouse, AsyncWatching),
    "webtest": (WebTestHouse, Watching),
    "wsgiref": (ValidatedHouse, Watching),
}


@pytest.fixture(params=HOUSES)
def site(request: pytest.FixtureRequest) -> Iterator[Watched]:
    house, store = HOUSES[request.param]
    made = watched(house, store(), exempt_paths=["/static/"])
    yield made
    made.house.close()


def test_a_live_session_passes_as_it_came_and_costs_one_question(site: Watched) -> None:
    assert site.ask("theme=dark;sid=a1;  lang=en").body == b"ann"
    assert site.saw == "theme=dark;sid=a1;  lang=en"
    assert site.store.asked == [{Credential(b"a1").digest}]


def test_a_revoked_one_is_taken_out_though_the_store_has_it_again(site: Watched) -> None:
    assert site.ask("sid=a1", "/auth/sessions", "DELETE").json() == {"count": 1}
    assert site.store.keys["a2"] == "ann"
    assert site.ask("theme=dark; sid=a2; lang=en").body == b"nobody"
    assert site.saw == "theme=dark; lang=en"
    assert site.ask("sid=a2").body == b"nobody"
    assert site.saw is None
    assert [site.ask("sid=a1").body, site.ask("sid=b1").body] == [b"ann", b"bob"]


@pytest.mark.parametrize(
    "pair", ['"sid"=a2', "\x0bsid=a2", "%73id=a2", 'sid="\\141\\062"', "x=1 sid=a2", 'x="1"sid=a2', "sid=a2 x", "si\xadd=a2", "x=1, sid=a2"]
)
def test_an_odd_spelling_is_taken_out_revoked_or_not(site: Watched, pair: str) -> None:
    site.ask(f"theme=dark; {pair}; sid=a1")
    assert site.saw == "theme=dark; sid=a1"


def test_of_doubled_ones_only_the_revoked_is_taken_out(site: Watched) -> None:
    site.store.revoke_keys("a2")
    assert site.ask("sid=a2; sid=b1; sid=a2").body == b"bob"
    assert site.saw == "sid=b1"


@pytest.mark.parametrize("cookie", ["", "theme=dark", "sids=a1; xsid=a1"])
def test_without_a_session_cookie_nothing_is_asked(site: Watched, cookie: str) -> None:
    site.ask(cookie)
    assert (site.store.asked, site.saw) == ([], cookie or None)


def test_an_exempt_path_asks_nothing_and_sees_no_session(site: Watched) -> None:
    assert site.ask("sid=a1; theme=dark", "/static/app.css").body == b"nobody"
    assert (site.saw, site.store.asked) == ("theme=dark", [])


@pytest.mark.parametrize("failure", [BackendUnavailable(CANARY), RuntimeError(CANARY), TimeoutError(CANARY)])
def test_p7_a_record_that_cannot_be_read_is_503(site: Watched, failure: Exception) -> None:
    site.store.on["which_revoked"] = raising(failure)
    answer = site.ask("sid=a1")
    assert (answer.status, answer.error, site.application.cookies) == (503, "backend_unavailable", [])
    assert CANARY not in answer.body.decode()
    assert site.ask("theme=dark").status == 200


# --- the answer -------------------------------------------------------------------------------------------------------


def test_a_new_session_is_noted_and_no_other_cookie(site: Watched) -> None:
    site.sets("sid=c1; Path=/", "theme=dark", "sid=; Max-Age=0", "sids=1")
    answer = site.ask("")
    assert len(answer.values("set-cookie")) == 4
    assert site.store.asked == ["c1"]


def test_an_answer_without_a_session_cookie_asks_nothing(site: Watched) -> None:
    site.sets("theme=dark")
    site.ask("")
    assert site.store.asked == []


def test_p6_a_revoked_session_that_is_set_again_stays_outside(site: Watched) -> None:
    site.store.revoke_keys("a2")
    site.sets("sid=a2; Path=/")
    browser = Browser(site.house)
    browser.get("/")
    assert browser.jar == {"sid": "a2"}
    assert [browser.me(), site.saw] == ["nobody", None]


def test_p9_an_answer_on_its_way_while_its_session_was_revoked_sets_no_new_one(site: Watched) -> None:
    site.application.meanwhile = lambda: site.store.revoke_keys("a1")
    site.sets("sid=c1; Path=/", "theme=dark")
    answer = site.ask("sid=a1")
    assert (answer.body, answer.values("set-cookie")) == (b"ann", ["theme=dark"])
    assert site.store.asked[-2:] == ["c1", {Credential(b"a1").digest}], "noted before it is asked, so that no revocation can fall between"


def test_who_came_with_a_revoked_session_can_sign_in(site: Watched) -> None:
    site.store.revoke_keys("a1")
    site.sets("sid=c1; Path=/")
    assert site.ask("sid=a1").values("set-cookie") == ["sid=c1; Path=/"]
    assert site.store.asked[-1] == "c1"


def test_a_deletion_goes_out_whatever_was_revoked(site: Watched) -> None:
    site.application.meanwhile = lambda: site.store.revoke_keys("a1")
    site.sets("sid=; Path=/; Max-Age=0")
    assert site.ask("sid=a1").values("set-cookie") == ["sid=; Path=/; Max-Age=0"]


def test_a_record_that_is_silent_after_the_application_costs_the_cookie_and_not_the_answer(site: Watched) -> None:
    site.application.meanwhile = lambda: site.store.on.update(which_revoked=raising(RuntimeError(CANARY)))
    site.sets("sid=c1; Path=/", "theme=dark", "sid=; Max-Age=0")
    answer = site.ask("sid=a1")
    assert (answer.status, answer.values("set-cookie")) == (200, ["theme=dark", "sid=; Max-Age=0"])
    assert site.store.asked[-2:] == ["c1", {Credential(b"a1").digest}], "noted before it is asked, so that no revocation can fall between"


def test_an_index_that_is_silent_costs_nothing_and_is_logged(site: Watched, caplog: pytest.LogCaptureFixture) -> None:
    site.store.on["note"] = raising(RuntimeError(CANARY))
    site.sets("sid=c1; Path=/")
    with caplog.at_level(logging.ERROR, "sessionward"):
        assert site.ask("").values("set-cookie") == ["sid=c1; Path=/"]
    assert "Note" in caplog.text
    assert CANARY not in caplog.text
    assert "c1" not in caplog.text


def test_a_browser_that_was_put_out_comes_back_by_a_sign_in_only(site: Watched) -> None:
    browser = Browser(site.house, {"sid": "a2"})
    site.ask("sid=a1", "/auth/sessions", "DELETE")
    assert [browser.me(), browser.me()] == ["nobody", "nobody"]
    site.store.keys["c1"] = "ann"
    site.sets("sid=c1; Path=/")
    browser.get("/")
    site.sets()
    assert browser.me() == "ann"


# --- the other carriers -----------------------------------------------------------------------------------------------


def test_a_revoked_key_in_a_header_is_taken_out_like_one_in_a_cookie(site: Watched) -> None:
    site.store.revoke_keys("a2")
    for value, passes in (("a2", False), (" a2 ", False), ("a2, x", False), ("x,a2", False), ("a1", True)):
        site.house.ask("GET", "/", ("X-Key", value), ("Cookie", "sid=b1"))
        assert (site.application.headers[-1] is not None) is passes, value
        assert site.saw == "sid=b1"


def test_p9_an_answer_to_a_header_whose_session_was_revoked_sets_no_cookie(site: Watched) -> None:
    site.application.meanwhile = lambda: site.store.revoke_keys("a1")
    site.sets("sid=c1; Path=/")
    assert site.house.ask("GET", "/", ("X-Key", "a1")).values("set-cookie") == []


# --- firm rows, whose keys may change in flight -----------------------------------------------------------------------


@pytest.fixture(params=[(ASGIHouse, Renewing), (ASGIHouse, AsyncRenewing), (WebTestHouse, Renewing), (ValidatedHouse, Renewing)])
def firm(request: pytest.FixtureRequest) -> Iterator[Watched]:
    house, store = request.param
    made = watched(house, store(), exempt_paths=["/static/"])
    yield made
    made.house.close()


def test_an_ordinary_answer_costs_no_question(firm: Watched) -> None:
    for set_cookie in ("theme=dark", "sid=a1; Path=/", 'sid="a1"', "sid=; Max-Age=0", "sid=gone; Expires=Thu, 01 Jan 1970 00:00:00 GMT"):
        firm.sets(set_cookie)
        assert firm.ask("theme=dark;sid=a1").values("set-cookie") == [set_cookie]
        assert (firm.saw, firm.store.asked) == ("theme=dark;sid=a1", [])


def test_p9_a_new_key_for_a_session_that_was_revoked_meanwhile_does_not_go_out(firm: Watched) -> None:
    firm.application.meanwhile = lambda: firm.store.revoke_keys("a1")
    firm.sets("sid=c1; Path=/", "theme=dark")
    assert firm.ask("sid=a1").values("set-cookie") == ["theme=dark"]
    assert firm.house.ask("GET", "/", ("X-Key", "a1")).values("set-cookie") == ["theme=dark"]
    assert firm.ask("sid=a2; sid=a1").values("set-cookie") == ["theme=dark"]
    assert firm.store.asked == [("c1", ["a1"]), ("c1", ["a1"]), ("c1", ["a1", "a2"])]
    assert firm.ask("sid=a2").values("set-cookie") == ["sid=c1; Path=/", "theme=dark"]


@pytest.mark.parametrize(
    "pair", ['"sid"=a1', "\x0bsid=a1", 'sid="\\141\\061"', "x=1 sid=a1", ";".join(f"sid=x{number}" for number in range(17))]
)
def test_a_key_that_only_some_frameworks_read_is_taken_out(firm: Watched, pair: str) -> None:
    for path in ("/", "/static/app.css"):
        firm.house.ask("GET", path, ("Cookie", f"theme=dark; {pair}"))
        assert (firm.saw, firm.store.asked) == ("theme=dark", [])


def test_p7_a_silent_backend_costs_the_new_key(firm: Watched) -> None:
    """Of who came without one too: a revocation might not find a session that was not noted."""
    firm.store.on["renewed"] = raising(RuntimeError(CANARY))
    firm.sets("sid=c1; Path=/")
    assert [firm.ask(cookie).values("set-cookie") for cookie in ("sid=a1", "")] == [[], []]


# --- who has only one of both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("house", [ASGIHouse, WebTestHouse])
def test_a_backend_that_only_notes_looks_at_no_request(house: Callable[..., House]) -> None:
    site = watched(house, Seeing())
    site.sets("sid=c1; Path=/")
    answer = site.ask('"sid"=a1; sid=a2')
    assert (answer.values("set-cookie"), site.saw, site.store.asked) == (["sid=c1; Path=/"], '"sid"=a1; sid=a2', ["c1"])
    site.house.close()


@pytest.mark.parametrize("house", [ASGIHouse, WebTestHouse])
def test_a_backend_that_only_remembers_notes_nothing(house: Callable[..., House]) -> None:
    site = watched(house, FindingRevoked())
    site.store.revoke_keys("a2")
    site.sets("sid=c1; Path=/")
    assert [site.ask("sid=a2").body, site.ask("").values("set-cookie")] == [b"nobody", ["sid=c1; Path=/"]]
    site.application.meanwhile = lambda: site.store.revoke_keys("a1")
    assert site.ask("sid=a1").values("set-cookie") == []
    site.house.close()


@pytest.mark.parametrize("house", [ASGIHouse, WebTestHouse])
def test_a_backend_that_does_neither_touches_nothing(house: Callable[..., House]) -> None:
    site = watched(house, Store())
    site.store.revoke_keys("a2")
    site.sets("sid=a2; Path=/")
    answer = site.ask('"sid"=a1; sid=a2')
    assert (answer.values("set-cookie"), site.saw) == (["sid=a2; Path=/"], '"sid"=a1; sid=a2')
    site.house.close()


def test_a_handshake_is_watched_as_well() -> None:
    store = Watching()
    store.revoke_keys("a1")
    headers: list[Any] = []

    async def accepts(scope: Any, receive: Any, send: Any) -> None:
        headers.append(scope["headers"])
        await receive()
        store.revoke_keys("a2")
        await send({"type": "websocket.accept", "headers": [(b"set-cookie", b"sid=c1"), (b"set-cookie", b"sid=; Max-Age=0")]})

    sent, _ = handshake(accepts, store, ("Cookie", "theme=dark; sid=a1"))
    assert (headers[0], len(sent[0]["headers"]), store.asked[-1]) == ([(b"cookie", b"theme=dark")], 2, "c1")
    sent, _ = handshake(accepts, store, ("Cookie", "sid=a3"))
    assert (headers[1], len(sent[0]["headers"])) == ([(b"cookie", b"sid=a3")], 2)
    store.revoked.clear()
    sent, _ = handshake(accepts, store, ("Cookie", "sid=a2"))
    assert (headers[2], sent[0]["headers"]) == ([(b"cookie", b"sid=a2")], [(b"set-cookie", b"sid=; Max-Age=0")])


def raising(failure: Exception) -> Callable[[], object]:
    def fail() -> None:
        raise failure

    return fail
