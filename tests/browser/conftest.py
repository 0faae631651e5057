"""One Chromium for all tests of the page, and axe-core."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.stage import Stage, served
from tests.doors.browser import running_chromium
from tests.support.services import missing


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with an empty profile. It notes what a page violates of its own policy."""
    with running_chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument",
            {"source": "window.violated = []; addEventListener('securitypolicyviolation', e => violated.push(e.violatedDirective))"},
        )
        yield browser


@pytest.fixture
def stage(chromium: Any) -> Iterator[Stage]:
    """The page of an application, with nobody signed in."""
    with served(chromium) as stage:
        stage.look()
        yield stage


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which is in SESSIONWARD_TEST_NPM: ``npm install --prefix DIRECTORY axe-core``."""
    path = Path(os.environ.get("SESSIONWARD_TEST_NPM", "node_modules"), "node_modules", "axe-core", "axe.min.js")
    if not path.is_file():
        missing("axe-core", "SESSIONWARD_TEST_NPM names no directory with it")
    return path.read_text(encoding="utf-8")
