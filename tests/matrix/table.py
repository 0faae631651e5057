"""The matrix as a Markdown table: made of what came of the checks, and read back from a page."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.matrix.cells import FRAMEWORKS, Outcome
from tests.matrix.checks import CHECKS

Cell = tuple[str, str]
"""A framework and a check, by the names that stand in the tests' ids."""


def markdown(outcomes: Mapping[Cell, Outcome]) -> str:
    """One line for each framework, one column for each check; below, the claims, and why some do not apply."""
    numbers = [check.partition("-")[0] for check in CHECKS]
    notes: dict[str, str] = {}
    lines = [f"| | {' | '.join(numbers)} |", f"|---|{'---|' * len(numbers)}"]
    for name, framework in FRAMEWORKS.items():
        cells = [_shown(outcomes[name, check], notes) for check in CHECKS]
        lines.append(f"| {framework.title} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}: {_said(check)}" for number, check in zip(numbers, CHECKS, strict=True)), ""]
    lines += [f"({letter}) does not apply because {why}." for why, letter in notes.items()]
    return "\n".join(lines)


def read(page: str) -> dict[Cell, Outcome]:
    """What :func:`markdown` was given to make the table of a page."""
    reasons = dict(re.findall(r"^\((\w)\) does not apply because (.+)\.$", page, re.MULTILINE))
    names = {framework.title: name for name, framework in FRAMEWORKS.items()}
    outcomes: dict[Cell, Outcome] = {}
    for line in page.splitlines():
        title, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if title in names and len(cells) == len(CHECKS):
            for check, shown in zip(CHECKS, cells, strict=True):
                why = reasons.get(shown.strip("()"))
                outcomes[names[title], check] = Outcome("passed" if shown == "✓" else "does not apply" if why else "failed", why or "")
    return outcomes


def _shown(outcome: Outcome, notes: dict[str, str]) -> str:
    if outcome.verdict == "does not apply":
        return f"({notes.setdefault(outcome.why, 'abcdefghij'[len(notes)])})"
    return "✓" if outcome.verdict == "passed" else outcome.verdict.upper()


def _said(check: str) -> str:
    """The claim of a check, in its own words."""
    return " ".join((CHECKS[check].__doc__ or "").split()) + "  "


def cells() -> list[Cell]:
    """Every cell of the matrix, in reading order."""
    return [(framework, check) for framework in FRAMEWORKS for check in CHECKS]
