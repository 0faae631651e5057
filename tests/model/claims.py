"""What a search of a model must find: nothing with every rule, and the property of a rule without it."""

from __future__ import annotations

from pathlib import Path

from tests.model.spin import search


def holds(model: Path, folder: Path, options: str) -> None:
    found = search(model, folder, options)
    assert found.violated is None, f"{found.violated}\n{found.story}"
    assert found.complete, found.output
    assert found.states > 1000, "a search that finds no work proves nothing"


def breaks(model: Path, folder: Path, options: str, named: str) -> None:
    """``named``: is in the assertion that fails."""
    found = search(model, folder, options, shortest=True, optimize="-O0")
    assert found.violated is not None, found.output
    assert named in found.violated, f"{found.violated}\n{found.story}"
