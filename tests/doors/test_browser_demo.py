"""A real browser, and the page of ``sessionward demo``: by keyboard alone, as wide as a phone, nothing in the console."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from sessionward.cli.demo.page import counted
from tests.doors.browser import running_chromium
from tests.doors.servers import PATIENCE
from tests.support.demo import running_demo

PHONE: Final = (390, 844)
NARROWEST: Final = (320, 640)
"""Pixels: a phone of today, and what WCAG 2.2 (1.4.10) calls the narrowest."""
BUTTON: Final = "Sign out my other devices"


@pytest.fixture
def chromium_twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, Person]]:
    """Two people in front of browsers with profiles of their own."""
    with running_demo(tmp_path_factory.mktemp("demo")) as (_, port):
        address = f"http://127.0.0.1:{port}/"
        with running_chromium(tmp_path_factory.mktemp("one")) as one, running_chromium(tmp_path_factory.mktemp("another")) as another:
            yield Person(one, address), Person(another, address)


class Person:
    """Somebody with a keyboard and no mouse, who looks at the page on a phone."""

    def __init__(self, chromium: Any, address: str) -> None:
        self.chromium = chromium
        self.resize(PHONE)
        chromium.get(address)

    def resize(self, size: tuple[int, int]) -> None:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": True}
        self.chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def type(self, *keys: str, over: bool = False) -> None:
        """Press these keys; ``over`` what the field holds already."""
        from selenium.webdriver import ActionChains, Keys

        actions = ActionChains(self.chromium)
        if over:
            actions.key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
        actions.send_keys(*keys).perform()

    def tab_to(self, what: str) -> None:
        """Press Tab until this has the focus, and see that it shows."""
        from selenium.webdriver import Keys

        for _ in range(4):
            if self.look("const e = document.activeElement; return e.id || e.innerText") == what:
                break
            self.type(Keys.TAB)
        style = self.look("const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)]")
        assert self.look("return document.activeElement.id || document.activeElement.innerText") == what
        assert style == ["solid", 3]

    def look(self, script: str) -> Any:
        return self.chromium.execute_script(script)

    def sees(self, selector: str, text: str) -> None:
        """Wait until this part of the page says so."""
        from selenium.webdriver.support.wait import WebDriverWait

        script = f"return document.querySelector('{selector}')?.innerText ?? ''"
        WebDriverWait(self.chromium, PATIENCE, poll_frequency=0.05).until(lambda _: text in self.look(script), f"{selector}: {text}")

    def can_read_without_scrolling_sideways(self) -> None:
        for size in (NARROWEST, PHONE):
            self.resize(size)
            assert self.look("return [innerWidth, document.documentElement.scrollWidth]") == [size[0], size[0]]

    def console(self) -> list[str]:
        """What the browser complains of: errors, and violations of the page's policy."""
        return [entry["message"] for entry in self.chromium.get_log("browser")]


def test_two_people_sign_each_other_out_by_keyboard_alone(chromium_twice: tuple[Person, Person]) -> None:
    from selenium.webdriver import Keys

    one, another = chromium_twice
    for person in chromium_twice:
        person.tab_to("name")
        person.can_read_without_scrolling_sideways()
        person.type("ada", Keys.ENTER, over=True)
        person.sees("h1", "Signed in as ada")
        person.can_read_without_scrolling_sideways()
    one.sees("#devices li:nth-child(3)", "Laptop in the terminal")  # the story has left it signed in

    one.tab_to(BUTTON)
    one.type(Keys.ENTER)
    one.sees("[role=status]", counted(2))
    one.sees("#wire", '200 {"count": 2}')
    one.can_read_without_scrolling_sideways()
    another.sees("[role=status]", "This browser has been signed out.")
    another.sees("h1", "Sign in")
    another.can_read_without_scrolling_sideways()
    one.tab_to(BUTTON)
    one.type(Keys.SPACE)
    one.sees("[role=status]", counted(0))
    assert one.look("return document.querySelectorAll('#devices li').length") == 1

    another.tab_to("name")
    another.type(Keys.ENTER)
    another.sees("h1", "Signed in as ada")
    another.tab_to(BUTTON)
    another.type(Keys.ENTER)
    another.sees("[role=status]", counted(1))
    one.sees("[role=status]", "This browser has been signed out.")
    assert one.look("return document.activeElement.innerText") == "Sign in"  # the button that had the focus is gone
    assert [person.console() for person in chromium_twice] == [[], []]
