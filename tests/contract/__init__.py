"""What the backends of ours keep beyond ``sessionward.testing``, and the worlds that they are tried in."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract.signs_in", "tests.contract.sql", "tests.contract.sql_everybody", "tests.contract.doors")
