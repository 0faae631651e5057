"""Every framework keeps every promise, or it is said why the promise does not concern it; and each check can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.matrix.cells import FRAMEWORKS, outcome_of, run
from tests.matrix.checks import CHECKS
from tests.matrix.clumsy import FAULTS
from tests.matrix.naive import EXPECTED
from tests.matrix.site import Site
from tests.matrix.sites.redis_keys import URL
from tests.matrix.table import RECORDED, cells, markdown
from tests.support.services import missing

README = Path(__file__).parents[1] / "README.md"

pytestmark = [
    pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning"),  # WebOb, which Pyramid stands on
]


@pytest.fixture(scope="module")
def redis_server() -> None:
    """Redis, or a skip."""
    client = redis.Redis.from_url(URL)
    try:
        client.ping()
    except redis.ConnectionError as error:
        missing("redis", error)
    finally:
        client.close()


def needed(framework: str, request: pytest.FixtureRequest) -> None:
    if FRAMEWORKS[framework].redis:
        request.getfixturevalue("redis_server")


@pytest.mark.parametrize(("framework", "check"), [pytest.param(*cell, id="-".join(cell)) for cell in cells()])
def test_the_promise_is_kept(framework: str, check: str, request: pytest.FixtureRequest) -> None:
    needed(framework, request)
    outcome = RECORDED[framework, check] = outcome_of(framework, check)
    assert outcome.verdict in ("passed", "does not apply"), outcome.why


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_naive_way_fails_exactly_where_it_is_known_to(framework: str, request: pytest.FixtureRequest) -> None:
    needed(framework, request)
    outcomes = {check: outcome_of(framework, check, "naive") for check in CHECKS}
    assert {check: outcome.why for check, outcome in outcomes.items() if outcome.verdict == "raised"} == {}
    assert {check for check, outcome in outcomes.items() if outcome.verdict == "failed"} == EXPECTED[framework]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_door_with_this_fault_is_noticed(fault: type[Site], redis_server: None) -> None:
    door, check = FAULTS[fault]
    outcome = run(fault, check, door)
    assert outcome.verdict == "failed", outcome.why


def test_every_check_is_failed_by_something() -> None:
    noticed = {check for failed in EXPECTED.values() for check in failed} | {check for _, check in FAULTS.values()}
    assert set(CHECKS) - noticed == {"13-open-streams"}


def test_no_cell_is_empty(redis_server: None) -> None:
    outcomes = {cell: outcome_of(*cell) for cell in cells()}
    assert [cell for cell, outcome in outcomes.items() if outcome.verdict not in ("passed", "does not apply")] == []
    assert [cell for cell, outcome in outcomes.items() if outcome.verdict == "does not apply" and not outcome.why] == []
    table = markdown(outcomes)
    assert table.count("✓") + table.count("| (") == len(FRAMEWORKS) * len(CHECKS)
    assert "not run" not in table
    assert table in README.read_text(encoding="utf-8"), "python -m tests.matrix prints what has to stand in tests/README.md"
