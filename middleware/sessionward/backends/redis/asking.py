"""Runs a script on a user, also while the user's slot is being moved between nodes of a cluster."""

from __future__ import annotations

from typing import Any, Final

from sessionward.backends.redis.call import Argument, Call, Flow, NotHere, Script
from sessionward.backends.redis.entry import SECOND
from sessionward.backends.redis.layout import Owner, Place
from sessionward.backends.redis.lua import NO_STATE, OTHER_ERA
from sessionward.backends.redis.state import State, read_or_make, state_of
from sessionward.errors import BackendUnavailable

TRIES: Final = 5
"""How often the state is read anew for one script. Each time but the first needs another era that began meanwhile."""


def asked(
    place: Place, owner: Owner, script: Script, arguments: tuple[Argument, ...] = (), *, writes: bool = False, lasts: bool = False
) -> Flow[Any]:
    """Runs a script on a user. Returns its reply: bytes, or a list whose first item is a number above 0.

    If the script does not find the state of the tag, it has done nothing. Then we read the state by its own key, before the script
    reads a session: so a worker never trusts a session for a lease that began later.
    """
    reply, _ = yield from asked_how(place, owner, script, arguments, writes=writes, lasts=lasts)
    return reply


def asked_how(
    place: Place, owner: Owner, script: Script, arguments: tuple[Argument, ...] = (), *, writes: bool = False, lasts: bool = False
) -> Flow[tuple[Any, bool]]:
    """Does the same. Returns also whether the state was read before the script ran, and not by it."""
    reply: Any
    state = seen = b""
    for _ in range(TRIES):
        call = (owner.state, state, seen, int(place.keep * SECOND), *arguments)
        try:
            reply = yield Call(script, owner.key, call, writes=writes, lasts=lasts)
        except NotHere:
            reply = (NO_STATE,)
        if isinstance(reply, bytes) or reply[0] > NO_STATE:
            return reply, bool(state)
        if reply[0] == OTHER_ERA:
            seen = reply[1]
        state = yield from read_or_make(place, owner.state)
    raise BackendUnavailable("the sessions of all users were revoked again and again meanwhile; try again")


def wait_after(place: Place, owner: Owner, state: State, now: int, *, was_read_before: bool) -> Flow[float]:
    """Returns for how long other workers may still trust the opposite of what a script has found.

    A state that was read before the script ran does not know of a longer lease that began meanwhile.
    """
    if was_read_before:
        state = state_of((yield from read_or_make(place, owner.state)))
    return state.wait(now)
