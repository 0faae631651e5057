"""One file for each backend and topic; the contract itself is in ``tests.contract``."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.backends.scripts")
