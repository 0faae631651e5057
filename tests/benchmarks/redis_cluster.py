"""Checks a second on a Redis Cluster of three primaries beside one server, and how much of the processors the servers have for it.

The client sends the checks that the backend would send, written before, so that the servers are what is busy. It runs on the same
machine. The processor time that a server takes for one check is the figure that holds on other machines.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from threading import Thread
from time import perf_counter
from typing import Final, TypeAlias

from tests.benchmarks.measure import Effort, Result, Row, compared, ratios, times
from tests.benchmarks.redis_load import Check, checks
from tests.support.redis_cluster import Cluster, redis_cluster
from tests.support.redis_servers import Node, one_redis
from tests.support.servers import HOST

SESSIONS: Final = 20_000
AT_ONCE: Final = 64
"""Checks that are on their way together on one connection."""
LAST: Final = b"PING\r\n"
END: Final = b"+PONG\r\n"
"""What follows each of these batches, and its answer."""

Batches: TypeAlias = Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Burst:
    """``rate``: checks a second. ``work``: seconds of a server's processor for one. ``share``: of the processors, used by the servers."""

    rate: float
    work: float
    share: float


def measure(effort: Effort) -> Iterator[Result]:
    rounds, seconds = (11, 2.0) if effort.rounds >= Effort.full().rounds else (3, 0.5)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        one = stack.enter_context(one_redis(Path(folder) / "one"))
        cluster = stack.enter_context(redis_cluster(Path(folder) / "cluster"))
        sides: Mapping[str, Mapping[Node, Batches]] = {
            "one": {one: _batches(checks(one.url, SESSIONS))},
            "cluster": _by_primary(checks(cluster.url, SESSIONS), cluster),
        }
        found: dict[str, list[Burst]] = {side: [] for side in sides}
        for turn in range(rounds):
            for side in sides if turn % 2 == 0 else reversed(list(sides)):
                found[side].append(_burst(sides[side], seconds))
    yield from _rows(found)


def _rows(found: Mapping[str, Sequence[Burst]]) -> Iterator[Row]:
    rate = {side: [burst.rate for burst in bursts] for side, bursts in found.items()}
    shares = {side: f"{median(burst.share for burst in bursts):.0%}" for side, bursts in found.items()}
    yield Row(
        f"checks a second on a cluster of three primaries, client on the same {os.cpu_count()} CPUs",
        f"{median(rate['cluster']):,.0f}/s (servers: {shares['cluster']} of the CPUs)",
        f"one server {median(rate['one']):,.0f}/s (server: {shares['one']})",
        ratios(rate["cluster"], rate["one"]),
        times,
        None,
    )
    work = {side: [burst.work for burst in bursts] for side, bursts in found.items()}
    yield compared("a server's processor time for one check, in the cluster", work["cluster"], "alone", work["one"], None)


def _by_primary(checks: Sequence[Check], cluster: Cluster) -> Mapping[Node, Batches]:
    slots = {primary: [slot for part in primary.slots() for slot in part] for primary in cluster.primaries()}
    return {primary: _batches([check for check in checks if check.slot in set(some)]) for primary, some in slots.items()}


def _batches(checks: Sequence[Check]) -> Batches:
    return [b"".join(check.command for check in checks[at : at + AT_ONCE]) + LAST for at in range(0, len(checks) - AT_ONCE, AT_ONCE)]


def _burst(sides: Mapping[Node, Batches], seconds: float) -> Burst:
    """Asks all these servers at once for so many seconds, a thread for each."""
    counts = dict.fromkeys(sides, 0)
    before, began = _processor_time(sides), perf_counter()

    def ask(node: Node, batches: Batches) -> None:
        with socket.create_connection((HOST, node.port)) as connection:
            for batch in cycle(batches):
                connection.sendall(batch)
                answer = connection.recv(1 << 20)
                assert not answer.startswith(b"-"), answer
                while not answer.endswith(END):
                    answer = answer[-len(END) :] + connection.recv(1 << 20)
                counts[node] += AT_ONCE
                if perf_counter() - began > seconds:
                    return

    threads = [Thread(target=ask, args=side) for side in sides.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, work, number = perf_counter() - began, _processor_time(sides) - before, sum(counts.values())
    return Burst(number / took, work / number, work / (took * (os.cpu_count() or 1)))


def _processor_time(nodes: Mapping[Node, object]) -> float:
    """Seconds that these servers have run so far, in all their threads."""
    used = [node.info("cpu") for node in nodes]
    return sum(float(one["used_cpu_sys"]) + float(one["used_cpu_user"]) for one in used)
