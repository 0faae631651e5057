"""Every framework keeps every promise, or it is said why the promise does not concern it; and each check can fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Timer

import pytest

from tests.matrix.browser import Browser
from tests.matrix.cells import FRAMEWORKS, outcome_of, run
from tests.matrix.checks import CHECKS
from tests.matrix.clumsy import FAULTS
from tests.matrix.naive import EXPECTED
from tests.matrix.site import Site
from tests.matrix.sites.flask_login import FlaskLogin
from tests.matrix.sites.starlette_session import StarletteSession
from tests.matrix.table import cells, markdown, read

PAGE = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PRINTED = read(PAGE)
"""What tests/README.md says that came of each cell."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning"),  # WebOb, which Pyramid stands on
]


@pytest.fixture
def framework(request: pytest.FixtureRequest) -> str:
    """The name of a framework, once its server answers."""
    name: str = request.param
    if FRAMEWORKS[name].redis:
        request.getfixturevalue("redis_url")
    return name


def marks(framework: str) -> Sequence[pytest.MarkDecorator]:
    return [pytest.mark.services] if FRAMEWORKS[framework].redis else []


@pytest.mark.parametrize(
    ("framework", "check"),
    [pytest.param(*cell, id="-".join(cell), marks=marks(cell[0])) for cell in cells()],
    indirect=["framework"],
)
def test_the_promise_is_kept_as_the_page_says(framework: str, check: str) -> None:
    outcome = outcome_of(framework, check)
    assert outcome.verdict in ("passed", "does not apply"), outcome.why
    assert outcome == PRINTED[framework, check], "python -m tests.matrix prints what has to stand in tests/README.md"


def test_the_page_has_every_cell_and_every_claim() -> None:
    assert list(PRINTED) == cells()
    assert markdown(PRINTED) in PAGE


@pytest.mark.parametrize("framework", [pytest.param(framework, marks=marks(framework)) for framework in FRAMEWORKS], indirect=True)
def test_the_naive_way_fails_exactly_where_it_is_known_to(framework: str) -> None:
    outcomes = {check: outcome_of(framework, check, "naive") for check in CHECKS}
    assert {check: outcome.why for check, outcome in outcomes.items() if outcome.verdict == "raised"} == {}
    assert {check for check, outcome in outcomes.items() if outcome.verdict == "failed"} == EXPECTED[framework]


@pytest.mark.usefixtures("redis_url")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_door_with_this_fault_is_noticed(fault: type[Site]) -> None:
    door, check = FAULTS[fault]
    outcome = run(fault, check, door)
    assert outcome.verdict == "failed", outcome.why


@pytest.mark.parametrize("kind", [StarletteSession, FlaskLogin])
def test_a_site_is_closed_after_its_last_request(kind: type[Site], tmp_path: Path) -> None:
    site = kind(tmp_path)
    with Browser(site).under_way("GET", "/slow-read") as late:
        Timer(0.1, site.gate.released.set).start()
        site.close()
        assert late.has_ended()
    assert late.answer().status_code == 200


def test_every_check_is_failed_by_something() -> None:
    noticed = {check for failed in EXPECTED.values() for check in failed} | {check for _, check in FAULTS.values()}
    assert set(CHECKS) - noticed == set()
