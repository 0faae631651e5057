"""Searches a model with Spin: compiles it, runs the search, and reads what it found."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LEASE: Final = Path(__file__).with_name("lease.pml")
REDIS_STATE: Final = Path(__file__).with_name("redis_state.pml")
TOOLS: Final = ("spin", "gcc")

MEGABYTES: Final = 800
"""Of memory for one search of the tests."""
DEPTH: Final = 200_000
"""Steps of one trace; a deeper search says that it is not complete."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search has found."""

    complete: bool
    """Every state was visited. A search that stops at a violation is not."""
    violated: str | None
    """The assertion."""
    states: int
    output: str
    story: str
    """The steps that lead to the violation."""


def missing_tools() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def search(
    model: Path,
    folder: Path,
    options: str,
    *,
    megabytes: int = MEGABYTES,
    depth: int = DEPTH,
    shortest: bool = False,
    optimize: str = "-O1",
) -> Search:
    """Search the model with these options, such as ``SCENARIO=LOGOUT CHECKS=1``. The shortest story takes more memory."""
    shutil.copy(model, folder)
    defines = [f"-D{option}" for option in options.split()]
    run(folder, ["spin", "-a", *defines, model.name])
    breadth = ["-DBFS"] if shortest else []
    run(folder, ["gcc", optimize, "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={megabytes}", *breadth, "-o", "pan", "pan.c"])
    found = run(folder, ["./pan", f"-m{depth}", "-w22"], may_fail=True)
    errors = re.search(r"errors: (\d+)", found)
    states = re.search(r"^\s*(\S+) states, stored", found, re.MULTILINE)
    violated = re.search(r"pan:1: (.*?) \(at depth", found)
    assert errors is not None, found
    assert states is not None, found
    assert bool(violated) == (errors[1] != "0"), found
    return Search(
        complete=not re.search("Search not completed|max search depth too small|out of memory|MEMLIM bound", found),
        violated=violated[1] if violated else None,
        states=int(float(states[1])),
        output=found,
        story=story_of(run(folder, ["spin", "-t", *defines, model.name])) if violated else "",
    )


def switches(model: Path) -> set[str]:
    """Returns what can be switched on by an option: sizes, and rules that are removed."""
    return set(re.findall(r"(?:#ifn?def |defined\()([A-Z_0-9]+)", model.read_text(encoding="utf-8")))


def run(folder: Path, command: Sequence[str], *, may_fail: bool = False) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def story_of(trail: str) -> str:
    return "\n".join(line.strip().removeprefix("TR ") for line in trail.splitlines() if line.strip().startswith("TR "))
