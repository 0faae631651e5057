"""``python -m tests.matrix`` runs every check on every framework and prints the matrix in Markdown."""

from __future__ import annotations

import sys

from tests.matrix.cells import outcome_of
from tests.matrix.table import cells, markdown

if __name__ == "__main__":
    outcomes = {cell: outcome_of(*cell) for cell in cells()}
    print(markdown(outcomes))
    bad = [f"{'-'.join(cell)}\n{outcome.why}" for cell, outcome in outcomes.items() if outcome.verdict in ("failed", "raised")]
    print("\n".join(bad), file=sys.stderr)
    sys.exit(bool(bad))
