"""Who cannot see, or has no mouse, or reads from right to left, uses the page as everybody (WCAG 2.2, level AA)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.stage import Stage
from tests.doors.servers import PATIENCE

LANGUAGES: Final = ("en", "ja", "ar")
WIDTHS: Final = (320, 768, 1280)
SCHEMES: Final = ("light", "dark")
TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
"""``target-size`` (2.5.8) runs only with the last one."""

_RUN: Final = """
const done = arguments[arguments.length - 1];
axe.run(document, {runOnly: {type: "tag", values: arguments[0]}}).then(
  found => done({
    violations: found.violations.map(each => [each.id, each.nodes.map(node => node.html.slice(0, 200))]),
    passes: found.passes.map(each => each.id),
  }),
  failure => done({violations: [["axe", [String(failure)]]], passes: []}),
);
"""


def found_by(axe: str, stage: Stage) -> dict[str, Any]:
    stage.js(axe)
    found: dict[str, Any] = stage.chromium.execute_async_script(_RUN, TAGS)
    return found


def opened(stage: Stage, query: str = "") -> None:
    """The page, with all that unfolds unfolded."""
    stage.open(query)
    stage.js("for (const each of document.querySelectorAll('details')) each.open = true")


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_on_the_page(stage: Stage, axe: str, language: str) -> None:
    """Three widths, light and dark, with and without the question, after an answer, and with the dialog open."""
    ids = stage.household()
    for width in WIDTHS:
        for scheme in SCHEMES:
            stage.look(width=width, scheme=scheme, language=language)
            for query in ("", f"?ask={ids[0]}"):
                opened(stage, query)
                assert stage.js("return matchMedia(`(prefers-color-scheme: ${arguments[0]})`).matches", scheme)
                found = found_by(axe, stage)
                assert found["violations"] == [], (width, scheme, query)
                assert {"color-contrast", "target-size", "html-has-lang", "button-name"} <= {*found["passes"]}
                assert stage.js("return document.documentElement.scrollWidth") <= width
    stage.js("document.querySelector('.bar .ask button').click()")
    assert stage.js("return document.querySelector('dialog').open")
    assert found_by(axe, stage)["violations"] == []
    stage.js("document.querySelector('dialog .danger').click()")
    WebDriverWait(stage.chromium, PATIENCE).until(lambda _: stage.text("#answer"))
    assert found_by(axe, stage)["violations"] == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("query", ["", "?page_token=x"], ids=["not signed in", "no such page"])
def test_axe_finds_nothing_on_a_page_of_an_error(stage: Stage, axe: str, scheme: str, query: str) -> None:
    if query:
        stage.household()
    stage.look(width=320, scheme=scheme)
    stage.open(query)
    assert found_by(axe, stage)["violations"] == []


@pytest.mark.parametrize(
    ("spoilt", "rule"),
    [
        ("document.documentElement.removeAttribute('lang')", "html-has-lang"),
        ("document.querySelector('.lead').style.setProperty('color', '#ccc')", "color-contrast"),
        ("const b = document.querySelector('.bar .ask button'); b.textContent = ''; b.removeAttribute('aria-labelledby')", "button-name"),
        ("document.querySelector('#other-devices').removeAttribute('id'); document.querySelector('dl').append(document.createElement('p'))",
         "definition-list"),
    ],
    ids=["no language", "pale text", "a button without a name", "a broken list"],
)  # fmt: skip
def test_axe_would_find_a_fault(stage: Stage, axe: str, spoilt: str, rule: str) -> None:
    stage.household()
    opened(stage)
    stage.js(spoilt)
    assert rule in [name for name, _ in found_by(axe, stage)["violations"]]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_button_and_link_is_large_enough(stage: Stage, width: int) -> None:
    stage.household()
    stage.look(width=width)
    opened(stage)
    sizes = stage.js(
        "return [...document.querySelectorAll('main button, main a.button, main summary, nav a')].filter(e => e.offsetParent)"
        ".map(e => [e.textContent.trim(), e.getBoundingClientRect().width, e.getBoundingClientRect().height])"
    )
    assert len(sizes) > 10
    assert [each for each in sizes if each[1] < 24 or each[2] < 24] == []
    buttons = stage.js("return [...document.querySelectorAll('main button')].filter(e => e.offsetParent).map(e => e.offsetHeight)")
    assert min(buttons) >= 44


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_button_has_a_name_of_its_own(stage: Stage, language: str) -> None:
    stage.household()
    stage.look(language=language)
    opened(stage)
    nodes = stage.chromium.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    names = [node["name"]["value"] for node in nodes if not node["ignored"] and node.get("role", {}).get("value") == "button"]
    assert len(names) >= 9
    assert len(set(names)) == len(names), names
    if language == "en":
        assert any("Sign out" in name and "Safari on iPhone" in name and "Lisbon" in name for name in names)


def test_headings_have_no_gap_and_the_page_one_first(stage: Stage) -> None:
    stage.household()
    opened(stage)
    levels = stage.js("return [...document.querySelectorAll('h1,h2,h3,h4,h5')].filter(e => e.offsetParent).map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


# --- by keyboard ------------------------------------------------------------------------------------------------------


def pressed(stage: Stage, *keys: str) -> None:
    for key in keys:
        ActionChains(stage.chromium).send_keys(key).perform()


def focused(stage: Stage) -> str:
    text: str = stage.js("const e = document.activeElement; return e.id || e.textContent.trim()")
    return text


def tab_to(stage: Stage, name: str) -> None:
    for _ in range(80):
        pressed(stage, Keys.TAB)
        if focused(stage) == name:
            return
    raise AssertionError(f"no way to {name} by Tab")


def test_the_whole_by_keyboard(stage: Stage) -> None:
    """Tab to a row, Enter, Escape, Enter, Tab, Enter: the answer has the focus, and then all others."""
    safari = str(stage.household()[0])
    stage.open()
    tab_to(stage, f"b-{safari}")
    outline = stage.js("return getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px", "the focus is visible"
    pressed(stage, Keys.ENTER)
    assert stage.js("return document.querySelector('dialog').open")
    assert focused(stage) == "cancel"
    pressed(stage, Keys.ESCAPE)
    assert not stage.js("return document.querySelector('dialog').open")
    assert focused(stage) == f"b-{safari}"
    pressed(stage, Keys.ENTER)
    ActionChains(stage.chromium).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    pressed(stage, Keys.ENTER)
    WebDriverWait(stage.chromium, PATIENCE).until(lambda _: stage.text("#answer") == "The device has been signed out.")
    assert focused(stage) == "answer"
    assert stage.js("return document.getElementById('s-' + arguments[0])", safari) is None
    tab_to(stage, "Sign out everywhere else")
