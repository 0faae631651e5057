"""Searches the larger sizes of the models, as a table: ``python -m tests.model``. It takes minutes, and 2 GB."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Final

from tests.model import cases, redis_cases
from tests.model.spin import LEASE, REDIS_STATE, missing_tools, search

SEARCHES: Final = (
    *((LEASE, options) for options in (*cases.SCENARIOS, *cases.LARGER)),
    *((REDIS_STATE, options) for options in (*redis_cases.SCENARIOS, *redis_cases.LARGER)),
)


def main() -> int:
    if missing := missing_tools():
        sys.exit(f"not found: {', '.join(missing)}")
    broken = 0
    for model, options in SEARCHES:
        begun = monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = search(model, Path(folder), options, megabytes=8000, depth=5_000_000, optimize="-O2")
        verdict = found.violated or ("holds" if found.complete else "NOT COMPLETE")
        broken += verdict != "holds"
        sys.stdout.write(f"{options:60} {found.states:>12,} states {monotonic() - begun:6.1f} s  {verdict}\n")
        if found.violated:
            sys.stdout.write(f"{found.story}\n")
        sys.stdout.flush()
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
