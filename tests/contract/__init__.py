"""What every backend has to keep: one contract, written once in plain colour, and the worlds that it is tried in."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "tests.contract.required", "tests.contract.companions", "tests.contract.signs_in", "tests.contract.sql", "tests.contract.doors"
)
