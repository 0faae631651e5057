"""The era and the lease: the state that each tag has, so that one script reads it together with a session.

Why 1 024 copies keep CONTRACT.md 5: a worker trusts an answer for the lease of the copy that the same script has read. A revocation
waits for the lease of the one state of all, which it reads after its commit. That is never shorter than any copy:

- A longer lease is written to the state of all first, and to the copies after the reply. A check that reads the longer one began after
  that. A revocation that did not wait for it had read the state of all before, and so had committed before: the check reads it.
- A shorter lease is written to the state of all, which goes on to count the longer one, without a limit of time, until all copies are
  written. Only then its last hour begins (``LEASES_WITHIN``). Each copy has an hour of its own, for the waits of its own users.
- A wait that goes with *ended* is read with the session or after it, never before.
- Each change has a serial number, and a copy takes no older change over a younger one. A change whose process ended half-way is
  completed by the next ``raise_lease``, which sees that the last serial number is not the one that is done. After a failover or a restore
  the state of all may be older than a copy: the next change of the lease then takes a higher number than any copy has, as
  ``revoke_everybody`` does.

An era is written to the copies first and to the state of all last, from which only a copy that is missing is made.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from sessionward.backends.leased import Lease
from sessionward.backends.redis.call import Call, Flow
from sessionward.backends.redis.entry import SECOND, moment
from sessionward.backends.redis.layout import TAGS, Place
from sessionward.backends.redis.lua import CLOCK, script
from sessionward.session.era import new_era
from sessionward.session.session import LEASES_WITHIN
from sessionward.settings import MAX_LEASE

PACKED: Final = struct.Struct("<qqddqII")
PENDING: Final = -1
"""In place of the time: a shorter lease has not yet been written to all copies."""
BATCH: Final = 256
"""How many copies are written at once."""


class State(NamedTuple):
    """The state of a tag, or of all. Times are microseconds since 1970. ``lowered_at``: 0 if the lease never became shorter."""

    era: int = 0
    era_at: int = 0
    lease: float = 0.0
    former_lease: float = 0.0
    lowered_at: int = 0
    serial: int = 0
    done: int = 0

    def wait(self, now: int) -> float:
        """Returns the largest lease of the last hour. A time in the future counts: the clock was set back."""
        if self.lowered_at == 0 or (self.lowered_at != PENDING and now - self.lowered_at >= LEASES_WITHIN * SECOND):
            return self.lease
        return max(self.lease, self.former_lease)

    @property
    def is_done(self) -> bool:
        """Whether the last change of the lease has been written to all copies."""
        return self.serial == self.done


@lru_cache(maxsize=256)
def state_of(packed: bytes) -> State:
    return State(*PACKED.unpack(packed)) if packed else State()


def copied(overall: bytes) -> bytes:
    """Returns what a missing copy is made of: it never had a longer lease."""
    return PACKED.pack(*state_of(overall)._replace(former_lease=0.0, lowered_at=0))


def packed_era(era: int) -> bytes:
    return era.to_bytes(8, "little")


# --- scripts ----------------------------------------------------------------------------------------------------------

_FIELDS: Final = "local era, era_at, lease, former, lowered, serial, done = struct.unpack('<c8i8ddi8I4I4', s)\n"
_WRITE: Final = "redis.call('SET', KEYS[1], struct.pack('<c8i8ddi8I4I4', era, era_at, lease, former, lowered, serial, done))\n"
# ARGV[1]: what a state is made of that is missing.
_READ: Final = CLOCK + "local s = redis.call('GET', KEYS[1]) or ARGV[1]\n" + _FIELDS
_SHORTER: Final = f"""
local function shorter(at)
  local counted = lowered ~= 0 and (lowered == {PENDING} or NOW - lowered < {LEASES_WITHIN * SECOND:.0f})
  former = counted and math.max(former, lease) or lease
  lowered = at
