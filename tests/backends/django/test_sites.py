"""DjangoBackend in all configurations; ``sites.py`` says which claims are made for each.

A claim is a function ``case_...`` of a module in this folder. The process of its site runs it when its test is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest

from tests.backends.django.sites import SITES
from tests.support.claims import Claims
from tests.support.services import MARIADB, POSTGRESQL, fresh_database

HERE = Path(__file__).parent
SERVERS = {"postgresql": POSTGRESQL, "mariadb": MARIADB}


@cache
def cases_of(module: str) -> Sequence[str]:
    tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("case_")]


CLAIMS = [
    pytest.param(name, f"{module}.{case}", id=f"{name}-{module}.{case.removeprefix('case_')}")
    for name, site in SITES.items()
    for module in site.claims
    for case in cases_of(module)
]


@pytest.fixture(scope="module")
def claims(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claims]:
    """The process of one site, which begins with its first claim and ends with its last."""
    name: str = request.param
    site, place = SITES[name], tmp_path_factory.mktemp("site")
    (place / "files").mkdir()
    if site.cache != "locmem":
        request.getfixturevalue("redis_url")
    server = SERVERS.get(site.database)
    with fresh_database(server) if server else nullcontext(f"sqlite:///{place}/site.db") as url:
        running = Claims("tests.backends.django.program", log=place / "log", SESSIONWARD_SITE=f"{name}|{url}|{place}/files")
        try:
            yield running
        finally:
            running.close()


@pytest.mark.parametrize(("claims", "claim"), CLAIMS, indirect=["claims"])
def test_with_django(claims: Claims, claim: str) -> None:
    claims.check(claim)
