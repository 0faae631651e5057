"""Compiles the catalogues of the page *Your devices* when a wheel is built, or a checkout installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LOCALE: Final = Path("middleware", "sessionward", "api", "page", "locale")


class CompileCatalogues(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before the files of a wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 hatchling passes them
        compile_catalogues(Path(self.root))


def compile_catalogues(root: Path) -> None:
    """Writes ``sessionward.mo`` beside each ``sessionward.po`` of a checkout, unless there is one that is not older."""
    for source in sorted((root / LOCALE).glob("*/LC_MESSAGES/sessionward.po")):
        compiled = source.with_suffix(".mo")
        if compiled.is_file() and compiled.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            continue
        with source.open("rb") as file:
            catalogue = read_po(file, locale=source.parts[-3], abort_invalid=True)
        unfinished = compiled.with_suffix(f".{os.getpid()}")  # several processes of tests may compile at once
        with unfinished.open("wb") as file:
            write_mo(file, catalogue)
        unfinished.replace(compiled)
