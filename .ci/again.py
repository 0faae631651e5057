"""Runs what failed once more, alone: ``again.py fast.xml slow.xml``, the reports of the first runs; ends with the last exit code.

Thousands of tests start servers and share two cores: one that fails beside others and passes alone is named *unsteady*, to be
mended. A broken promise is no matter of chance: a test of one (torture, model, P1 to P10 without P7, which is about time) that failed
gets no second run, unless it could not be set up, or says that its race did not take place. Nor do many failures, nor tests that
could not be collected.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

MANY = 20
"""Modules in which tests failed: if more did, it is no accident."""
PROMISE = re.compile(r"^tests\.(torture|model)\.|\.test_p(?!7_)\d+_")
NO_RACE = "showed nothing"
"""What the message of such a test has."""


@dataclass(frozen=True, slots=True)
class Failure:
    module: str
    name: str
    in_setup: bool
    message: str

    @property
    def is_no_test(self) -> bool:
        return self.module in ("", "pytest")

    @property
    def breaks_a_promise(self) -> bool:
        has_run = not self.in_setup and NO_RACE not in self.message
        return has_run and PROMISE.search(f"{self.module}.{self.name}") is not None


def failures(reports: Sequence[Path]) -> Sequence[Failure]:
    cases = [case for report in reports for case in ElementTree.parse(report).iter("testcase")]  # noqa: S314
    return [
        Failure(case.get("classname", ""), case.get("name", ""), case.find("failure") is None, found.get("message", ""))
        for case in cases
        if (found := next(case.iter("failure"), next(case.iter("error"), None))) is not None
    ]


def main(*reports: Path) -> int:
    failed = failures(reports)
    for failure in failed:
        print("could not be set up:" if failure.in_setup else "failed:", failure.module, failure.name)
    is_chance = not any(failure.is_no_test or failure.breaks_a_promise for failure in failed)
    if not failed or not is_chance or len({failure.module for failure in failed}) > MANY:
        print("no second run")
        return 1
    alone = [".venv/bin/python", "-m", "pytest", "--numprocesses=0", "--last-failed", "--last-failed-no-failures=none"]
    if again := subprocess.run(alone, check=False).returncode:  # noqa: S603
        return again
    for failure in failed:
        print("unsteady:", failure.module, failure.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
