"""Each promise is named at the lines that keep it, and in the contract that states it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sessionward

ROOT = Path(__file__).parent.parent
HOUSE = Path(sessionward.__file__).parent
PROMISES = [f"P{number}" for number in range(1, 11)]
CONTRACT = (ROOT / "middleware" / "CONTRACT.md").read_text(encoding="utf-8")

KEPT_IN = {
    "P1": "backends/sql/executor.py",
    "P2": "backends/sql/queries.py",
    "P3": "backends/sql/queries.py",
    "P4": "backends/sql/executor.py",
    "P5": "backends/sql/queries.py",
    "P6": "backends/sql/queries.py",
    "P7": "flow.py",
    "P8": "backends/sql/tables.py",
    "P9": "modes/own.py",
    "P10": "backends/sql/queries.py",
}
"""One place of each, that a reader who looks for it must find."""


P2_IN_BACKENDS = ("backends/memory/backend.py", "backends/sql/queries.py", "backends/table/queries.py", "backends/django/revoke.py")


@pytest.mark.parametrize("file", P2_IN_BACKENDS)
def test_every_backend_names_the_second_look(file: str) -> None:
    assert [line for line in lines_with("P2", HOUSE / file) if "# P2" in line]


def lines_with(promise: str, file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if re.search(rf"\b{promise}\b", line)]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_named_at_the_line_that_keeps_it(promise: str) -> None:
    assert [
        line
        for line in lines_with(promise, HOUSE / KEPT_IN[promise])
        if f"# {promise}" in line or f'"""{promise}' in line or f"({promise})" in line
    ]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_stated_in_the_contract(promise: str) -> None:
    assert re.search(rf"^\| {promise} ", CONTRACT, re.MULTILINE)


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_tests_that_carry_its_number(promise: str) -> None:
    named = re.compile(rf"def test_{promise.lower()}_")
    folders = ROOT / "tests", HOUSE / "testing"
    assert any(named.search(file.read_text(encoding="utf-8")) for folder in folders for file in folder.rglob("*.py"))


def test_nothing_here_cites_a_page_that_is_not_in_the_repository() -> None:
    pages = {path.name for path in ROOT.rglob("*.md") if ".venv" not in path.parts}
    for file in [*HOUSE.rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "middleware").glob("*.md")]:
        cited = set(re.findall(r"\b([A-Za-z][A-Za-z_-]+\.md)\b", file.read_text(encoding="utf-8")))
        assert cited <= pages, f"{file.name} cites {cited - pages}"


def test_every_section_of_the_contract_that_is_cited_exists() -> None:
    sections = set(re.findall(r"^## (\d+)\.", CONTRACT, re.MULTILINE))
    for file in HOUSE.rglob("*.py"):
        cited = set(re.findall(r"CONTRACT\.md (\d+)", file.read_text(encoding="utf-8")))
        assert cited <= sections, f"{file.name} cites {cited - sections}"
