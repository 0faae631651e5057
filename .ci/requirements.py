"""Prints what runs with other versions need: ``requirements.py oldest``, ``newest`` or ``interpreters``.

``oldest``: of what the package itself depends on, extras included, the first version that pyproject.toml allows.
  schemathesis needs a later anyio, so it is not there.
``newest``: SQLAlchemy 2.1.
fastapi-users allows neither. Where one of these two is not installed, its tests are not collected.
``interpreters``: the versions of Python in the classifiers, without the oldest.
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
    tests = [line for line in TEST if not line.startswith("schemathesis")]
    return [*(re.sub(r">=([\w.]+)(,[^;]*)?", r"==\1", line) for line in OWN), *tests]


def newest() -> list[str]:
    return [*OWN, *TEST, "sqlalchemy>=2.1"]


def interpreters() -> list[str]:
    return re.findall(r":: (3\.\d+)", "\n".join(PROJECT["classifiers"]))[1:]


if __name__ == "__main__":
    print(*{"oldest": oldest, "newest": newest, "interpreters": interpreters}[sys.argv[1]](), sep="\n")
