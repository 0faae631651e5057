"""The orders in which Redis is read and written keep the promises in every interleaving of the model, and no rule can be left out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.model.cases import Mutant
from tests.model.claims import breaks, holds
from tests.model.redis_cases import MUTANTS, PROPERTIES, SCENARIOS
from tests.model.spin import REDIS_STATE, switches

SIZES: Final = frozenset({"SCENARIO", "LONGEST", "CHECKS", "CHANGERS", "CHANGES", "CRASHES", "ONE_WORKER", "ALL_FIRST"})


@pytest.mark.usefixtures("spin")
class TestEveryRule:
    @pytest.mark.parametrize("options", SCENARIOS)
    def test_with_every_rule_the_promises_hold(self, options: str, tmp_path: Path) -> None:
        holds(REDIS_STATE, tmp_path, options)


@pytest.mark.usefixtures("spin")
class TestEachRuleRemoved:
    @pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule}: {mutant.story}")
    def test_without_a_rule_its_promise_breaks(self, mutant: Mutant, tmp_path: Path) -> None:
        breaks(REDIS_STATE, tmp_path, f"SCENARIO={mutant.scenario} {mutant.rule}", PROPERTIES[mutant.breaks])


def test_every_rule_that_the_model_can_lose_is_in_the_table() -> None:
    assert switches(REDIS_STATE) - SIZES == {mutant.rule.partition("=")[0] for mutant in MUTANTS}
