"""Run all checks of one framework in this process: ``python -m tests.matrix.alone django-db`` prints what came of them as JSON."""

from __future__ import annotations

import json
import sys
import warnings

from tests.matrix.cells import all_outcomes

if __name__ == "__main__":
    warnings.simplefilter("error")
    print(json.dumps(all_outcomes(sys.argv[1])))
