"""SignedCookies against Django's own sessions and users; the claims are in ``django_cases.py``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.claims import Claims

PROGRAM = Path(__file__).parent / "django_cases.py"
CASES = [
    node.name
    for node in ast.parse(PROGRAM.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("case_")
]


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claims]:
    running = Claims("tests.identify.django_cases", log=tmp_path_factory.mktemp("site") / "log")
    try:
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("case", CASES)
def test_with_django(case: str, claims: Claims) -> None:
    claims.check(case)
