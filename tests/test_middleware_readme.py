"""The backend and the identifier that middleware/README.md shows, and what it says of the tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import sessionward
from sessionward.backends import Backend
from sessionward.identify import Identifier
from sessionward.testing import BackendContract, IdentifierContract

README = (Path(__file__).parent.parent / "middleware" / "README.md").read_text(encoding="utf-8")
HOUSE = Path(sessionward.__file__).parent
PROGRAMS = re.findall(r"```python\n(.*?)```", README.partition("## Write a backend")[2], re.DOTALL)
NAMES: dict[str, Any] = {"__name__": __name__}
for program in PROGRAMS:
    exec(compile(program, "middleware/README.md", "exec"), NAMES)

BACKEND: type[BackendContract] = NAMES["TestNotesBackend"]
IDENTIFIER: type[IdentifierContract] = NAMES["TestNotesLogin"]


class TestItsBackend(BACKEND):  # type: ignore[valid-type, misc]
    """It passes the contract, as the page says."""


class TestItsIdentifier(IDENTIFIER):  # type: ignore[valid-type, misc]
    """It passes the contract, as the page says."""


def test_they_are_as_short_as_a_page_can_show() -> None:
    backend, identifier = (next(program for program in PROGRAMS if f"class {name}" in program) for name in ("NotesBackend", "NotesLogin"))
    assert len([line for line in backend.splitlines() if line.strip()]) <= 40
    assert len([line for line in identifier.splitlines() if line.strip()]) <= 20


def test_type_checkers_take_them_for_what_they_are(tmp_path: Path) -> None:
    backend: Backend = NAMES["NotesBackend"](f"{tmp_path}/notes.db")
    identifier: Identifier = NAMES["NotesLogin"]("secret")
    assert backend is not None
    assert identifier is not None


def test_the_tree_is_the_tree() -> None:
    tree = README.partition("sessionward/\n")[2].partition("```")[0]
    named = set(re.findall(r"[├└]── ([a-z_]+(?:\.py|/)(?:  [a-z_]+\.py)?)", tree))
    shown = {part for name in named for part in name.split()}
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in HOUSE.iterdir()
        if not path.name.startswith(("__pycache__", "__main__", "py.typed"))
    }
    assert shown == there


def test_every_place_that_it_names_is_there() -> None:
    table = README.partition("| Where is ...")[2].partition("\n\n")[0]
    for line in table.splitlines():
        files = re.findall(r"`([a-z_/]+\.py)`", line)
        names = [name.rpartition(".")[2] for name in re.findall(r"`([A-Za-z_.]+)`", line) if not name.endswith(".py")]
        text = "".join((HOUSE / file).read_text(encoding="utf-8") for file in files)
        assert all(name in text for name in names if files), line
