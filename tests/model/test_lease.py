"""The rules of leases keep the promises in every interleaving of the model, and none of these rules can be left out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.model.cases import MUTANTS, PROPERTIES, SCENARIOS, Mutant
from tests.model.claims import breaks, holds
from tests.model.spin import LEASE, search, switches

SIZES: Final = frozenset({"SCENARIO", "LEASE", "LONGEST", "CHECKS", "CRASHES", "COMMIT_WITHIN", "AGES", "JOIN", "CHANGES", "ONE_WORKER"})


@pytest.mark.usefixtures("spin")
class TestEveryRule:
    @pytest.mark.parametrize("options", SCENARIOS)
    def test_with_every_rule_the_promises_hold(self, options: str, tmp_path: Path) -> None:
        holds(LEASE, tmp_path, options)

    @pytest.mark.parametrize(("megabytes", "depth"), [(20, 200_000), (800, 50)], ids=["memory", "depth"])
    def test_a_search_that_was_cut_short_is_not_complete(self, megabytes: int, depth: int, tmp_path: Path) -> None:
        found = search(LEASE, tmp_path, "SCENARIO=ONE_CALL", megabytes=megabytes, depth=depth, optimize="-O0")
        assert found.violated is None
        assert not found.complete


@pytest.mark.usefixtures("spin")
class TestEachRuleRemoved:
    @pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule}: {mutant.story}")
    def test_without_a_rule_its_promise_breaks(self, mutant: Mutant, tmp_path: Path) -> None:
        checks = "" if "CHECKS" in mutant.scenario else "CHECKS=1"
        breaks(LEASE, tmp_path, f"SCENARIO={mutant.scenario} {checks} {mutant.rule}", PROPERTIES[mutant.breaks])


def test_every_rule_that_the_model_can_lose_is_in_the_table() -> None:
    assert switches(LEASE) - SIZES == {mutant.rule.partition("=")[0] for mutant in MUTANTS}
