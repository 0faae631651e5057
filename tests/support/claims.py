"""Claims that need a process of their own, since a process configures Django once: the process runs those that a test asks for."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds after which a claim that hangs is given up; also on a machine that is busy."""

# --- in the test's process --------------------------------------------------------------------------------------------


class Claims:
    """A process that runs ``python -m module``, which calls :func:`answer`. ``log``: the file with all that it has printed."""

    def __init__(self, module: str, *, log: Path, **environment: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", module],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
            )

    def check(self, claim: str) -> None:
        """Run one claim. A test whose claim does not hold fails with the traceback of the claim."""
        __tracebackhide__ = True
        told = self._ask(claim)
        if told is not None:
            pytest.fail(told, pytrace=False)

    def _ask(self, claim: str) -> str | None:
        """The traceback of a claim, or None if it holds."""
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None
        assert answers is not None
        try:
            questions.write(f"{claim}\n".encode())
            questions.flush()
            is_told, _, _ = select.select([answers], [], [], PATIENCE)
            line = answers.readline() if is_told else b""
        except BrokenPipeError:
            line = b""
        if not line:
            self._process.kill()
            return f"the process did not answer, or ended with {self._process.wait()}:\n{self._log.read_text(errors='replace')}"
        told: str | None = json.loads(line)
        return told

    def close(self) -> None:
        """Let the process tidy up and end. One that has ended before has failed a claim already."""
        with self._process as process:
            if process.poll() is None:
                assert process.stdin is not None
                process.stdin.close()
                try:
                    code = process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
                assert code == 0, self._log.read_text(errors="replace")


# --- in the process of the claims -------------------------------------------------------------------------------------


def answer(check: Callable[[str], object]) -> None:
    """Call ``check`` with each name on standard input, and print what became of it. What a claim itself prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with answers:
        for line in sys.stdin:
            print(json.dumps(_outcome(check, line.strip())), file=answers, flush=True)


def _outcome(check: Callable[[str], object], claim: str) -> str | None:
    try:
        check(claim)
    except BaseException:
        return traceback.format_exc()
    return None
