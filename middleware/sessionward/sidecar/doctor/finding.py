"""What the doctor has found out: one line each, with the way out where something is wrong."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.IntEnum):
    """How bad a finding is. The worst one is the exit code; a note is no fault."""

    OK = 0
    NOTE = -1
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor. ``part``: what was tried. ``way_out``: what to do, where something is wrong."""

    level: Level
    part: str
    said: str
    way_out: str = ""

    def __str__(self) -> str:
        line = f"{self.level.name.lower():<8}{self.part}: {self.said}"
        return f"{line.rstrip('.?')}; {self.way_out}" if self.way_out else line  # a driver's words may end a sentence


def ok(part: str, said: str) -> Finding:
    """Returns a finding that all is well."""
    return Finding(Level.OK, part, said)


def note(part: str, said: str, way_out: str = "") -> Finding:
    """Returns a finding that is no fault, or that the doctor cannot decide."""
    return Finding(Level.NOTE, part, said, way_out)


def warning(part: str, said: str, way_out: str = "") -> Finding:
    """Returns a finding that the sidecar works, with a disadvantage."""
    return Finding(Level.WARNING, part, said, way_out)


def error(part: str, said: str, way_out: str = "") -> Finding:
    """Returns a finding that requests would fail."""
    return Finding(Level.ERROR, part, said, way_out)


def exit_code(findings: Iterable[Finding]) -> int:
    """Returns 0 if nothing is wrong, 1 if there are warnings, 2 if there are errors."""
    return max((0, *(finding.level for finding in findings)))
