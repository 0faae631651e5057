"""Looks at the settings of each server before its first script: which of them would break a promise?"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sessionward.backends.redis.part import Wait
from sessionward.backends.redis.wire import Node, Send, packed
from sessionward.errors import ConfigurationError

log = logging.getLogger("sessionward")

SETTINGS: Final = ("appendonly", "appendfsync", "save", "maxmemory-policy", "cluster-allow-reads-when-down")
OLDEST: Final = (7, 0)
"""The first version whose scripts say by flags what a full server and a replica do with them."""


class Startup:
    """What a backend expects of its servers.

    ``strict``: whether a setting that breaks a promise is an error, and no warning. ``kind``: ``"server"``, ``"sentinel"`` or
    ``"cluster"``.
    """

    def __init__(self, kind: str, wait: Wait | None, *, strict: bool) -> None:
        self._kind = kind
        self._wait = wait
        self._strict = strict

    def questions(self, node: Node) -> Send:
        """Returns the commands that read the settings, in one piece."""
        commands = [packed(b"INFO", b"server"), packed(b"INFO", b"replication"), packed(b"INFO", b"cluster")]
        commands += [packed(b"CONFIG", b"GET", name) for name in SETTINGS]
        return Send(node, b"".join(commands), len(commands))

    def judge(self, node: Node, replies: Sequence[Any]) -> None:
        """Logs a warning for each setting that breaks a promise.

        Raises :class:`ConfigurationError` for what no call would work with; with ``strict`` for those settings too, all at once.
        """
        server, replication, cluster = (_information(reply) for reply in replies[:3])
        self._check_kind(node, server, cluster)
        settings = {name: _setting(reply) for name, reply in zip(SETTINGS, replies[3:], strict=True)}
        found = [*self._durability(settings), *self._memory(settings), *self._replicas(replication)]
        if self._strict and found:
            raise ConfigurationError(*(f"server: Redis at {node}: {mistake}" for mistake in found))
        for mistake in (*found, *_unread(settings, server, replication)):
            _warn(str(node), mistake)

    def _check_kind(self, node: Node, server: Mapping[str, str], cluster: Mapping[str, str]) -> None:
        version = server.get("redis_version", "")
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if numbers and numbers < OLDEST:
            raise ConfigurationError(f"server: Redis at {node} is version {version}; Redis 7.0 or later, or Valkey, is needed")
        is_cluster = cluster.get("cluster_enabled")
        if is_cluster == "1" and self._kind != "cluster":
            raise ConfigurationError(f"server: Redis at {node} is part of a Redis Cluster; write redis+cluster://, or pass a RedisCluster")
        if is_cluster == "0" and self._kind == "cluster":
            raise ConfigurationError(f"server: Redis at {node} is no server of a cluster; write redis:// or rediss:// for a single server")

    def _durability(self, settings: Mapping[str, str | None]) -> Iterator[str]:
        if settings["appendonly"] == "no":
            if settings["save"]:
                yield (
                    "it writes snapshots only (save), so a crash makes sessions live again that were revoked since the last one;"
                    " set appendonly yes"
                )
            else:
                yield (
                    "it writes nothing to the disk, so a restart ends all sessions and forgets who was revoked: signed cookies of an"
                    " application that were revoked pass again, until sessionward restored has run; set appendonly yes"
                )
        elif settings["appendonly"] == "yes" and settings["appendfsync"] == "no":
            yield "appendfsync is no, so a crash of the machine may undo revocations of half a minute; set appendfsync everysec or always"
        if self._kind == "cluster" and settings["cluster-allow-reads-when-down"] == "yes":
            yield (
                "cluster-allow-reads-when-down is yes, so a server that has lost its cluster goes on accepting revoked sessions;"
                " set it to no"
            )

    def _memory(self, settings: Mapping[str, str | None]) -> Iterator[str]:
        policy = settings["maxmemory-policy"]
        if policy not in (None, "noeviction"):
            yield f"maxmemory-policy is {policy}, so a full server drops sessions and revocations; set maxmemory-policy noeviction"

    def _replicas(self, replication: Mapping[str, str]) -> Iterator[str]:
        role, replicas = replication.get("role"), replication.get("connected_slaves", "")
        if role == "slave":
            if self._kind == "server":  # elsewhere the next look-up finds the primary
                yield "it is a replica, and refuses every script; name its primary"
        elif self._wait is not None and replicas.isdigit() and int(replicas) < self._wait.replicas:
            yield (
                f"it has {_counted(int(replicas))}, and wait={tuple(self._wait)} needs {self._wait.replicas}: no revocation, and no"
                " sign-in, will be confirmed"
            )


def _counted(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"


def _unread(settings: Mapping[str, str | None], *information: Mapping[str, str]) -> Iterator[str]:
    if any(settings[name] is None for name in ("appendonly", "maxmemory-policy")) or not all(information):
        yield (
            "its settings could not be read (CONFIG GET and INFO are not allowed here); make sure that it keeps its data"
            " (appendonly yes), and evicts nothing (maxmemory-policy noeviction)"
        )


def _information(reply: Any) -> dict[str, str]:
    """Returns the fields of INFO; none if it may not be read."""
    if not isinstance(reply, bytes):
        return {}
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


@lru_cache(maxsize=256)
def _warn(node: str, mistake: str) -> None:
    """Logs a warning once in each process, whatever the number of its backends and connections."""
    log.warning("Redis at %s: %s", node, mistake)


def _setting(reply: Any) -> str | None:
    """Returns the value of a setting; None if it may not be read, or if this server has none of this name."""
    match reply:
        case [bytes(), bytes() as value]:
            return value.decode(errors="replace")
        case _:
            return None
