"""A backend or an identifier that does not answer: 503 before the application, and after it the cookies are dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import pytest

from sessionward import BackendUnavailable, OutcomeUnknown, SessionRevoked, StaleLogin
from tests.companion.conftest import Site
from tests.companion.identifiers import sealed
from tests.companion.shops import Browser
from tests.doors.sides import COOKIE, SESSIONS

CANARY: Final = "words-of-a-driver"
FAILURES: Final = [BackendUnavailable(CANARY), OutcomeUnknown(CANARY), RuntimeError(CANARY), TimeoutError(CANARY), KeyError(CANARY)]
WRONG: Final = [RuntimeError(CANARY), ValueError(CANARY), TimeoutError(CANARY), AssertionError(CANARY), ConnectionRefusedError(CANARY)]


def raising(failure: Exception) -> Callable[[], Any]:
    def fail() -> None:
        raise failure

    return fail


def fails(site: Site, question: str, failure: Exception) -> None:
    site.place.backend.on[question] = raising(failure)


def of(failure: object) -> str:
    return type(failure).__name__


# --- before -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", FAILURES, ids=of)
@pytest.mark.parametrize("question", ["find", "companion_status"])
def test_p7_a_backend_that_is_silent_before_the_application_is_503(memory: Site, question: str, failure: Exception) -> None:
    _, browser = memory.signing()
    browser.jar["session"] = sealed("ann.1")
    if question == "find":
        browser.me()
    calls, jar = len(browser.house.seen), dict(browser.jar)
    fails(memory, question, failure)
    answer = browser.ask("GET", "/me")
    assert (answer.status, len(browser.house.seen), browser.jar) == (503, calls, jar)
    assert answer.error == ("outcome_unknown" if isinstance(failure, OutcomeUnknown) else "backend_unavailable")
    assert CANARY not in answer.body.decode()


@pytest.mark.parametrize("failure", WRONG, ids=of)
@pytest.mark.parametrize("companion", [False, True], ids=["without a companion", "with one"])
def test_p7_an_identifier_that_raises_is_503_and_is_named_in_the_log(
    memory: Site, companion: bool, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    if companion and "recalled" in memory.side:
        pytest.skip("the identifier is not asked")
    shop, browser = memory.signing()
    browser.jar["session"] = sealed("ann.1")
    if companion:
        browser.me()
    calls = len(browser.house.seen)
    shop.identifier.before = raising(failure)
    with caplog.at_level(logging.ERROR, "sessionward"):
        answer = browser.ask("GET", "/me")
    assert (answer.status, answer.error, len(browser.house.seen)) == (503, "backend_unavailable", calls)
    name = "Awaited" if "async" in memory.side else "Signed"
    assert f"the identifier {name} did not answer Identify" in caplog.text
    assert of(failure) in caplog.text
    assert CANARY not in caplog.text + answer.body.decode()
    assert sealed("ann.1") not in caplog.text + answer.body.decode()


def test_p7_the_button_is_503_when_the_identifier_raises(memory: Site) -> None:
    shop, browser = memory.signing()
    browser.get("/login/ann.1")
    other = Browser(browser.house)
    other.get("/login/ann.2")
    shop.identifier.before = raising(RuntimeError(CANARY))
    assert browser.ask("DELETE", SESSIONS).status == 503
    del shop.identifier.before
    shop.identifier.before = int
    assert [browser.me(), other.me()] == ["ann", "ann"]


# --- after ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [*FAILURES, StaleLogin(CANARY), SessionRevoked(CANARY)], ids=of)
@pytest.mark.parametrize(
    ("question", "prepared", "path"),
    [
        pytest.param("login", "", "/remember/ann.1", id="a sign-in"),
        pytest.param("login", "bob", "/remember/ann.1", id="a sign-in of somebody else"),
        pytest.param("adopt", "from before", "/login/ann.2", id="an adoption, rolling"),
        pytest.param("adopt", "from before", "/me", id="an adoption"),
        pytest.param("find", "ann", "/login/ann.2", id="a second look"),
        pytest.param("extend", "old", "/login/ann.2", id="a renewal"),
    ],
)
def test_a_backend_that_is_silent_after_the_application_costs_the_cookies_and_not_the_answer(
    memory: Site, question: str, prepared: str, path: str, failure: Exception
) -> None:
    shop, browser = memory.signing()
    match prepared:
        case "ann" | "bob":
            browser.get(f"/login/{prepared}.1")
        case "from before":
            browser.jar["session"] = sealed("ann.1")
        case "old":
            browser.get("/login/ann.1")
            memory.place.pass_time(600)
    shop.fields = [("Set-Cookie", "theme=dark"), ("X-Other", "kept")]
    shop.meanwhile = lambda: fails(memory, question, failure)
    answer = browser.ask("GET", path)
    assert (answer.status, answer.values("set-cookie"), answer.value("x-other")) == (200, ["theme=dark"], "kept")


@pytest.mark.parametrize("failure", WRONG, ids=of)
@pytest.mark.parametrize("path", ["/login/ann.1", "/remember/bob.2"])
@pytest.mark.parametrize("signed_in", [False, True], ids=["nobody", "Ann"])
def test_an_identifier_that_raises_after_the_application_costs_the_cookies_and_not_the_answer(
    memory: Site, signed_in: bool, path: str, failure: Exception
) -> None:
    shop, browser = memory.signing()
    if signed_in:
        browser.get("/login/ann.1")
    live = len(memory.place.live())

    def breaks() -> None:
        shop.identifier.before = raising(failure)

    shop.meanwhile = breaks
    answer = browser.ask("GET", path)
    assert (answer.status, answer.values("set-cookie"), len(memory.place.live())) == (200, [], live)


@pytest.mark.parametrize("failure", FAILURES, ids=of)
def test_a_logout_goes_out_though_the_backend_is_silent(memory: Site, failure: Exception) -> None:
    shop, browser = memory.signing()
    browser.get("/remember/ann.1")
    shop.meanwhile = lambda: fails(memory, "revoke", failure)
    answer = browser.ask("GET", "/logout")
    deleted = {value.partition("=")[0] for value in answer.values("set-cookie") if "Max-Age=0" in value}
    assert (answer.status, deleted) == (200, {"session", "remember", COOKIE})


def test_a_question_that_nobody_asks_may_fail(memory: Site) -> None:
    """With its live companion a login costs one look, and nothing else is asked."""
    shop, browser = memory.signing()
    browser.get("/login/ann.1")
    for question in ("companion_status", "adopt", "login", "extend", "revoke", "begin_login"):
        fails(memory, question, RuntimeError(CANARY))
    shop.identifier.asked.clear()
    memory.place.backend.asked.clear()
    assert browser.me() == "ann"
    identified = [] if "recalled" in memory.side else ["session"]
    assert (dict(memory.place.backend.asked), shop.identifier.asked) == ({"find": 1}, identified)
