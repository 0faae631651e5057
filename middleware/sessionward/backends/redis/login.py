"""The flows that begin sessions.

A login that replaces a session of another user changes two keys, by two scripts: the new session begins first, and then the other one
ends. If the process ends between the two, the browser still has its old session, and no client has the token of the new one: as if the
login had not been. It is answered when both are done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sessionward.backends.limit import tell_of_limit
from sessionward.backends.redis import app_sessions
from sessionward.backends.redis.asking import TRIES, asked
from sessionward.backends.redis.call import Call, Flow, Script
from sessionward.backends.redis.entry import REPLACED, SECOND, flags_of, microseconds, session_of, tail_of
from sessionward.backends.redis.layout import Owner, Place, id_of
from sessionward.backends.redis.lua import REFUSED, beginning, on_user, script
from sessionward.backends.redis.reading import CONFIRM, USER
from sessionward.backends.redis.revoking import end_one
from sessionward.backends.redis.state import note_era_anew, packed_era, state_of
from sessionward.backends.redis.together import together
from sessionward.errors import StaleLogin, TooManySessions
from sessionward.session.era import in_era
from sessionward.session.session import ADOPTION_PAUSE, CLOCK_RATE, MAX_ADOPTIONS, NEEDS_SIGN_IN, NewSession, Session
from sessionward.settings import MAX_LEASE, MAX_TIMEOUT
from sessionward.settings.limits import AtLimit

DONE, STALE, FULL, NOT_NOW = range(1, 5)
MANY: Final = 1_000
"""Up to so many sessions of a user, each login looks for old ones among all of them; beyond, among a few at random."""
MOST: Final = 250
"""How many sessions that are not live are kept of a user at most, but for those that ended a moment ago. A user who signs in and out again
and again must not slow down every login, during which the server does nothing else."""
MOMENT: Final = 2 * (MAX_TIMEOUT + MAX_LEASE)
"""Seconds after which no worker can trust a session that has ended, nor has a question about it under way."""
AT_ONCE: Final = 500
"""How many of them one login drops at most."""

# ARGV: 5 the id, 6 the other half of the digest, 7 the flags, 8 the rest of the entry, 9 the lifetime, 10 the end at the latest or '',
# 11 the idle limit or '', 12 the rule: 'generation' (13 the era, 14 the generation), 'replaced' or 'adopted'; 15 the session of this
# user that it replaces or '', 16 max_sessions or '', 17 whether a login beyond it is refused.
START: Final = beginning(
    "start",
    f"""
local id, acted, rule, before = ARGV[5], math.floor(tonumber(ARGV[7]) / 2) % 2 == 1, ARGV[12], ARGV[15]
local limit = not acted and tonumber(ARGV[16]) or nil
local replaced = before ~= '' and get(before) or nil
local is_new = redis.call('EXISTS', KEY) == 0
if rule == 'generation' and (ARGV[13] ~= ERA or ARGV[14] ~= text(GENERATION)) then touch(id, nil) return {{{STALE}}} end
if rule == 'replaced' and not (replaced and live(replaced)) then touch(before, replaced) return {{{STALE}}} end

