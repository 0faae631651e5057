"""The flows that look at sessions. They write only that a refused one ended, where that must last."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from sessionward.backends.redis.asking import asked, asked_how, wait_after
from sessionward.backends.redis.call import Call, Flow
from sessionward.backends.redis.entry import SECOND, expires_at, moment, session_of
from sessionward.backends.redis.layout import Place, id_of, user_of
from sessionward.backends.redis.lua import CLOCK, NO_STATE, PARTS, STATE, on_user, script
from sessionward.backends.redis.state import state_of
from sessionward.backends.redis.together import together
from sessionward.credential.token import Credential
from sessionward.session.era import in_era
from sessionward.session.page import paged
from sessionward.session.session import Checked, Position, Session, SessionList

LIVE, ENDED, EXPIRED, UNKNOWN = range(1, 5)

AT_ONCE: Final = 500
"""How many sessions are asked about at once."""

# The reply is one piece of bytes, which a client without a C parser reads in a third of the time of a list: what it says, the clock, the
# generation, the state, the length of the pointer and the pointer, and the session.
FOUND: Final = struct.Struct("<BqI48sH")
_LOOK: Final = """
local function say(what, generation, v)
  return struct.pack('<BI8I4', what, NOW, generation) .. STATE .. struct.pack('<I2', #POINTED) .. POINTED .. v
end
local f = redis.call('HMGET', KEY, ID, 'g', 'm')
local v = f[1]
if not v or string.sub(v, 1, 16) ~= REST then return say(4, 0, '') end
if PASSED and era(v) ~= ERA and era(v) ~= ARGV[3] then return {-1, era(v)} end
MARKS = f[3]
if reason(v) ~= 0 or era(v) ~= ERA or marked(ID, v) then return say(2, 0, '') end
local _, _, expires = times(v)
if expires <= NOW then return say(3, 0, '') end
return say(1, tonumber(f[2] or 0), v)
"""
CHECK: Final = script("check", STATE + PARTS + "local ID, REST, POINTED = ARGV[5], ARGV[6], ''" + _LOOK)
# On one server a script may read what it has not declared, so a check is one round trip.
CHECK_POINTED: Final = script(
    "check_pointed",
    "local POINTED = redis.call('GET', KEYS[1]) if not POINTED then return '' end\n"
    + "local tag = ARGV[1] .. ':{' .. string.sub(POINTED, 1, 2) .. '}:'\n"
    + "local STATE = redis.call('GET', tag .. 's') if not STATE then return {0, POINTED} end\n"
    + "local KEY, PASSED, ERA = tag .. 'u:' .. string.sub(POINTED, 3), false, string.sub(STATE, 1, 8)\n"
    + CLOCK
    + PARTS
    + "local ID, REST = ARGV[2], ARGV[3]"
    + _LOOK,
)
POINTER: Final = script("pointer", "return redis.call('GET', KEYS[1]) or ''")
CONFIRM: Final = on_user("confirm", "touch(ARGV[5], redis.call('HGET', KEY, ARGV[5])) return {1}")
USER: Final = on_user("user", "return {1, NOW, STATE, GENERATION, RAISED or -1}")
LIST: Final = on_user(
    "list",
    """
local found = {1, NOW, STATE, GENERATION}
local all = redis.call('HGETALL', KEY)
for at = 1, #all, 2 do
  local id, v = all[at], all[at + 1]
  if #id == 16 and live(settled(id, v)) then found[#found + 1] = id found[#found + 1] = v end
end
return found
""",
)


def check(place: Place, digest: bytes) -> Flow[Checked]:
    """P1: one script reads the session and the lease, so a worker that reads a new lease also reads what was revoked before."""
    if place.is_cluster:
        return (yield from _in_cluster(place, digest))
    own, rest = id_of(digest), digest[16:]
    reply = yield Call(CHECK_POINTED, place.pointer(own), (place.prefix, own, rest))
    return (yield from _checked(place, own, rest, reply))


def find(place: Place, digest: bytes) -> Flow[Session | None]:
    return (yield from check(place, digest)).session


def find_many(place: Place, credentials: Collection[Credential]) -> Flow[Collection[Credential]]:
    """Returns those that prove a live session. Asks about many at once."""
    asking = list(set(credentials))
    live: set[Credential] = set()
    for start in range(0, len(asking), AT_ONCE):
        batch = asking[start : start + AT_ONCE]
        checks = [check(place, credential.digest) for credential in batch]
        found = yield from together(checks)
        live.update(credential for credential, checked in zip(batch, found, strict=True) if checked.session is not None)
    return [credential for credential in credentials if credential in live]


def listed(place: Place, user_id: str, after: Position | None, limit: int | None, without: UUID | None) -> Flow[SessionList]:
    """Returns a page of the live sessions of a user."""
    _, now, packed, generation, *found = yield from asked(place, place.owner(user_id), LIST)
    outward = in_era(state_of(packed).era, generation)
    sessions = [session_of(user_id, own, value, outward) for own, value in zip(found[::2], found[1::2], strict=True)]
    return paged(sessions, after=after, limit=limit, without=without, now=moment(now))


def generation(place: Place, user_id: str) -> Flow[int]:
    _, _, packed, number, _ = yield from asked(place, place.owner(user_id), USER)
    return in_era(state_of(packed).era, number)


def _in_cluster(place: Place, digest: bytes) -> Flow[Checked]:
    own, rest = id_of(digest), digest[16:]
    pointed = place.pointers.get(own)
    if pointed is None:
        pointed = yield Call(POINTER, place.pointer(own))
        if not pointed:
            return Checked(None)
        place.remember(own, pointed)
    return (yield from _checked(place, own, rest, (NO_STATE, pointed)))


def _checked(place: Place, own: bytes, rest: bytes, reply: Any) -> Flow[Checked]:
    """Returns what a reply says. If the script could not read the session, asks another one that declares the key of the user."""
    if not reply:
        return Checked(None)
    was_read_before, owner = False, None
    if not isinstance(reply, bytes):
        owner = place.owner(user_of(reply[1]))
        reply, was_read_before = yield from asked_how(place, owner, CHECK, (own, rest))
    what, now, number, packed, size = FOUND.unpack_from(reply)
    if what == UNKNOWN:
        return Checked(None)
    begin = FOUND.size + size
    if owner is None:
        owner = place.owner(user_of(reply[FOUND.size : begin]))
    state = state_of(packed)
    if what == LIVE:
        value = reply[begin:]
        session = session_of(owner.user_id, own, value, in_era(state.era, number))
        remaining = (expires_at(value) - now) / SECOND
        return Checked(session, False, owner.user_id, remaining, state.lease, state.wait(now))
    if what == ENDED and place.waits:  # P6: it must not be undone by a failover, so it is written again, and waited for
        yield from asked(place, owner, CONFIRM, (own,), writes=True, lasts=True)
    wait = yield from wait_after(place, owner, state, now, was_read_before=was_read_before)
    return Checked(None, has_ended=what == ENDED, user_id=owner.user_id, lease=state.lease, wait=wait)
