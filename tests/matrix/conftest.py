"""Prints the matrix at the end of a run that has filled it."""

from __future__ import annotations

from typing import Any

from tests.matrix.table import RECORDED, markdown


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if RECORDED:
        terminalreporter.section("framework x check")
        terminalreporter.write_line(markdown(RECORDED))
