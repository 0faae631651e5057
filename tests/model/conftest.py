"""What the models need."""

from __future__ import annotations

import pytest

from tests.model.spin import missing_tools
from tests.support.services import missing


@pytest.fixture(scope="session")
def spin() -> None:
    """The model checker and the compiler that it needs."""
    for tool in missing_tools():
        missing(tool, "the models are not searched; it is a package of that name")
