"""The page in Chromium: with its script and without, under its own policy, and what other sites cannot do with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from sessionward import BackendUnavailable, OutcomeUnknown
from sessionward.api.page import Page
from tests.browser.stage import APP, HOSTILE, STRANGER, Stage, served
from tests.doors.servers import PATIENCE
from tests.doors.sides import SESSIONS


def until(stage: Stage, done: Any) -> None:
    WebDriverWait(stage.chromium, PATIENCE, poll_frequency=0.02).until(lambda _: done())


def confirm(stage: Stage, selector: str) -> None:
    """Presses a button of the page, and then the one of the question."""
    stage.js("document.querySelector(arguments[0]).click()", selector)
    stage.js("document.querySelector('dialog .danger').click()")


def rows(stage: Stage) -> int:
    count: int = stage.js("return document.querySelectorAll('.device:not(.current)').length")
    return count


# --- with its script --------------------------------------------------------------------------------------------------


def test_p1_the_button_for_all_others_says_the_true_number_and_leaves_what_is_left(stage: Stage) -> None:
    stage.household()
    stage.backend.revoke(*gone(stage))
    stage.open()
    before = rows(stage)
    confirm(stage, ".bar .ask button")
    until(stage, lambda: stage.text("#answer"))
    assert stage.text("#answer") == f"Done. {before - 1} other sign-ins have ended."
    assert rows(stage) == 1, "the impersonation stays"
    assert stage.js("return document.querySelectorAll('form.ask').length") == 0
    assert not stage.js("return document.querySelector('#after').hidden")
    assert stage.js("return document.activeElement.id") == "answer"
    assert stage.js("return location.pathname + location.search") == SESSIONS
    assert stage.js("return violated") == []


def gone(stage: Stage) -> tuple[str, Any]:
    """A session that ended elsewhere before the page was opened."""
    sessions = stage.backend.list("ann")
    return "ann", sessions[-1].id


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ja", "ar"])
def test_the_script_says_a_number_as_the_server_does(stage: Stage, language: str) -> None:
    """Each language has its plurals: Arabic six."""
    stage.look(language=language)
    for others in (0, 1, 2, 3, 11):
        said: list[str] = []
        for way in (_DELETE, _FORM):
            for _ in range(others + 1):
                stage.sign_in(f"{'script' if way is _DELETE else 'form'}{others}")
            stage.open()
            stage.js(way)
            until(stage, lambda: stage.text("#answer"))
            said.append(stage.text("#answer"))
        assert said[0].translate(_DIGITS) == said[1], (language, others)


_DIGITS: Final = str.maketrans("٠١٢٣٤٥٦٧٨٩", "0123456789")
_FORM: Final = f"""
const form = document.querySelector("dialog form");
form.action = "{SESSIONS}/revoke-others";
form.submit();
"""
_DELETE: Final = """
const form = document.createElement("form");
form.className = "ask";
form.dataset.id = "others";
document.body.append(form);
form.requestSubmit();
document.querySelector("dialog .danger").click();
"""


def test_one_device_is_signed_out_in_place(stage: Stage) -> None:
    ids = stage.household()
    stage.open()
    before = rows(stage)
    confirm(stage, f"#b-{ids[1]}")
    until(stage, lambda: stage.text("#answer"))
    assert stage.text("#answer") == "The device has been signed out."
    assert rows(stage) == before - 1
    assert stage.backend.list("ann").total == len(ids) - 1
    stage.open()
    assert rows(stage) == before - 1


@pytest.mark.parametrize(
    ("failure", "answer"),
    [
        pytest.param(
            BackendUnavailable("x"), "Your devices cannot be read or changed at the moment. Nothing was changed.", id="unavailable"
        ),
        pytest.param(OutcomeUnknown("x"), "We could not find out whether it worked.", id="outcome unknown"),
    ],
)
def test_p7_no_success_is_shown_that_the_server_has_not_said(stage: Stage, failure: Exception, answer: str) -> None:
    stage.household()
    stage.open()
    before = rows(stage)
    stage.backend.failure = failure
    confirm(stage, ".bar .ask button")
    until(stage, lambda: stage.text("#answer"))
    assert stage.text("#answer").startswith(answer)
    assert rows(stage) == before


def test_who_was_signed_out_meanwhile_gets_the_page_that_says_so(stage: Stage) -> None:
    stage.household()
    stage.open()
    stage.backend.revoke_all("ann")
    confirm(stage, ".bar .ask button")
    until(stage, lambda: stage.text("h1") == "You are not signed in")


def test_times_are_the_servers_and_not_those_of_a_wrong_clock(stage: Stage) -> None:
    stage.household()
    stage.open()
    words = stage.js("return [...document.querySelectorAll('time')].map(e => e.textContent)")
    stage.chromium.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "Date.now = () => 0; const D = Date; window.Date = class extends D {}"}
    )
    stage.open()
    assert stage.js("return [...document.querySelectorAll('time')].map(e => e.textContent)") == words
    assert "12 minutes ago" in words
    assert all(stage.js("return [...document.querySelectorAll('time')].map(e => e.title)"))


def test_back_and_forward_show_no_old_list(stage: Stage) -> None:
    """The browser keeps the page in spite of no-store, and the page then loads itself anew."""
    ids = stage.household()
    stage.open()
    before = rows(stage)
    stage.js("window.mark = 1")
    stage.chromium.get(stage.origin() + "/")
    stage.backend.revoke("ann", ids[0])
    stage.chromium.back()
    until(stage, lambda: stage.text("h1") == "Your devices" and rows(stage) == before - 1)


def test_a_reload_does_not_say_the_answer_again(stage: Stage) -> None:
    stage.household()
    stage.open("?ask=others")
    stage.js("document.querySelector('.question button').click()")
    until(stage, lambda: stage.text("#answer"))
    assert stage.text("#answer") == "Done. 8 other sign-ins have ended."
    assert stage.js("return location.search") == ""
    stage.chromium.refresh()
    assert stage.text("#answer") == ""


# --- without it -------------------------------------------------------------------------------------------------------


@pytest.fixture
def scriptless(stage: Stage) -> Iterator[Stage]:
    """A browser that runs no script of a page."""
    stage.household()
    stage.chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield stage
    stage.chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def press(stage: Stage, selector: str) -> None:
    """Presses what a person finds there, as soon as the page that was asked for has come."""
    wait = WebDriverWait(stage.chromium, PATIENCE, poll_frequency=0.02, ignored_exceptions=_COMING)
    wait.until(lambda browser: browser.find_element(By.CSS_SELECTOR, selector)).click()


def reads(stage: Stage, selector: str, text: str) -> None:
    """Waits until the page says so."""
    wait = WebDriverWait(stage.chromium, PATIENCE, poll_frequency=0.02, ignored_exceptions=_COMING)
    wait.until(lambda browser: text in browser.find_element(By.CSS_SELECTOR, selector).text)


_COMING: Final = (NoSuchElementException, StaleElementReferenceException)


def test_everything_works_without_javascript(scriptless: Stage) -> None:
    first = ".devices > .device:not(.impersonation) button"
    scriptless.open()
    reads(scriptless, "main", "12 minutes ago")
    press(scriptless, first)
    reads(scriptless, "#question-title", "Sign out \u2068Safari on iPhone\u2069?")
    press(scriptless, ".question a")
    until(scriptless, lambda: not scriptless.chromium.find_elements(By.CSS_SELECTOR, ".question"))
    press(scriptless, first)
    press(scriptless, ".question button")
    reads(scriptless, "#answer", "The device has been signed out.")
    reads(scriptless, "#after", "Was it not you? Change your password")
    press(scriptless, ".bar button")
    press(scriptless, ".question button")
    reads(scriptless, "#answer", "Done. 7 other sign-ins have ended.")
    assert scriptless.backend.list("ann").total == 2  # with the impersonation


# --- under its own policy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ar"])
def test_nothing_on_the_page_violates_its_policy(stage: Stage, language: str) -> None:
    ids = stage.household()
    stage.look(language=language)
    for query in ("", "?ask=others", f"?ask={ids[0]}", "?page_token=x"):
        stage.open(query)
        assert stage.js("return violated") == []
    assert [entry["message"] for entry in stage.chromium.get_log("browser") if "Content Security Policy" in entry["message"]] == []


@pytest.mark.parametrize(
    "attack",
    [
        "document.body.append(Object.assign(document.createElement('img'), {src: '/x.png'}))",
        "document.body.setAttribute('style', 'color: red')",
        "document.head.append(Object.assign(document.createElement('style'), {textContent: 'p { color: red }'}))",
        "try { document.body.innerHTML = '<b>x</b>' } catch (refused) {}",
        "document.body.append(Object.assign(document.createElement('iframe'), {src: '/'}))",
    ],
    ids=["a picture", "a style", "a sheet", "markup from a string", "a frame"],
)
def test_the_policy_would_stop_what_does_not_belong_there(stage: Stage, attack: str) -> None:
    """And the listener that the test above trusts hears it."""
    stage.household()
    stage.open()
    stage.js(attack)
    until(stage, lambda: stage.js("return violated.length") > 0)


def test_a_hostile_user_agent_is_text(stage: Stage) -> None:
    stage.household()
    stage.open()
    text = stage.js("return [...document.querySelectorAll('.agent code')].map(e => e.textContent).join('\\n')")
    assert "<img src=x onerror=alert(1)>" in text
    assert HOSTILE not in text, "its control of the direction is gone"
    assert stage.js("return document.querySelectorAll('img').length") == 0


def test_an_applications_sheet_and_logo_pass_the_policy(chromium: Any) -> None:
    with served(chromium, Page(name="Acme", css="/static/x.css", logo="/static/x.png", accent="teal")) as stage:
        stage.sign_in()
        stage.open()
        assert stage.js("return violated") == []
        assert stage.js("return getComputedStyle(document.querySelector('.danger') || document.body).colorScheme") == "light dark"


# --- other sites ------------------------------------------------------------------------------------------------------

_SUBMIT: Final = """
const form = document.createElement("form");
[form.action, form.method] = [arguments[0], "post"];
document.body.append(form);
form.submit();
"""


@pytest.mark.parametrize("name", ["evil.a.localhost", STRANGER], ids=["a sibling", "a stranger"])
def test_a_form_of_another_site_signs_nobody_out(stage: Stage, name: str) -> None:
    ids = stage.household()
    for path in ("/revoke-others", f"/{ids[0]}/revoke"):
        stage.chromium.get(stage.origin(name) + "/")
        stage.js(_SUBMIT, stage.origin(APP) + SESSIONS + path)
        # A stranger's POST has no cookie (SameSite=Lax); a sibling's has, and is refused by our rule.
        until(stage, lambda: stage.text(".problem code + br + code") in ("security_csrf_violation", "session_inactive"))
        assert stage.text(".problem code + br + code") == ("session_inactive" if name == STRANGER else "security_csrf_violation")
    assert stage.backend.list("ann").total == len(ids)


def test_a_link_of_another_site_makes_the_page_say_nothing(stage: Stage) -> None:
    stage.household()
    stage.chromium.get(stage.origin(STRANGER) + "/")
    stage.js("location.href = arguments[0]", stage.origin(APP) + SESSIONS + "?revoked=others-99-1800000000-" + "A" * 24)
    until(stage, lambda: stage.text("h1") == "Your devices")
    assert stage.text("#answer") == ""


def test_no_site_can_frame_the_page(stage: Stage) -> None:
    stage.household()
    stage.chromium.get(stage.origin("evil.a.localhost") + "/")
    stage.js("const f = document.createElement('iframe'); f.src = arguments[0]; document.body.append(f)", stage.origin(APP) + SESSIONS)
    until(stage, lambda: any("frame-ancestors" in entry["message"] for entry in stage.chromium.get_log("browser")))
