"""Refuses a node of a Galera cluster, whose locks belong to that node only."""

from __future__ import annotations

from enum import Enum

from sessionward.backends.sql.executor import Executor
from sessionward.errors import ConfigurationError


class Galera(Enum):
    """What happens on a node of a Galera cluster."""

    REFUSE = "refuse"
    SINGLE_NODE = "single_node"


def refuse_galera(executor: Executor) -> None:
    row = executor.row("galera")
    if row is not None and int(row[1]) > 0:
        raise ConfigurationError(
            f"database: this server is a node of a Galera cluster ({row[1]} nodes): a sign-in on another node can commit after a revocation"
            " was confirmed. Let all programs that use these tables connect to one and the same node, and say so by galera='single_node'"
            " (in a URL: ?galera=single_node)"
        )