end
"""

READ: Final = script("read_state", CLOCK + "return {redis.call('GET', KEYS[1]) or '', NOW}")
# A copy that was missing begins now: its own node's clock says when, not that of the node which has the state of all.
MAKE: Final = script(
    "make_state",
    _READ
    + "if redis.call('EXISTS', KEYS[1]) == 0 then\n"
    + "if era ~= string.rep('\\0', 8) then era_at = NOW end\n"
    + _WRITE
    + "end return redis.call('GET', KEYS[1])",
)
SET_ERA: Final = script("set_era", _READ + "era, era_at = ARGV[2], NOW\n" + _WRITE + "return serial")
NOTE_ERA: Final = script("note_era", _READ + "if era_at > NOW then era_at = NOW " + _WRITE + "end")
# A copy that has another lease of the same number has it from before the state of all was lost: it asks for a higher number.
COPY_LEASE: Final = script(
    "copy_lease",
    _READ
    + _SHORTER
    + "local new, number, beyond = tonumber(ARGV[2]), tonumber(ARGV[3]), 0\n"
    + "if number > serial or redis.call('EXISTS', KEYS[1]) == 0 then\n"
    + "if new < lease then shorter(NOW) end\n"
    + "lease, serial, done = new, number, number\n"
    + "elseif number == serial and new ~= lease then beyond = 1 end\n"
    + _WRITE
    + "return serial + beyond",
)
CHANGE_LEASE: Final = script(
    "change_lease",
    _READ
    + _SHORTER
    + "local new, lower = tonumber(ARGV[2]), ARGV[3] == '1'\n"
    + "if new > lease or (new < lease and lower) then\n"
    + f"if new < lease then shorter({PENDING}) end\n"
    + "lease, serial = new, serial + 1\n"
    + "end\n"
    + _WRITE
    + "return redis.call('GET', KEYS[1])",
)
# The state of all is older than a copy: it was lost in a failover, or restored from an older backup. No longer lease is known.
OVERTAKE: Final = script(
    "overtake",
    _READ
    + "local number = tonumber(ARGV[2])\n"
    + "if serial < number then\n"
    + f"serial, former, lowered = number + 1, {MAX_LEASE}, {PENDING}\n"
    + "end\n"
    + _WRITE
    + "return redis.call('GET', KEYS[1])",
)
LEASE_DONE: Final = script(
    "lease_done",
    _READ
    + "local number = tonumber(ARGV[2])\n"
    + f"if number == serial and lowered == {PENDING} then lowered = NOW end\n"
    + "done = math.max(done, number)\n"
    + _WRITE,
)

NOTHING: Final = PACKED.pack(*State())


# --- flows ------------------------------------------------------------------------------------------------------------


def read_or_make(place: Place, key: bytes) -> Flow[bytes]:
    """Returns the state of a tag, by a script that declares its key. Makes it if there is none."""
    packed: bytes
    packed, _ = yield Call(READ, key)
    if not packed:
        overall, _ = yield Call(READ, place.overall)
        packed = yield Call(MAKE, key, (copied(overall),))
    return packed


def lease(place: Place) -> Flow[Lease]:
    packed, now = yield Call(READ, place.overall)
    state = state_of(packed)
    wait = state.wait(now)
    if wait <= state.lease:
        return Lease(state.lease, wait, None)
    since = now if state.lowered_at == PENDING else state.lowered_at
    return Lease(state.lease, wait, moment(since) + timedelta(seconds=LEASES_WITHIN))


def set_lease(place: Place, seconds: float) -> Flow[None]:
    """Sets the lease. If it becomes shorter, records the longer one."""
    return _change(place, seconds, lower=True)


def raise_lease(place: Place, seconds: float) -> Flow[None]:
    """Sets the lease if it is shorter. Costs one question if nothing has to be changed."""
    return _change(place, seconds, lower=False)


def _change(place: Place, seconds: float, *, lower: bool) -> Flow[None]:
    if not lower:
        packed, _ = yield Call(READ, place.overall)
        state = state_of(packed)
        if state.lease >= seconds and state.is_done:
            return
    packed = yield Call(CHANGE_LEASE, place.overall, (NOTHING, repr(seconds), int(lower)), writes=True, lasts=True)
    state = state_of(packed)
    if state.is_done:
        return
    yield from _copy(place, packed)


def _copy(place: Place, packed: bytes) -> Flow[None]:
    """Writes the lease to all copies, and then that it is done."""
    state, highest = state_of(packed), 0
    for tags in _batches():
        copy = (copied(packed), repr(state.lease), state.serial)
        serials = yield [Call(COPY_LEASE, place.state(tag), copy, writes=True, lasts=True) for tag in tags]
        highest = max(highest, *serials)
    yield Call(LEASE_DONE, place.overall, (packed, state.serial), writes=True, lasts=True)
    if highest > state.serial:
        yield from _overtake(place, highest)


def _overtake(place: Place, serial: int) -> Flow[None]:
    """Gives the state of all a higher serial number than a copy has, unless a younger change has done so, and writes the copies."""
    packed = yield Call(OVERTAKE, place.overall, (NOTHING, serial), writes=True, lasts=True)
    if state_of(packed).serial == serial + 1:
        yield from _copy(place, packed)


def revoke_everybody(place: Place) -> Flow[None]:
    """Begins a new era in all copies. P4 holds for each user; a repeat completes a call that ended half-way."""
    overall, _ = yield Call(READ, place.overall)
    era, highest = packed_era(new_era()), 0
    for tags in _batches():
        serials = yield [Call(SET_ERA, place.state(tag), (copied(overall), era), writes=True, lasts=True) for tag in tags]
        highest = max(highest, *serials)
    serial = yield Call(SET_ERA, place.overall, (NOTHING, era), writes=True, lasts=True)
    if highest > serial:
        yield from _overtake(place, highest)


def is_unused(place: Place) -> Flow[bool]:
    """Returns whether there is no state at all: each sign-in and each revocation makes that of its tag."""
    overall, _ = yield Call(READ, place.overall)
    if overall:
        return False
    for tags in _batches():
        copies = yield [Call(READ, place.state(tag)) for tag in tags]
        if any(packed for packed, _ in copies):
            return False
    return True


def note_era_anew(place: Place) -> Flow[None]:
    """Lets the era begin now in each copy in which it lies in the future, since the clock was set back. Only one sign-in finds it."""
    for tags in _batches():
        yield [Call(NOTE_ERA, place.state(tag), (NOTHING,), writes=True) for tag in tags]


def _batches() -> Sequence[Sequence[bytes]]:
    return [TAGS[start : start + BATCH] for start in range(0, len(TAGS), BATCH)]
