"""The states of one request on its way, and every move between them.

::

    JUDGING ──> CONNECTING ──> ASKING ──> DECIDING ──> ANSWERING ──> OVER
       │             │            │  └──────────────────^  │
       │             │            └──> CONNECTING (once)   └──> TUNNEL ──> OVER
       └─────────────┴────────────┴──> OVER (a response of our own, or the client is gone)

"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.IntEnum):
    """Where a request is. An IntEnum is found in a set four times as fast as an Enum."""

    JUDGING = enum.auto()  # a flow decides who is calling, and whether the request goes on
    CONNECTING = enum.auto()  # a connection to the upstream is being opened
    ASKING = enum.auto()  # the request is on its way; its answer has not begun
    DECIDING = enum.auto()  # a flow decides about the head of the answer
    ANSWERING = enum.auto()  # the answer is on its way to the client
    TUNNEL = enum.auto()  # bytes in both directions
    OVER = enum.auto()


MOVES: Final = {
    State.JUDGING: {State.CONNECTING, State.ASKING, State.OVER},
    State.CONNECTING: {State.ASKING, State.OVER},
    State.ASKING: {State.CONNECTING, State.DECIDING, State.ANSWERING, State.TUNNEL, State.OVER},
    State.DECIDING: {State.ANSWERING, State.TUNNEL, State.OVER},
    State.ANSWERING: {State.OVER},
    State.TUNNEL: {State.OVER},
    State.OVER: set[State](),
}
"""Every move that there is."""
