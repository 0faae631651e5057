"""Knox with its own models, views and authentication under WSGI: tokens are kept as digests, in a table with the user."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.support.services import SERVERS, fresh_database

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What people saw on the site, over a database of its own: its tables stay in it."""
    server = SERVERS.get(request.param)
    with fresh_database(server) if server else nullcontext(f"sqlite:///{tmp_path_factory.mktemp('knox')}/app.db") as url:
        command = [sys.executable, "-W", "error", "-m", "tests.backends.knox_site", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_transform_is_that_of_knox(seen: dict[str, Any]) -> None:
    assert seen["the transform is Knox's own"] is True


def test_the_other_programs_are_out_and_the_caller_and_another_user_stay(seen: dict[str, Any]) -> None:
    assert seen["all are signed in"] == [200, 200, 200, 200]
    assert seen["the call"] == [200, {"count": 2}]
    assert seen["after it"] == [200, 401, 401, 200]
    assert seen["the call again, by one who is out, with half a token"] == [[200, {"count": 0}], 401, 401]


def test_a_request_of_the_victim_in_flight_does_not_bring_it_back(seen: dict[str, Any]) -> None:
    assert seen["in flight, /reads"] == [[200, "ann"], 200, 401]
    assert seen["in flight, /writes"] == [[200, "stale"], 200, 401]
    assert seen["tokens in the table"] == 2


def test_p5_an_expired_token_is_nobodys_and_stays_and_one_without_an_expiry_is_ended(seen: dict[str, Any]) -> None:
    assert seen["one that has expired, and the others with one that never does"] == [401, [200, {"count": 1}], 3, 401]


def test_who_signs_in_again_is_in_and_who_signed_out_by_knox_is_out(seen: dict[str, Any]) -> None:
    assert seen["signed in again, and out by Knox"] == [200, 204, 401]


def test_a_job_ends_all_tokens_of_a_user(seen: dict[str, Any]) -> None:
    assert seen["revoke_all"] == [1, 401, 200]
