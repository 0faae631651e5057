"""A Redis Cluster of the tests' own: three primaries and three replicas on this machine, resharded and failed over at will."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import redis

from tests.support.faulty_proxy import FaultyProxy
from tests.support.redis_servers import DOWN_AFTER, DURABLE, Node, started, until
from tests.support.servers import HOST

PRIMARIES: Final = 3
SLOTS: Final = 16_384


class ClusterNode(Node):
    """One of the servers."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir(parents=True)
        options = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", str(DOWN_AFTER))
        super().__init__(folder, port, (*DURABLE, *options))
        self._id = ""

    def cluster(self, *words: object) -> Any:
        """The answer to a command of ``CLUSTER``, as it comes over the wire."""
        answer = self.client.execute_command("CLUSTER", *words)
        return answer.decode() if isinstance(answer, bytes) else answer

    @property
    def id(self) -> str:
        """Its name in the cluster, which it keeps for ever."""
        if not self._id:
            self._id = str(self.cluster("MYID"))
        return self._id

    def announce(self, port: int) -> None:
        """Have clients and other nodes come by another port, as that of a proxy; 0 is its own again."""
        self.client.config_set("cluster-announce-port", port)

    def serves_every_slot(self) -> bool:
        return "cluster_state:ok" in self.cluster("INFO")

    def slots(self) -> list[range]:
        """The slots that it serves as a primary, as itself sees them."""
        found = self.cluster("SLOTS")
        return [range(first, last + 1) for first, last, name in _served(found) if name == self.id]


