"""The matrix as a Markdown table, made of what really came of the checks."""

from __future__ import annotations

from collections.abc import Mapping

from tests.matrix.cells import FRAMEWORKS, Outcome
from tests.matrix.checks import CHECKS

Cell = tuple[str, str]
"""A framework and a check, by the names that stand in the tests' ids."""

RECORDED: dict[Cell, Outcome] = {}
"""What the tests of this run have seen."""


def markdown(outcomes: Mapping[Cell, Outcome]) -> str:
    """One line for each framework that ran, one column for each check; below, the claims, and why some do not apply."""
    numbers = [check.partition("-")[0] for check in CHECKS]
    notes: dict[str, str] = {}
    lines = [f"| | {' | '.join(numbers)} |", f"|---|{'---|' * len(numbers)}"]
    ran = {framework for framework, _ in outcomes}
    for name, framework in FRAMEWORKS.items():
        if name not in ran:
            continue
        cells = [_shown(outcomes.get((name, check)), notes) for check in CHECKS]
        lines.append(f"| {framework.title} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}: {_said(check)}" for number, check in zip(numbers, CHECKS, strict=True)), ""]
    lines += [f"({letter}) does not apply because {why}." for why, letter in notes.items()]
    return "\n".join(lines)


def _shown(outcome: Outcome | None, notes: dict[str, str]) -> str:
    if outcome is None:
        return "not run"
    if outcome.verdict == "does not apply":
        return f"({notes.setdefault(outcome.why, 'abcdefghij'[len(notes)])})"
    return "✓" if outcome.verdict == "passed" else outcome.verdict.upper()


def _said(check: str) -> str:
    """The claim of a check, in its own words."""
    return " ".join((CHECKS[check].__doc__ or "").split()) + "  "


def cells() -> list[Cell]:
    """Every cell of the matrix, in reading order."""
    return [(framework, check) for framework in FRAMEWORKS for check in CHECKS]
