"""One call of a flow: how it is written for a server, and what the server's reply to it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sessionward.backends.redis.call import Call
from sessionward.backends.redis.failures import Kind, explained, kind_of
from sessionward.backends.redis.topology import InCluster, Topology
from sessionward.backends.redis.wire import Node, Send, packed, packed_call
from sessionward.errors import ConfigurationError

PAUSE: Final = 0.02
"""Seconds before a call is sent again to a slot that is on its way to another server. Each further pause is as much longer."""
ASKING: Final = packed(b"ASKING")


class Wait(NamedTuple):
    """How many replicas must confirm an answer that must last, and for how many milliseconds we wait for them."""

    replicas: int
    milliseconds: int


class Part:
    """A call, and how far it has come.

    ``node``: where it goes next; None if that must be found out. ``failed_at``: the servers that could not be asked, and ``why`` the last.
    ``failure``: why it has failed, and ``is_in_doubt`` whether it may have run all the same.
    """

    def __init__(self, call: Call, node: Node | None = None) -> None:
        self.call = call
        self.node = node
        self.failed_at: set[Node] = set()
        self.why = ""
        self.reply: Any = None
        self.is_answered = False
        self.is_missing = False
        """Whether the server does not have the script, so that its text must be sent."""
        self.is_asking = False
        """Whether the server has the slot of the key only for calls that say so."""
        self.is_not_here = False
        self.pause = 0.0
        self.failure = ""
        self.is_in_doubt = False

    def answer(self, reply: Any) -> None:
        """Notes what the script has returned."""
        self.reply = reply
        self.is_answered = True

    def fail(self, why: str, *, in_doubt: bool) -> None:
        """Notes why there will be no answer."""
        self.failure = why
        self.is_in_doubt = in_doubt

    def look_elsewhere(self, why: str) -> None:
        """The server surely has not run the call. If another one has the key now, it is asked."""
        if self.node is not None:
            self.failed_at.add(self.node)
        self.why, self.node = why, None

    def packed(self, *, in_full: bool) -> bytes:
        """Returns the command: with the digest of the script, or with its whole text."""
        call = self.call
        return packed(b"EVAL", call.script.text, 1, call.key, *call.arguments) if in_full else packed_call(call)


def written(node: Node, parts: Sequence[Part], wait: Wait | None) -> Send:
    """Returns the calls for one server in one piece. WAIT is the last command if an answer must last."""
    if len(parts) == 1 and wait is None and not parts[0].is_asking and not parts[0].is_missing:
        return Send(node, packed_call(parts[0].call), writes=parts[0].call.writes)
    commands: list[bytes] = []
    loaded: set[str] = set()
    for part in parts:
        if part.is_asking:
            commands.append(ASKING)
        sha = part.call.script.sha
        commands.append(part.packed(in_full=part.is_missing and sha not in loaded))
        if part.is_missing:
            loaded.add(sha)  # by this EVAL, for the commands behind it
    if wait is not None and any(part.call.lasts for part in parts):
        commands.append(packed(b"WAIT", *wait))
    return Send(node, b"".join(commands), len(commands), writes=any(part.call.writes for part in parts))


def read(send: Send, parts: Sequence[Part], replies: Sequence[Any], topology: Topology, wait: Wait | None) -> None:
    """Notes in each part what the replies to :func:`written` say."""
    left = iter(replies)
    for part in parts:
        was_asking, part.is_asking = part.is_asking, False
        if was_asking:
            next(left)
        reply = next(left)
        if isinstance(reply, Exception):
            _read_error(send.node, part, reply, topology)
            part.is_asking = part.is_asking or (was_asking and part.is_missing)  # the text goes where the digest went
        else:
            part.answer(reply)
    if wait is None:
        return
    confirmed = next(left, None)
    if isinstance(confirmed, int) and confirmed >= wait.replicas:
        return
    for part in parts:
        if part.is_answered and part.call.lasts:
            part.fail(_unconfirmed(confirmed, wait), in_doubt=True)


def _unconfirmed(confirmed: object, wait: Wait) -> str:
    if isinstance(confirmed, int):
        return f"{confirmed} of {wait.replicas} replicas confirmed the change within {wait.milliseconds} ms: a failover could undo it"
    code = kind_of(confirmed)[1] if isinstance(confirmed, Exception) else "no reply"
    return f"Redis did not say whether replicas have the change ({code}): a failover could undo it"


def _read_error(node: Node, part: Part, error: Exception, topology: Topology) -> None:
    kind, code = kind_of(error)
    refused = f"Redis at {node} did not run the script {part.call.script.name!r}: {explained(code)}"
    if kind is Kind.NO_SCRIPT:
        part.is_missing = True
    elif kind in (Kind.MOVED, Kind.ASK):
        if not isinstance(topology, InCluster):
            raise ConfigurationError(f"server: {node} is part of a Redis Cluster; write redis+cluster:// or pass a RedisCluster")
        part.node = topology.moved(error, node) if kind is Kind.MOVED else topology.named(error, node)
        part.is_asking = kind is Kind.ASK and part.node is not None
        part.is_missing = False
    elif kind is Kind.TRY_AGAIN:
        part.pause += PAUSE
        part.node = None
    elif kind is Kind.DEMOTED:
        topology.doubt()
        part.look_elsewhere(refused)
    elif kind is Kind.NOT_HERE:
        part.is_not_here = True
    elif kind is Kind.NOT_RUN:
        if code == "CLUSTERDOWN":
            topology.doubt()
        part.fail(refused, in_doubt=False)
    else:
        part.fail(f"the script {part.call.script.name!r} failed on Redis at {node}: {explained(code)}", in_doubt=part.call.writes)