local ordinary, dropped, count, newest, compelled = {{}}, {{}}, 0, nil, REQUIRED or ERA ~= NONE
local kept, spare = 0, {{}}
local wanted = rule == 'adopted' and string.sub(ARGV[8], 1, 32) or nil
local function look(other, v)
  v = settled(other, v)
  if old(v, KEEP, KEEP) then dropped[#dropped + 1] = other return end
  if wanted and idled(v) then compelled = true end
  local _, issued, _, ends, seen = times(v)
  if reason(v) ~= 0 or ends <= NOW then
    kept = kept + 1
    local is_spare = reason(v) == 0 or struct.unpack('<i8', v, 63) < NOW - {MOMENT * SECOND:.0f}
    if is_spare and not unrecorded(v) then spare[#spare + 1] = other end
  end
  if not live(v) then return end
  if wanted and flag(v, 8) and app(v) == wanted then
    count, newest = count + 1, math.max(newest or issued, issued)
  end
  if limit and other ~= before and not flag(v, 2) then ordinary[#ordinary + 1] = {{other, v, seen, issued}} end
end
local most = {MOST}
if limit or wanted or redis.call('HLEN', KEY) <= {MANY} then
  local all = redis.call('HGETALL', KEY)
  for at = 1, #all, 2 do if #all[at] == 16 then look(all[at], all[at + 1]) end end
else
  most = 0
  local some = redis.call('HRANDFIELD', KEY, 16, 'WITHVALUES')
  for at = 1, #some, 2 do if #some[at] == 16 then look(some[at], some[at + 1]) end end
end
if wanted and compelled then touch(id, nil) return {{{STALE}}} end
if wanted and (count >= {MAX_ADOPTIONS} or (newest and NOW - newest < {ADOPTION_PAUSE * SECOND:.0f})) then
  touch(id, nil)
  return {{{NOT_NOW}}}
end
if limit and ARGV[17] == '1' and #ordinary >= limit then
  touch(id, nil)
  return {{{FULL}, #ordinary, GENERATION, STATE}}
end

local revoked = ''
if replaced then
  if reason(replaced) == 0 then replaced = finish(before, replaced, {REPLACED}, id) end
  if flag(replaced, 8) then
    require_companions()
    if reason(replaced) ~= 6 then revoked = app(replaced) end
  end
end
local beyond = limit and math.max(0, #ordinary + 1 - limit) or 0
if beyond > 0 then
  table.sort(ordinary, function(a, b)
    if a[3] ~= b[3] then return a[3] < b[3] end
    if a[4] ~= b[4] then return a[4] < b[4] end
    return a[1] < b[1]
  end)
  local changes = {{}}
  for at = 1, beyond do
    local one = ordinary[at]
    changes[#changes + 1] = one[1] changes[#changes + 1] = ended(one[2], 6, id, NOW)
  end
  write(changes)
end
local ends = NOW + tonumber(ARGV[9])
if ARGV[10] ~= '' then ends = math.min(ends, tonumber(ARGV[10])) end
local expires = ARGV[11] ~= '' and math.min(ends, NOW + tonumber(ARGV[11])) or ends
local head = struct.pack('<c16BBI4i8i8i8i8c8', ARGV[6], 0, tonumber(ARGV[7]), GENERATION, NOW, expires, ends, NOW, ERA)
local value = head .. ARGV[8]
put(id, value)
if ERA ~= NONE and FIELDS[5] ~= ERA then redis.call('HSET', KEY, 'e', ERA) end
if is_new then redis.call('PEXPIREAT', KEY, text(math.ceil((ends + 2 * KEEP) / 1000) + 60000)) end
keep(ends)
for at = 1, math.min(#spare, kept - most, {AT_ONCE}) do
  if spare[at] ~= before then dropped[#dropped + 1] = spare[at] end
end
drop(dropped)
return {{{DONE}, GENERATION, STATE, value, beyond, revoked}}
""",
)
# A pointer never changes.
POINT: Final = Script("point", REFUSED + "redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])")
PROLONG: Final = script("prolong", "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2], 'GT') end")
UNPOINT: Final = script("unpoint", "redis.call('DEL', KEYS[1])")
NOTE_ANEW: Final = on_user(
    "note_anew", "touch('', nil) if RAISED and RAISED > NOW then redis.call('HSET', KEY, 'at', text(NOW)) end return {1}"
)


def login(place: Place, new: NewSession) -> Flow[Session]:
    owner, before = place.owner(new.user_id), new.replaces
    replaces_own = before is not None and before.user_id == new.user_id
    if new.generation is not None:
        reply = yield from _start(place, owner, new, ("generation", *_ticket(new.generation)))
    elif replaces_own:
        reply = yield from _start(place, owner, new, ("replaced", "", ""))
    else:
        reply = yield from _start_timely(place, owner, new)
    if reply[0] == STALE:
        raise StaleLogin("the user's sessions were revoked after this sign-in began; the user must sign in again")
    if reply[0] == FULL:
        _, count, generation, packed = reply
        raise TooManySessions(count, in_era(state_of(packed).era, generation))
    session = yield from _started(place, new, reply)
    if before is None:
        return session
    if not replaces_own:
        yield from end_one(place, before.user_id, (before.id.bytes, "", session.id.bytes, REPLACED, "", "", 1))
    # Also if another call has ended it: this call may be the repeat of one whose reply was lost.
    return replace(session, has_ended_others=True)


def adopt(place: Place, new: NewSession) -> Flow[Session | None]:
    """Starts a companion for a login that the application had before. Returns None if it may not have one."""
    assert new.app_session is not None
    adopted = replace(new, is_fresh=False, replaces=None, at_limit=AtLimit.REVOKE)  # its sign-in is unknown
    reply = yield from _start(place, place.owner(new.user_id), adopted, ("adopted", "", ""))
    if reply[0] == STALE:
        raise StaleLogin(NEEDS_SIGN_IN)
    return None if reply[0] == NOT_NOW else (yield from _started(place, adopted, reply))


def _ticket(generation: int) -> tuple[bytes, str]:
    """Returns the era and the generation that a ticket says."""
    era, number = (generation >> 32, generation & 0xFFFFFFFF) if generation >= 0 else (0, generation)
    return packed_era(era & 2**63 - 1), str(number)


def _start_timely(place: Place, owner: Owner, new: NewSession) -> Flow[Any]:
    """P3 (a). If there is a raise between the two scripts, its age decides, as that of any other does."""
    reply: Any = (STALE,)
    for _ in range(TRIES):
        reply = yield from _start(place, owner, new, ("generation", *(yield from _timely(place, owner, new))))
        if reply[0] != STALE:
            break
    return reply


def _timely(place: Place, owner: Owner, new: NewSession) -> Flow[tuple[bytes, str]]:
    """P3 (a): raises ``StaleLogin`` if the last raise is more recent than the request is old. Returns the era and the generation.

    The age of the request is measured after the reply: an argument of a script would age on its way.
    """
    _, now, packed, generation, raised_at = yield from asked(place, owner, USER)
    state = state_of(packed)
    revoked_at = max(raised_at, state.era_at)
    if revoked_at > 0 and (now - revoked_at) / SECOND <= new.age() * CLOCK_RATE:
        if revoked_at > now:  # the clock was set back, so it is noted anew
            yield from asked(place, owner, NOTE_ANEW, writes=True, lasts=True)
            if state.era_at > now:
                yield from note_era_anew(place)
        elif place.waits:  # it shows a revocation, which a failover must not undo
            yield from asked(place, owner, CONFIRM, ("g",), writes=True, lasts=True)
        raise StaleLogin("the user's sessions were revoked after this sign-in began; the user must sign in again")
    return packed_era(state.era), str(generation)


def _start(place: Place, owner: Owner, new: NewSession, rule: Sequence[bytes | str | int]) -> Flow[Any]:
    """Writes the pointer, and runs the script that begins the session, at once. Returns the reply of the script."""
    own = id_of(new.digest)
    replaces_own = new.replaces is not None and new.replaces.user_id == new.user_id
    arguments = (
        own,
        new.digest[16:],
        flags_of(new),
        tail_of(new),
        int(new.lifetime * SECOND),
        "" if new.until is None else microseconds(new.until),
        "" if new.idle_timeout is None else int(new.idle_timeout * SECOND),
        *rule,
        new.replaces.id.bytes if replaces_own and new.replaces is not None else "",
        "" if new.max_sessions is None else new.max_sessions,
        int(new.at_limit is AtLimit.REFUSE),
    )
    flows = [point(place, owner, own, new.lifetime), asked(place, owner, START, arguments, writes=True, lasts=True)]
    if new.app_session is not None:
        flows.append(app_sessions.noted(place, new.app_session, new.lifetime, own))
    _, reply, *_ = yield from together(flows)
    if reply[0] != DONE:
        undoing = [Call(UNPOINT, place.pointer(own), writes=True)]
        if new.app_session is not None:
            undoing.append(app_sessions.forgotten(place, new.app_session, own))
        yield undoing
    return reply


def point(place: Place, owner: Owner, id: bytes, lifetime: float, script: Script = POINT) -> Flow[None]:
    """Writes the pointer of a session, for its lifetime and as long as it stays once it has ended. :data:`PROLONG`: keeps it as long.

    A minute more is for what may be slow on its way.
    """
    milliseconds = int((lifetime + 2 * place.keep) * 1000) + 60_000
    yield Call(script, place.pointer(id), (owner.tag + owner.user_id.encode(), milliseconds), writes=True)


def _started(place: Place, new: NewSession, reply: Sequence[Any]) -> Flow[Session]:
    """Returns the session that has begun."""
    _, generation, packed, value, beyond, revoked = reply
    if revoked:
        yield from app_sessions.revoked(place, [revoked])
    session = session_of(new.user_id, id_of(new.digest), value, in_era(state_of(packed).era, generation))
    if beyond and new.max_sessions is not None:
        tell_of_limit(new.user_id, new.max_sessions)
        session = replace(session, has_ended_others=True)
    return session
