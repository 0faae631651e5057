"""Redis servers of the tests' own, to be stopped, killed, cut off and started at will: one, a primary with its replica, Sentinels."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.servers import ATTEMPTS, HOST, NotStarted, Server, end, start, wait_until_listening
from tests.support.services import missing

PROGRAM: Final = "redis-server"
PORTS: Final = range(20_000, 22_700)
"""Below the range from which Linux takes ports for outgoing connections, as is the bus of a cluster above it."""
BUS: Final = 10_000
"""A node of a cluster listens on its port, and on the port that is so much higher."""
PATIENCE: Final = 30.0
"""Seconds within which servers agree on something, also on a machine that is busy."""
DOWN_AFTER: Final = 500
"""Milliseconds without an answer after which a server counts as down."""

DURABLE: Final = (
    "--appendonly",
    "yes",
    "--save",
    "",
    "--maxmemory-policy",
    "noeviction",
    "--repl-diskless-sync-delay",
    "0",
    "--shutdown-timeout",
    "0",
)


class Node:
    """A Redis server with its data in a folder of its own. It starts again on the same port, with the same data."""

    def __init__(self, folder: Path, port: int, options: Sequence[str] = DURABLE) -> None:
        self.folder = folder
        self.port = port
        self._options = options
        self._server: Server | None = None
        self.client: Any = redis.Redis(
            host=HOST,
            port=port,
            socket_timeout=5.0,
            socket_connect_timeout=5.0,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=False,
        )
        """A client of the test's own, which repeats nothing."""

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        """Start, and wait until it has loaded its data. Raises :class:`NotStarted`."""
        options = ["--port", str(self.port), "--bind", HOST, "--dir", str(self.folder), "--daemonize", "no", *self._options]
        self._server = start([PROGRAM, *self.arguments(), *options], port=self.port, log=self.folder / "log")
        wait_until_listening(self._server)
        until(self.answers, f"the server on port {self.port} answers")

    def arguments(self) -> Sequence[str]:
        """What precedes the options."""
        return ()

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """The process stands still. Its sockets stay, and the kernel goes on acknowledging."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut does it."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Kill it and start it again with what its log has."""
        self.kill()
        self.client.connection_pool.disconnect()
        self.start()

    def info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.info(section)
        return found

    def follow(self, primary: Node | None) -> None:
        """Become a replica, or a primary again."""
        self.client.replicaof(*(("NO", "ONE") if primary is None else (HOST, primary.port)))

    def is_linked(self) -> bool:
        """Whether this replica has all of its primary's data, hears of every change, and is counted by WAIT of its primary."""
        try:
            own = self.info("replication")
            return own.get("master_link_status") == "up" and self._is_online_at(own["master_host"], own["master_port"])
        except redis.RedisError:
            return False

    def _is_online_at(self, host: str, port: int) -> bool:
        """Whether the primary has heard the replica's first acknowledgement. Until then WAIT does not count it, and is not told."""
        with redis.Redis(host=host, port=port, socket_timeout=5.0, socket_connect_timeout=5.0, retry=Retry(NoBackoff(), 0)) as primary:
            found: dict[str, Any] = primary.info("replication")
        replicas = [found[f"slave{number}"] for number in range(found["connected_slaves"]) if f"slave{number}" in found]
        return any(one["port"] == self.port and one["state"] == "online" for one in replicas)

    def cut_off_from(self, primary: Node) -> None:
        """End the link of this replica, and let none come up again: it gives a password that nobody asks for."""
        self.client.config_set("masterauth", "wrong")
        primary.client.client_kill_filter(_type="slave")
        until(lambda: self.info("replication")["master_link_status"] == "down", "the replica has lost its link")
        until(lambda: primary.info("replication")["connected_slaves"] == 0, "the replica is cut off")

    def join_again(self) -> None:
        """Undo the cut, and wait until the replica has all that it has missed."""
        self.client.config_set("masterauth", "")
        until(self.is_linked, "the replica is linked again")

    def close(self) -> None:
        """End it at once: a primary that is asked to end waits for its replicas."""
        self.client.close()
        if self._server is not None:
            self._server.process.kill()
            end(self._server.process)

    @property
    def _process(self) -> Any:
        assert self._server is not None
        return self._server.process


