"""SignedCookies against Django's own sessions and users; the claims are in ``django_cases.py``."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = HERE / "django_cases.py"
CASES = [
    node.name
    for node in ast.parse(PROGRAM.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("case_")
]


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, str]:
    command = [sys.executable, "-W", "error", "-m", "tests.identify.django_cases"]
    ran = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    told: Mapping[str, str] = json.loads(ran.stdout.splitlines()[-1])
    assert list(told) == CASES
    return told


@pytest.mark.parametrize("case", CASES)
def test_with_django(case: str, outcomes: Mapping[str, str]) -> None:
    assert outcomes[case] == "holds"
