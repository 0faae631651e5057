"""Which server has a key: the one there is, the primary that the Sentinels name, or the owner of the key's slot."""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias, cast

from redis.exceptions import ResponseError

from sessionward.backends.redis.wire import Lost, Node, Result, Send, packed
from sessionward.errors import ConfigurationError

SLOTS: Final = 16_384
LOOKUP_SECONDS: Final = 0.5
"""The longest that one server is waited for when we ask where the others are, so that the next one can be asked in time."""
MOVES: Final = 8
"""After so many slots that have moved, the whole table is read anew: each other one would cost a round trip."""

Remap: TypeAlias = Callable[[tuple[str, int]], tuple[str, int]]
Lookup: TypeAlias = Generator[Send, Result, str]
"""Asks where servers are. Returns "" or why it found nothing."""


class Topology(Protocol):
    """Where the keys are, as far as we know. All threads of a process, or all tasks of a loop, share one."""

    def node_of(self, key: bytes) -> Node | None:
        """Returns the server that has a key; None if we must look it up first."""
        ...

    def look_up(self, failed_at: Collection[Node] = ()) -> Lookup:
        """Asks the servers who has what. ``failed_at``: the servers that a call could not be sent to, or that have refused it."""
        ...

    def primaries(self) -> Sequence[Node]:
        """Returns each server that has keys; nothing if we must look them up first."""
        ...

    def doubt(self) -> None:
        """Has the servers asked again before the next call: a primary has failed, or is one no more."""
        ...


class OneServer:
    """A single server, always the same."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def node_of(self, key: bytes) -> Node | None:  # noqa: ARG002 - as the others
        return self._node

    def look_up(self, failed_at: Collection[Node] = ()) -> Lookup:  # noqa: ARG002 - as the others
        yield from ()
        return ""

    def primaries(self) -> Sequence[Node]:
        return (self._node,)

    def doubt(self) -> None:
        """Does nothing: there is no other."""


class BehindSentinels:
    """The primary of a name, which the Sentinels know."""

    def __init__(self, sentinels: Sequence[Node], name: str) -> None:
        self._sentinels = list(sentinels)
        self._name = name
        self._primary: Node | None = None

    def node_of(self, key: bytes) -> Node | None:  # noqa: ARG002 - as the others
        return self._primary

    def look_up(self, failed_at: Collection[Node] = ()) -> Lookup:
        """Takes the answer of the first Sentinel that names another server than those of ``failed_at``. It is asked first the next time.

        A Sentinel that is cut off from the others goes on naming the old primary. Each one is asked once. If all that answer name
        servers of ``failed_at``, one of these is still the primary.
        """
        why, failed = "no Sentinel is known", None
        for sentinel in list(self._sentinels):
            self._ask_last(sentinel)  # also if the time is up before it answers
            replies = yield _lookup(sentinel, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._name.encode())
            if isinstance(replies, Lost):
                why = f"no Sentinel answers, the last of them: {replies.why}"
            elif isinstance(replies[0], list):
                host, port = cast("tuple[bytes, bytes]", replies[0])
                named = Node(host.decode(), int(port))
                if named in failed_at:
                    failed = named
                    continue
                self._primary = named
                self._sentinels = [sentinel, *(other for other in self._sentinels if other != sentinel)]
                return ""
            elif isinstance(replies[0], Exception):
                why = f"the Sentinel at {sentinel} refuses to answer ({type(replies[0]).__name__})"
            else:
                why = f"the Sentinel at {sentinel} knows no primary of the name {self._name!r}"
        self._primary = failed
        return "" if failed is not None else why

    def primaries(self) -> Sequence[Node]:
        return () if self._primary is None else (self._primary,)

    def doubt(self) -> None:
        if self._primary is not None:
            self._primary = None
            self._ask_last(self._sentinels[0])  # the one that has named it

    def _ask_last(self, sentinel: Node) -> None:
        self._sentinels = [*(other for other in self._sentinels if other != sentinel), sentinel]


class InCluster:
    """The slots of a cluster and their owners."""

    def __init__(self, seeds: Sequence[Node], remap: Remap | None = None) -> None:
        self._seeds = tuple(seeds)
        self._remap = remap
        self._owners: list[Node | None] = []
        self._moves = 0

    def node_of(self, key: bytes) -> Node | None:
        owners = self._owners
        return owners[slot_of(key)] if owners and self._moves < MOVES else None

    def look_up(self, failed_at: Collection[Node] = ()) -> Lookup:  # noqa: ARG002 - as the others
        """Asks the primaries that we know, in a random order, and then the servers of the configuration."""
        why = "no server of the cluster is known"
        for node in self._candidates():
            replies = yield _lookup(node, b"CLUSTER", b"SLOTS")
            if isinstance(replies, Lost):
                why = f"no server of the cluster answers, the last of them: {replies.why}"
            elif isinstance(replies[0], ResponseError) and "cluster support disabled" in str(replies[0]):
                raise ConfigurationError(f"server: {node} is no server of a cluster; write redis:// or rediss:// for a single server")
            elif isinstance(replies[0], list) and replies[0]:
                self._owners, self._moves = self._read(cast("Sequence[Sequence[Any]]", replies[0]), node), 0
                return ""
            else:
                why = f"{node} knows no slots of the cluster"
        return why

    def primaries(self) -> Sequence[Node]:
        return tuple(sorted({owner for owner in self._owners if owner is not None}))

    def doubt(self) -> None:
        self._moves = MOVES

    def moved(self, error: Exception, asked: Node) -> Node | None:
        """Notes where MOVED says that a slot is. Returns the server, or None if the answer cannot be read."""
        found = self.named(error, asked)
        slot = _words(error)[0]
        if found is not None and slot.isdigit() and int(slot) < len(self._owners):
            self._owners[int(slot)] = found
            self._moves += 1
        return found

    def named(self, error: Exception, asked: Node) -> Node | None:
        """Returns the server that MOVED or ASK names. An empty host is that of the server which we have asked."""
        host, _, port = _words(error)[-1].rpartition(":")
        return self._node(host.strip("[]") or asked.host, int(port)) if port.isdigit() else None

    def _candidates(self) -> Sequence[Node]:
        known = list(self.primaries())
        random.shuffle(known)
        return [*known, *(seed for seed in self._seeds if seed not in known)]

    def _read(self, rows: Iterable[Sequence[Any]], asked: Node) -> list[Node | None]:
        owners: list[Node | None] = [None] * SLOTS
        for first, last, primary, *_ in rows:
            host = (primary[0] or b"").decode()
            node = self._node(host if host not in ("", "?") else asked.host, primary[1])
            owners[first : last + 1] = [node] * (last + 1 - first)
        return owners

    def _node(self, host: str, port: int) -> Node:
        return Node(*(self._remap((host, port)) if self._remap is not None else (host, port)))


def slot_of(key: bytes) -> int:
    """Returns the slot of a key: of what is in its first braces, if anything, else of the whole key."""
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def _words(error: Exception) -> list[str]:
    """Returns the words of MOVED or ASK: the slot, and the address."""
    return str(error).split()


def _lookup(node: Node, *words: bytes) -> Send:
    return Send(node, packed(*words), is_lookup=True, seconds=LOOKUP_SECONDS)
