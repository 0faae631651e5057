"""``middleware/STANDARDS.md`` names tests that exist, all items of a chapter, and the numbers of the code."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import sessionward
from sessionward.settings.limits import PROFILES

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = Path(sessionward.__file__).parent  # there may be no checkout
PAGE: Final = (ROOT / "middleware" / "STANDARDS.md").read_text(encoding="utf-8")
TESTS: Final = sorted(set(re.findall(r"`([a-z_/]+\.py)::(\w+)`", PAGE)))
ITEMS: Final = "1.1 1.2 1.3 2.1 2.2 2.3 2.4 3.1 3.2 4.1 4.2 4.3 4.4 4.5 5.1 5.2 5.3 6.1 6.2"
"""Of chapter V7: 19."""


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    section = PAGE.partition(f"## {heading}")[2].partition("\n## ")[0]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")]
    return found[1:]


@cache
def names_in(file: str) -> frozenset[str]:
    path = PACKAGE.parent / file if file.startswith("sessionward/") else ROOT / file
    return frozenset(re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("file", "name"), TESTS, ids=[f"{file}::{name}" for file, name in TESTS])
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    assert name in names_in(file)


def test_every_item_of_the_chapter_is_there_once_in_order() -> None:
    table = rows("OWASP ASVS 5.0, V7")
    assert [item for item, *_ in table] == [f"7.{item}" for item in ITEMS.split()]
    assert len(table) == 19


@pytest.mark.parametrize("heading", ["NIST SP 800-63B-4, sessions", "OWASP ASVS 5.0, V7"])
def test_a_line_names_a_test_or_says_why_it_is_the_applications(heading: str) -> None:
    table = rows(heading)
    assert table
    for *_, how in table:
        assert ("::test_" in how) != how.startswith("The application's"), how


def test_the_numbers_are_those_of_the_code() -> None:
    bounds = [(profile, *bound) for profile, bounds in PROFILES.items() for bound in bounds]
    shown = [(profile.strip("`"), setting.strip("`"), most, source) for profile, setting, most, source in rows("Time limits")]
    assert shown == [(profile, setting, f"{seconds:.0f} s", source) for profile, setting, seconds, source in bounds]
