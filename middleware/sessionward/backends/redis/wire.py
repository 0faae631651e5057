"""What goes to a server in one piece, and how a command is written for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from sessionward.backends.redis.call import Argument, Call


class Node(NamedTuple):
    """The address of one server. ``port`` is 0 for the path of a Unix socket. A Sentinel is connected to with other credentials."""

    host: str
    port: int
    is_sentinel: bool = False

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True)
class Send:
    """Commands for one server, to be sent on one connection in one piece.

    ``replies``: how many come. ``writes``: whether one of the commands may change something. ``is_lookup``: whether it asks where
    servers are, which any server may answer. ``seconds``: the longest wait, if it is shorter than the deadline.

    ``is_sent``: whether the server may have got a whole command. The links set it.
    """

    node: Node
    payload: bytes = field(repr=False)
    replies: int = 1
    writes: bool = False
    is_lookup: bool = False
    seconds: float | None = None
    is_sent: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """No replies came: the server could not be reached, did not answer in time, or the connection broke. ``why``: for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Pause:
    """So many seconds are waited before the next step."""

    seconds: float


Result: TypeAlias = list[Any] | Lost
"""The replies to one :class:`Send`. An error that the server has answered is a value among them."""
Step: TypeAlias = Send | Sequence[Send] | Pause
"""What is to be done next. Several sends go out at once, and get a list of results. A pause gets None."""


def packed(*words: Argument) -> bytes:
    """Returns one command in the protocol of Redis."""
    return b"*%d\r\n%b" % (len(words), b"".join(map(_word, words)))


def packed_call(call: Call) -> bytes:
    """Returns the call of a script by its digest."""
    arguments = call.arguments
    return b"*%d\r\n%b%b%b" % (4 + len(arguments), call.script.head, _word(call.key), b"".join(map(_word, arguments)))


def _word(word: Argument) -> bytes:
    if type(word) is not bytes:
        word = word.encode() if type(word) is str else str(word).encode()
    return b"$%d\r\n%b\r\n" % (len(word), word)
