"""P3: no session that rests on the old password outlives "change the password, commit, revoke the others"."""

from __future__ import annotations

from typing import Final

import pytest

from tests.torture.conftest import Databases
from tests.torture.crew import Crew
from tests.torture.late import early_and_late_logins, unchecked_logins
from tests.torture.places import async_places, sync_place

TRIALS: Final = 60
DATABASES: Final = ["sqlite", "postgresql", "mariadb", "redis", "redis cluster"]


@pytest.mark.parametrize("ticket", [False, True], ids=["by the age of the request", "by a ticket of begin_login"])
@pytest.mark.parametrize("database", DATABASES)
def test_p3_no_login_with_the_old_password_survives(databases: Databases, crew: Crew, database: str, ticket: bool) -> None:
    for place in [sync_place(databases, database), *async_places(databases, database)]:
        outcome = early_and_late_logins(crew, place, trials=TRIALS, ticket=ticket)
        assert outcome.alive == 0, f"{place.spoken}: {outcome}"
        assert outcome.wrong == 0, f"{place.spoken}: {outcome}"
        assert outcome.minted, "nobody was fast enough: this showed nothing"
        assert outcome.refused, "nobody was late: this showed nothing"


@pytest.mark.parametrize("database", DATABASES)
def test_canary_an_unchecked_insert_lets_the_old_password_in(databases: Databases, crew: Crew, database: str) -> None:
    outcome = unchecked_logins(crew, sync_place(databases, database).of("InsertsUnchecked"), trials=TRIALS)
    assert outcome.is_caught, outcome
