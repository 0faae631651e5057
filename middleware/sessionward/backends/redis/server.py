"""Where the servers of a backend are, and how a connection to one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sessionward.backends.redis.topology import BehindSentinels, InCluster, OneServer, Remap, Topology
from sessionward.backends.redis.wire import Node

Kind: TypeAlias = Literal["server", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes connections of one kind: the class of redis-py, and what it is called with. Each value may be a secret."""

    make: Callable[..., Any]
    settings: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """One server, the Sentinels of a primary, or some servers of a cluster.

    ``seeds``: the server, the Sentinels, or the servers that are asked for the others. ``name``: the primary's, for the Sentinels.
    """

    kind: Kind
    seeds: tuple[Node, ...]
    is_async: bool
    maker: Maker
    sentinels: Maker | None = None
    name: str = ""
    remap: Remap | None = None

    def topology(self) -> Topology:
        """Returns what a process or a loop knows of the servers: nothing yet."""
        if self.kind == "cluster":
            return InCluster(self.seeds, self.remap)
        return BehindSentinels(self.seeds, self.name) if self.kind == "sentinel" else OneServer(self.seeds[0])

    def connection(self, node: Node, timeout: float) -> Any:
        """Returns a connection of redis-py that is not open yet. It repeats nothing, and its replies are bytes.

        ``timeout``: in seconds, for a sync one. An async one has none, since its caller has a deadline.
        """
        maker = self.sentinels if node.is_sentinel and self.sentinels is not None else self.maker
        place = {"host": node.host, "port": node.port} if node.port else {"path": node.host}
        seconds = None if self.is_async else timeout
        # protocol 2: the replies of scripts are the same, no message comes unasked, and the handshake is shorter
        return maker.make(**{**maker.settings, **place, "socket_timeout": seconds, "socket_connect_timeout": seconds, "protocol": 2})
