"""``middleware/BACKENDS.md`` tells of every promise, of the settings that the backends look at, and says where its figures come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from sessionward.backends.redis.startup import SETTINGS
from sessionward.backends.sql.galera import Galera
from sessionward.backends.sql.witness import OnRollback

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "middleware" / "BACKENDS.md").read_text(encoding="utf-8")


TOPICS: Final = set(
    re.findall(r'^    "(\w+)": \w+\.measure', (ROOT / "tests/benchmarks/__main__.py").read_text(encoding="utf-8"), re.MULTILINE)
)


def section(heading: str) -> str:
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, with its head."""
    lines = [line for line in section(heading).partition("| ")[1:][1].partition("\n\n")[0].splitlines() if "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


FAILURES: Final = table("What holds when something fails")
NOTES: Final = dict(re.findall(r"^- ([a-z]): (.*)$", section("What holds when something fails"), re.MULTILINE))


def test_every_promise_has_a_column() -> None:
    assert FAILURES[0][1:] == [f"P{number}" for number in range(1, 11)]


@pytest.mark.parametrize("row", FAILURES[1:], ids=lambda row: row[0])
def test_each_cell_says_that_the_promise_holds_or_has_a_note(row: list[str]) -> None:
    assert len(row) == 11
    assert set(row[1:]) <= {"✓", *NOTES}


def test_each_note_is_used() -> None:
    assert {cell for row in FAILURES[1:] for cell in row[1:]} == {"✓", *NOTES}


def test_every_setting_of_redis_that_the_backend_looks_at_is_explained() -> None:
    assert [name for name in SETTINGS if f"`{name}`" not in section("Redis")] == []


def test_every_choice_of_the_sql_backends_is_explained() -> None:
    choices = section("PostgreSQL").partition("| `on_rollback` |")[2]
    assert [choice.value for choice in OnRollback] == re.findall(r"^\| `(\w+)`", choices, re.MULTILINE)
    assert [choice.value for choice in Galera if choice is not Galera.REFUSE and choice.value not in section("MariaDB and MySQL")] == []


def test_the_commands_that_print_the_figures_exist() -> None:
    topics = set(re.findall(r"python -m tests\.benchmarks (\w+)", PAGE))
    assert topics
    assert topics <= TOPICS


def test_the_tests_that_show_it_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+(?:\.py|/))`", PAGE)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_no_table_is_empty() -> None:
    for head in re.finditer(r"^\|[-|]+\|$", PAGE, re.MULTILINE):
        assert PAGE[head.end() + 1 :].startswith("| "), PAGE[: head.start()].rpartition("\n\n")[2]
