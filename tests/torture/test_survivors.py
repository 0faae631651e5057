"""P2: of N simultaneous callers of one user exactly one is left, and it is the one that was told so."""

from __future__ import annotations

from typing import Final

import pytest

from tests.torture.conftest import Databases
from tests.torture.crew import SIZES, Crew
from tests.torture.places import Place, async_places, sync_place
from tests.torture.race import race

TRIALS: Final = 20
SQL: Final = ["sqlite", "postgresql", "mariadb"]
DATABASES: Final = [*SQL, "redis", "redis cluster"]
CANARIES: Final = [
    *((database, variant) for database in SQL for variant in ("CheckThenUpdate", "FindThenDelete", "LocksWithoutLooking")),
    *(("redis", variant) for variant in ("CheckThenDelete", "DeletesInTransaction")),
]


def _places(databases: Databases, database: str) -> list[Place]:
    return [sync_place(databases, database), *async_places(databases, database)]


@pytest.mark.parametrize("callers", SIZES, ids=[f"{n} callers" for n in SIZES])
@pytest.mark.parametrize("database", DATABASES)
def test_p2_exactly_one_of_many_callers_survives_and_its_count_is_true(
    databases: Databases, crew: Crew, database: str, callers: int
) -> None:
    for place in _places(databases, database):
        tally = race(crew, place, callers=callers, trials=TRIALS)
        assert tally.clean, f"{place.spoken}: {tally}"


@pytest.mark.parametrize(("database", "variant"), CANARIES)
def test_canary_a_naive_variant_leaves_nobody_in_most_trials(databases: Databases, crew: Crew, database: str, variant: str) -> None:
    tally = race(crew, sync_place(databases, database).of(variant), callers=2, trials=TRIALS)
    assert not tally.errors
    assert tally.nobody > TRIALS / 2, tally
