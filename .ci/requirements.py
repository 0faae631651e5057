"""Prints what a run against other versions installs: ``requirements.py oldest``, or ``requirements.py sqlalchemy-2.1``.

``oldest``: of what the package itself depends on, extras included, the first version that pyproject.toml allows.
``sqlalchemy-2.1``: the newest of everything. Neither is allowed by fastapi-users, whose tests are skipped there.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, Sequence[str]] = PROJECT["optional-dependencies"]
OWN = [*PROJECT["dependencies"], *(line for extra, lines in EXTRAS.items() if extra != "test" for line in lines)]
TEST = [line for line in EXTRAS["test"] if not line.startswith(("fastapi-users", "sessionward[", "sqlalchemy"))]


def oldest() -> list[str]:
    first = [re.sub(r">=([\w.]+)(,[^;]*)?", r"==\1", line) for line in OWN]
    return [*first, *TEST]


def sqlalchemy_2_1() -> list[str]:
    return ["sqlalchemy[asyncio]>=2.1,<2.2", *OWN, *TEST]


if __name__ == "__main__":
    print(*{"oldest": oldest, "sqlalchemy-2.1": sqlalchemy_2_1}[sys.argv[1]](), sep="\n")
