"""DjangoBackend in all configurations; ``sites.py`` says which claims are made for each.

A claim is a function ``case_...`` of a module in this folder. The process of its site runs it when its test is run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path

import pytest

from tests.backends.django.sites import SITES
from tests.support.claims import Claims
from tests.support.services import SERVERS, fresh_database

HERE = Path(__file__).parent


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
def claims(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Claims]]:
    """The process of a site, by its name. It begins with the first claim about the site, and ends when another site's is asked for."""
    with ExitStack() as stack:
        running: dict[str, Claims] = {}

        def of(name: str) -> Claims:
            if name not in running:
                running.clear()
                stack.close()
                if SITES[name].cache != "locmem":
                    request.getfixturevalue("redis_url")
                running[name] = stack.enter_context(process_of(name, tmp_path_factory.mktemp("site")))
            return running[name]

        yield of


@contextmanager
def process_of(name: str, place: Path) -> Iterator[Claims]:
    (place / "files").mkdir()
    server = SERVERS.get(SITES[name].database)
    with fresh_database(server) if server else nullcontext(f"sqlite:///{place}/site.db") as url:
        running = Claims("tests.backends.django.program", log=place / "log", SESSIONWARD_SITE=f"{name}|{url}|{place}/files")
        try:
            yield running
        finally:
            running.close()


@pytest.mark.parametrize(("site", "claim"), CLAIMS)
def test_with_django(site: str, claim: str, claims: Callable[[str], Claims]) -> None:
    claims(site).check(claim)
