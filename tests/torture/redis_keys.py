"""A Redis or a cluster, and the prefix of a test's keys there, in one URL: ``redis://host:port/0#prefix``."""

from __future__ import annotations

from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

PATIENCE: Final = 30.0
"""Seconds that a command may take: a torture asks for more at once than two cores can do in a timeout."""


def server_of(url: str) -> str:
    """The URL as a backend takes it."""
    return url.partition("#")[0]


def prefix_of(url: str) -> str:
    return url.partition("#")[2]


def is_redis(url: str) -> bool:
    return url.startswith(("redis:", "redis+"))


def client_of(url: str) -> Any:
    """A client of the test's own, which repeats nothing."""
    server = server_of(url)
    scheme, _, hosts = server.partition("://")
    if scheme == "redis":
        return redis.Redis.from_url(server, socket_timeout=PATIENCE, retry=Retry(NoBackoff(), 0))
    assert scheme == "redis+cluster"
    addresses = [one.partition(":") for one in hosts.split(",")]
    nodes = [ClusterNode(host, int(port)) for host, _, port in addresses]  # type: ignore[no-untyped-call]
    return redis.RedisCluster(startup_nodes=nodes, socket_timeout=PATIENCE, retry=Retry(NoBackoff(), 0))


def forget(url: str) -> None:
    """Delete whatever a test has left under its prefix."""
    with client_of(url) as client:
        for key in list(client.scan_iter(match=f"{prefix_of(url)}*", count=1000)):
            client.delete(key)