class Cluster:
    """All nodes. Slots move only by :meth:`reshard` and its parts."""

    def __init__(self, nodes: Sequence[ClusterNode]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def primaries(self) -> list[ClusterNode]:
        """Those that serve slots, by the first of their slots."""
        found = [node for node in self.nodes if node.answers() and node.info("replication")["role"] == "master" and node.slots()]
        return sorted(found, key=lambda node: min(part.start for part in node.slots()))

    def replicas_of(self, primary: ClusterNode) -> list[ClusterNode]:
        return [node for node in self.nodes if node is not primary and node.answers() and _follows(node, primary)]

    def serving(self, slot: int) -> ClusterNode:
        return next(node for node in self.primaries() if any(slot in part for part in node.slots()))

    def is_announced(self, ports: Mapping[str, int]) -> bool:
        """Whether every node tells clients to come by these ports, each by the name of a node."""
        told = (line.split() for node in self.nodes for line in node.cluster("NODES").splitlines())
        return all(int(address.partition("@")[0].rpartition(":")[2]) == ports[name] for name, address, *_ in told if name in ports)

    def slot_of(self, key: bytes | str) -> int:
        return int(self.nodes[0].cluster("KEYSLOT", key))

    # --- its making

    def join(self) -> None:
        """Make one cluster of servers that are alone: slots for the first three, a replica for each of them."""
        primaries, replicas = self.nodes[:PRIMARIES], self.nodes[PRIMARIES:]
        for number, node in enumerate(self.nodes):
            node.cluster("SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(primaries):
            node.cluster("ADDSLOTSRANGE", number * SLOTS // PRIMARIES, (number + 1) * SLOTS // PRIMARIES - 1)
        for one, other in combinations(self.nodes, 2):
            one.cluster("MEET", HOST, other.port)
        until(lambda: all(len(self._links(node)) == len(self.nodes) for node in self.nodes), "each node has met each other")
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.cluster("REPLICATE", primary.id)
        self.until_ready()

    def until_ready(self) -> None:
        """Wait until all nodes run, serve every slot, agree on who does, and each replica has all of its primary's data."""
        until(self.is_ready, "the cluster is ready")

    def is_ready(self) -> bool:
        try:
            views = {_view(node) for node in self.nodes}
            replicas = [node for node in self.nodes if node.info("replication")["role"] == "slave"]
            return (
                len(views) == 1
                and len(replicas) == len(self.nodes) - PRIMARIES
                and all(node.serves_every_slot() for node in self.nodes)
                and all(node.is_linked() for node in replicas)
                and all(node.info("replication")["connected_slaves"] >= 1 for node in self.primaries())
            )
        except redis.RedisError:
            return False

    # --- failover

    def fail_over(self, primary: ClusterNode, how: str = "") -> ClusterNode:
        """Have the replica take the primary's place; how: as agreed between both, or ``FORCE``, or ``TAKEOVER``. The new primary."""
        (replica,) = self.replicas_of(primary)
        replica.cluster("FAILOVER", *how.split())
        self.until_promoted(replica)
        return replica

    def until_promoted(self, replica: ClusterNode) -> None:
        until(lambda: replica.info("replication")["role"] == "master" and bool(replica.slots()), "the replica is the primary")

    def until_serving(self, *, without: ClusterNode) -> None:
        """Wait until the nodes that run serve every slot again, after one has been killed or stopped."""
        rest = [node for node in self.nodes if node is not without]

        def served() -> bool:
            views = {_view(node) for node in rest}
            return len(views) == 1 and all(
                node.serves_every_slot() and without.id not in {name for *_, name in _served(node.cluster("SLOTS"))} for node in rest
            )

        until(served, "the others serve every slot")

    # --- slots that move

    def reshard(self, slots: Sequence[int], target: ClusterNode) -> None:
        """Move slots, with the keys in them, as ``redis-cli --cluster reshard`` does."""
        for slot in slots:
            source = self.serving_cheaply(slot)
            if source is not target:
                self.begin_to_move(slot, source, target)
                while keys := source.cluster("GETKEYSINSLOT", slot, 100):
                    self.move_keys(keys, source, target)
                self.finish_moving(slot, source, target)

    def serving_cheaply(self, slot: int) -> ClusterNode:
        """As the first node sees it."""
        name = next(name for first, last, name in _served(self.nodes[0].cluster("SLOTS")) if first <= slot <= last)
        return next(node for node in self.nodes if node.id == name)

    def begin_to_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """From now on, what the source does not have is asked of the target, and every new key is made there."""
        target.cluster("SETSLOT", slot, "IMPORTING", source.id)
        source.cluster("SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(self, keys: Sequence[bytes], source: ClusterNode, target: ClusterNode) -> None:
        source.client.migrate(HOST, target.port, list(keys), 0, 5000)

    def finish_moving(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """The target first: else the slot is nobody's for a moment."""
        for node in (target, source, *(one for one in self.nodes if one not in (source, target))):
            if node.info("replication")["role"] == "master":
                node.cluster("SETSLOT", slot, "NODE", target.id)

    def _links(self, node: ClusterNode) -> list[str]:
        """Those that it knows and hears, and itself."""
        return [line for line in node.cluster("NODES").splitlines() if " connected" in line and "handshake" not in line]


def _served(slots: Any) -> list[tuple[int, int, str]]:
    """The ranges of CLUSTER SLOTS: first, last, and the name of the primary."""
    return [(first, last, primary[2].decode()) for first, last, primary, *_ in slots]


def _view(node: ClusterNode) -> frozenset[tuple[int, int, str]]:
    return frozenset(_served(node.cluster("SLOTS")))


def _follows(node: ClusterNode, primary: ClusterNode) -> bool:
    found = node.info("replication")
    return found["role"] == "slave" and int(found["master_port"]) == primary.port


@contextmanager
def redis_cluster(above: Path) -> Iterator[Cluster]:
    """Three primaries with a replica each, ready."""
    with started(lambda ports: [ClusterNode(above / str(port), port) for port in ports], 2 * PRIMARIES) as nodes:
        cluster = Cluster([node for node in nodes if isinstance(node, ClusterNode)])
        cluster.join()
        yield cluster


@contextmanager
def proxied(cluster: Cluster) -> Iterator[tuple[str, Sequence[FaultyProxy]]]:
    """A proxy before each primary, by which every client comes: the URL to enter by, and the proxies."""
    primaries = cluster.primaries()
    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultyProxy(node.port)) for node in primaries]
        for node, proxy in zip(primaries, proxies, strict=True):
            node.announce(proxy.port)
            stack.callback(node.announce, 0)
        ports = {node.id: proxy.port for node, proxy in zip(primaries, proxies, strict=True)}
        until(lambda: cluster.is_announced(ports), "every node tells of the proxies")
        yield "redis+cluster://" + ",".join(f"{HOST}:{port}" for port in ports.values()), proxies
    until(lambda: cluster.is_announced({node.id: node.port for node in primaries}), "every node tells of the others' own ports")
    cluster.until_ready()


@contextmanager
def every_slot_migrating(cluster: Cluster) -> Iterator[None]:
    """Every slot is on its way to the next primary, and none arrives. At the end what was made meanwhile is gone."""
    primaries = cluster.primaries()
    targets = [*primaries[1:], primaries[0]]
    owned = {node: [slot for part in node.slots() for slot in part] for node in primaries}
    for source, target in zip(primaries, targets, strict=True):
        for node, way, other in ((target, "IMPORTING", source), (source, "MIGRATING", target)):
            _set_slots(node, owned[source], way, other.id)
    try:
        yield
    finally:
        for source, target in zip(primaries, targets, strict=True):
            _set_slots(source, owned[source], "STABLE")
            for slot in owned[source]:
                if keys := target.cluster("GETKEYSINSLOT", slot, 1000):
                    _delete_imported(target, keys)
            _set_slots(target, owned[source], "STABLE")
        cluster.until_ready()


def _set_slots(node: ClusterNode, slots: Sequence[int], *words: object) -> None:
    commands = node.client.pipeline(transaction=False)
    for slot in slots:
        commands.execute_command("CLUSTER", "SETSLOT", slot, *words)
    commands.execute()


def _delete_imported(node: ClusterNode, keys: Sequence[bytes]) -> None:
    commands = node.client.pipeline(transaction=False)
    for key in keys:
        commands.execute_command("ASKING")
        commands.delete(key)
    commands.execute()
