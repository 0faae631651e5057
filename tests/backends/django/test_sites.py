"""DjangoBackend in all configurations; ``sites.py`` says which claims are made for each."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.backends.django.sites import SITES
from tests.support.services import MARIADB, POSTGRESQL, fresh_database, missing

HERE = Path(__file__).parent
SERVERS = {"postgresql": POSTGRESQL, "mariadb": MARIADB}
PATIENCE = 400
"""Seconds after which a program that hangs is given up. On a machine that does much else, MariaDB alone takes two minutes."""
Outcomes = Mapping[str, str]


def cases_of(module: str) -> list[str]:
    tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("case_")]


CLAIMS = [(site, f"{module}.{case}") for site, made in SITES.items() for module in made.claims for case in cases_of(module)]


@pytest.fixture(scope="module")
def outcomes_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Outcomes]]:
    """What came of all claims of a site. Each that is asked for runs once, two at a time."""

    def run(name: str, place: Path) -> Outcomes:
        site = SITES[name]
        if site.cache != "locmem":
            needs_redis()
        if site.database == "sqlite":
            return outcomes(name, f"sqlite:///{place}/site.db", place)
        with fresh_database(SERVERS[site.database]) as url:
            return outcomes(name, url, place)

    wanted = [item.callspec.params.get("site") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(2) as pool:
        running = {name: pool.submit(run, name, tmp_path_factory.mktemp("site")) for name in SITES if name in wanted}
        yield lambda name: running[name].result()


def outcomes(name: str, url: str, place: Path) -> Outcomes:
    (place / "files").mkdir()
    site = {"SESSIONWARD_SITE": f"{name}|{url}|{place}/files"}
    command = [sys.executable, "-W", "error", "-m", "tests.backends.django.program"]
    ran = subprocess.run(command, cwd=HERE.parents[2], env=os.environ | site, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    told: Outcomes = json.loads(ran.stdout.splitlines()[-1])
    return told


def needs_redis() -> None:
    import redis

    try:
        with redis.Redis.from_url(os.environ.get("SESSIONWARD_TEST_REDIS", "redis://127.0.0.1:6379/0"), socket_connect_timeout=3) as client:
            client.ping()
    except redis.RedisError as error:
        missing("Redis", error)


@pytest.mark.parametrize(("site", "claim"), CLAIMS, ids=[f"{site}-{claim.removeprefix('case_')}" for site, claim in CLAIMS])
def test_with_django(site: str, claim: str, outcomes_of: Callable[[str], Outcomes]) -> None:
    assert outcomes_of(site)[claim] == "holds"
