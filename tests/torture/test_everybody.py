"""P1, P3: after everybody was revoked no check accepts a session whose sign-in began before, while users go on to sign in.

With FULL_SIZE=1 in the environment: 50 000 checks of such sessions for each place; else 500, for the sake of time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from tests.torture.conftest import Databases
from tests.torture.crew import Crew
from tests.torture.everybody import revoked_while_signing_in, without_era
from tests.torture.places import async_places, sync_place

LATE: Final = 50_000 if os.environ.get("FULL_SIZE") == "1" else 500
DATABASES: Final = ["sqlite", "postgresql", "mariadb"]


@pytest.fixture
def urls(databases: Databases, database: str) -> Iterator[Databases]:
    yield databases
    without_era(databases[database])


@pytest.mark.parametrize("database", DATABASES)
def test_p1_p3_no_check_after_everybody_was_revoked_accepts_a_session_of_before(urls: Databases, crew: Crew, database: str) -> None:
    for place in [sync_place(urls, database), *async_places(urls, database)]:
        outcome = revoked_while_signing_in(crew, place, late=LATE)
        print(place.spoken, outcome)
        assert (outcome.alive, outcome.wrong) == (0, 0), f"{place.spoken}: {outcome}"
        assert outcome.minted, "nobody has signed in: this showed nothing"
        assert outcome.stale, "no sign-in was under way: this showed nothing"


@pytest.mark.parametrize("variant", ["ChecksNoEra", "JudgesNoEra"])
@pytest.mark.parametrize("database", DATABASES)
def test_canary_a_backend_that_forgets_the_era_is_caught(urls: Databases, crew: Crew, database: str, variant: str) -> None:
    outcome = revoked_while_signing_in(crew, sync_place(urls, database).of(variant), late=20_000)
    assert outcome.alive, outcome