class Sentinel(Node):
    """A process that watches a primary named ``mymaster``, and makes its replica the primary when two of three find it down."""

    def __init__(self, folder: Path, port: int, primary: Node) -> None:
        super().__init__(folder, port, ())
        lines = [
            f"sentinel monitor mymaster {HOST} {primary.port} 2",
            f"sentinel down-after-milliseconds mymaster {DOWN_AFTER}",
            "sentinel failover-timeout mymaster 3000",
        ]
        self._configuration = folder / "sentinel.conf"
        self._configuration.write_text("\n".join(lines) + "\n")

    def arguments(self) -> Sequence[str]:
        return (str(self._configuration), "--sentinel")

    def primary(self) -> int:
        """The port of the primary that it knows."""
        return int(self.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[1])

    def knows_all(self) -> bool:
        """Whether it has found the replica and both other Sentinels, so that a failover can happen."""
        found: dict[str, Any] = self.client.sentinel_master("mymaster")
        return (found["num-slaves"], found["num-other-sentinels"]) == (1, 2)


class Watched:
    """A primary with a replica, watched by three Sentinels."""

    def __init__(self, nodes: Sequence[Node], sentinels: Sequence[Sentinel]) -> None:
        self.nodes = nodes
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/mymaster/0"

    def primary(self) -> Node:
        """The primary that all Sentinels know."""
        ports = {one.primary() for one in self.sentinels}
        found = [node for node in self.nodes if {node.port} == ports]
        assert found, f"the Sentinels know different primaries: {ports}"
        return found[0]

    def replica(self) -> Node:
        primary = self.primary()
        return next(node for node in self.nodes if node is not primary)

    def until_primary_is(self, node: Node) -> None:
        until(lambda: {one.primary() for one in self.sentinels} == {node.port}, "the Sentinels know the new primary")
        until(lambda: node.info("replication")["role"] == "master", "it is a primary")


def until(condition: Callable[[], bool], claim: str, *, seconds: float = PATIENCE) -> None:
    """Return once a condition holds. Fails after so many seconds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not within {seconds:g} s: {claim}"
        time.sleep(0.01)


def redis_ports(number: int) -> list[int]:
    """So many ports that nothing listens on at this moment, neither on those of the bus."""
    if shutil.which(PROGRAM) is None:
        missing(PROGRAM, "it is not installed")
    free = (port for port in random.sample(PORTS, len(PORTS)) if _is_free(port) and _is_free(port + BUS))
    return list(islice(free, number))


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind((HOST, port))
            return True
        return False


@contextmanager
def started(make: Callable[[Sequence[int]], Sequence[Node]], number: int) -> Iterator[Sequence[Node]]:
    """Nodes that have been made for so many free ports, started, and closed at the end.

    Another process may take a port between our look and the server's: then all get others.
    """
    for attempt in range(1, ATTEMPTS + 1):
        with ExitStack() as stack:
            nodes = make(redis_ports(number))
            for node in nodes:
                stack.callback(node.close)
            try:
                for node in nodes:
                    node.start()
            except NotStarted as failure:
                if attempt == ATTEMPTS or "address already in use" not in str(failure).lower():
                    raise
                continue
            yield nodes
            return


def _folder(above: Path, port: int) -> Path:
    folder = above / str(port)
    folder.mkdir(parents=True)
    return folder


@contextmanager
def one_redis(above: Path, *options: str) -> Iterator[Node]:
    """One server, which keeps a log of every change, and refuses writes when it is full. ``options`` as ``redis-server`` has them."""
    with started(lambda ports: [Node(_folder(above, port), port, (*DURABLE, *options)) for port in ports], 1) as nodes:
        yield nodes[0]


@contextmanager
def primary_and_replica(above: Path) -> Iterator[tuple[Node, Node]]:
    """Two servers, of which the second has followed the first."""
    with started(lambda ports: [Node(_folder(above, port), port) for port in ports], 2) as (primary, replica):
        replica.follow(primary)
        until(replica.is_linked, "the replica has followed")
        yield primary, replica


@contextmanager
def watched_by_sentinels(above: Path) -> Iterator[Watched]:
    """A primary, its replica, and three Sentinels that know them all."""
    with ExitStack() as stack:
        nodes = stack.enter_context(primary_and_replica(above / "servers"))
        made = started(lambda ports: [Sentinel(_folder(above / "sentinels", port), port, nodes[0]) for port in ports], 3)
        sentinels = [one for one in stack.enter_context(made) if isinstance(one, Sentinel)]
        for one in sentinels:
            until(one.knows_all, "a Sentinel knows the replica and the others")
        yield Watched(nodes, sentinels)
