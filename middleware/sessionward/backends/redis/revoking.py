"""The flows that revoke sessions. One script decides, under no lock: Redis runs one script after the other.

With thousands of sessions of one user, that script does not write each of them. It notes in the user's hash that all sessions up to a
generation have ended, but the caller's, which each script and each check obeys from then on. That is the revocation, whole (P4).
Afterwards the sessions are written one batch after the other, which changes nothing that a check can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sessionward.backends.redis import app_sessions
from sessionward.backends.redis.asking import asked
from sessionward.backends.redis.call import Flow
from sessionward.backends.redis.entry import ALL, LOGOUT, ONE, OTHERS, SECOND
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.lua import on_user
from sessionward.backends.redis.state import state_of
from sessionward.backends.redis.sweeping import walk
from sessionward.errors import RateLimited, SessionRevoked, SignInTooOld
from sessionward.session.era import in_era
from sessionward.session.rate import CALLS_WITHIN, MAX_RAISES, RAISES_WITHIN, ROUNDING
from sessionward.session.session import RAISE_PAUSE, RevokedCount, Session, Terms

DONE, NOT_LIVE, TOO_OLD, LIMITED = range(1, 5)

BATCH: Final = 500
"""How many sessions a script writes at most. Beyond, it notes that they have ended, and batches write them."""

# The rules of session/rate.py, whose tests compare the two.
RATE: Final = f"""
local function one_more(at, interval, within)
  local begin = (at and at > NOW and at <= NOW + within + {ROUNDING * SECOND:.0f}) and at or NOW
  local early = begin - NOW - (within - interval)
  return begin + interval, early > {ROUNDING * SECOND:.0f} and early or 0
end
local function recent(v, limit)
  if limit == '' then return true end
  local _, issued = times(v)
  return flag(v, 1) and NOW >= issued and NOW - issued <= tonumber(limit)
end
local function spend(id, interval)
  if interval == '' then return 0 end
  local after, early = one_more(tonumber(redis.call('HGET', KEY, 'c' .. id)), tonumber(interval), {CALLS_WITHIN * SECOND:.0f})
  if early == 0 then redis.call('HSET', KEY, 'c' .. id, text(after)) end
  return early
end
"""
_MAY_RAISE: Final = f"""
local function may_raise(id)
  local raised = math.max(RAISED or -1, ERA_AT)
  if raised > 0 and NOW >= raised and NOW - raised < {RAISE_PAUSE * SECOND:.0f} then return false end
  local interval = {RAISES_WITHIN * SECOND / MAX_RAISES:.0f}
  local after, early = one_more(tonumber(redis.call('HGET', KEY, 'r' .. id)), interval, {RAISES_WITHIN * SECOND:.0f})
  if early == 0 then redis.call('HSET', KEY, 'r' .. id, text(after)) end
  return early == 0
end
"""

# ARGV: 5 the caller or '', 6 the reason, 7 whether a client asks, 8 whether impersonations are revoked too, 9 how recent the sign-in
# must be or '', 10 the interval of the rate limit or '', 11 how many sessions the script writes at most.
REVOKE: Final = on_user(
    "revoke",
    RATE
    + _MAY_RAISE
    + """
local own, why, quiet, spares = ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8] == '0'
local by, caller, count, changes, dropped, apps, compelled = own ~= '' and own or NO_ID, nil, 0, {}, {}, {}, false
local many = redis.call('HLEN', KEY) > tonumber(ARGV[11])

local function covered(id, v)
  return id ~= own and live(settled(id, v)) and not (spares and flag(v, 2))
end
local function end_all(all)
  for at = 1, #all, 2 do
    local id, v = all[at], all[at + 1]
    if #id == 16 and id == own then
      caller = settled(id, v)
    elseif #id == 16 then
      local new = MARKS and settled(id, v) or v
      local before, bits = string.byte(new, 17, 18)
      if before == 0 then
        local expires = struct.unpack('<i8', new, 31)
        if expires > NOW then
          if not (spares and bits % 4 >= 2) then
            if string.sub(new, 55, 62) == ERA then count = count + 1 end
            new = ended(new, why, by, NOW)
          end
        elseif old(new, KEEP, KEEP) then
          new = nil
        else
          compelled = compelled or idled(new)
          new = ended(new, 7, NO_ID, NOW)
        end
      elseif old(new, KEEP, KEEP) then
        new = nil
      end
      if not new then
        dropped[#dropped + 1] = id
      else
        if new ~= v then changes[#changes + 1] = id changes[#changes + 1] = new end
        if bits >= 8 and reason(new) ~= 0 and before ~= 6 then apps[#apps + 1] = app(new) end
      end
    end
  end
end

if many then caller = own ~= '' and get(own) else end_all(redis.call('HGETALL', KEY)) end
if own ~= '' and (not caller or not live(caller)) then touch(own, caller) return {2} end
if own ~= '' and not recent(caller, ARGV[9]) then touch(own, caller) return {3} end
local finds = count > 0 or (many and not quiet)
if many and quiet then
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', KEY, cursor, 'COUNT', 100)
    cursor = page[1]
    for at = 1, #page[2], 2 do
      if #page[2][at] == 16 and covered(page[2][at], page[2][at + 1]) then finds = true break end
    end
  until finds or cursor == '0'
end
local raises = true
if quiet and finds then
  local early = spend(own, ARGV[10])
  if early > 0 then touch(own, caller) return {4, early} end
elseif quiet then
  raises = may_raise(own)
end
if many and finds then
  local mark = struct.pack('<I4i8c16BB', GENERATION, NOW, by, why, spares and 1 or 0)
  redis.call('HSET', KEY, 'm', (MARKS or '') .. mark)
else
  write(changes)
  drop(dropped)
end
if raises then
  raise()
else
  if compelled then require_companions() end
  keep(NOW)
  touch(own, caller)
end
return {1, count, GENERATION, STATE, many and finds and text(NOW) or '', MARKS and 1 or 0, unpack(apps)}
""",
)

# ARGV: 5 the session, 6 the caller or '', 7 by whom or '', 8 the reason, 9 recent, 10 interval, 11 whether impersonations are revoked too.
REVOKE_ONE: Final = on_user(
    "revoke_one",
    RATE
    + """
local id, own = ARGV[5], ARGV[6]
local caller
if own ~= '' then
  caller = get(own)
  if not caller or not live(caller) then touch(own, caller) return {2} end
  touch(own, caller)
  if not recent(caller, ARGV[9]) then return {3} end
  if id == own then return {1, 0} end
end
local v = get(id)
if not v then touch(own, caller) return {1, 0} end
local was_live = live(v)
if was_live and own ~= '' then
  if flag(v, 2) and ARGV[11] == '0' then return {1, 0} end
  local early = spend(own, ARGV[10])
  if early > 0 then return {4, early} end
end
if reason(v) == 0 then
  v = finish(id, v, tonumber(ARGV[8]), ARGV[7] ~= '' and ARGV[7] or NO_ID)
else
  put(id, v)
  if flag(v, 8) then require_companions() end
end
return {1, was_live and 1 or 0, flag(v, 8) and reason(v) ~= 6 and app(v) or ''}
""",
)


def revoke_others(place: Place, session: Session) -> Flow[RevokedCount]:
    return (yield from _revoke(place, session.user_id, OTHERS, (session.id.bytes, 0, 1, "", "")))


def revoke_others_quietly(place: Place, session: Session, terms: Terms) -> Flow[RevokedCount]:
    """Revokes the others on the terms of a client. What finds nothing to revoke raises the generation only now and then."""
    arguments = (session.id.bytes, 1, int(terms.impersonations), *_on(terms))
    return (yield from _revoke(place, session.user_id, OTHERS, arguments))


def revoke_all(place: Place, user_id: str) -> Flow[RevokedCount]:
    return (yield from _revoke(place, user_id, ALL, ("", 0, 1, "", "")))


def revoke_one(place: Place, session: Session, id: UUID, terms: Terms) -> Flow[bool]:
    """Revokes another session of the user. Returns whether it was live. Does not raise the generation."""
    own = session.id.bytes
    arguments = (id.bytes, own, own, ONE, *_on(terms), int(terms.impersonations))
    return (yield from end_one(place, session.user_id, arguments))


def revoke(place: Place, user_id: str, id: UUID, by: UUID | None) -> Flow[bool]:
    reason = ONE if by is None else LOGOUT  # its own id: it signs out
    arguments = (id.bytes, "", "" if by is None else by.bytes, reason, "", "", 1)
    return (yield from end_one(place, user_id, arguments))


def end_one(place: Place, user_id: str, arguments: tuple[bytes | str | int, ...]) -> Flow[bool]:
    """Runs :data:`REVOKE_ONE`. Returns whether the session was live."""
    reply = yield from asked(place, place.owner(user_id), REVOKE_ONE, arguments, writes=True, lasts=True)
    _judge(reply)
    if len(reply) > 2 and reply[2]:
        yield from app_sessions.revoked(place, [reply[2]])
    return bool(reply[1])


def _revoke(place: Place, user_id: str, reason: int, arguments: tuple[bytes | str | int, ...]) -> Flow[RevokedCount]:
    owner, (own, *terms) = place.owner(user_id), arguments
    reply = yield from asked(place, owner, REVOKE, (own, reason, *terms, BATCH), writes=True, lasts=True)
    _judge(reply)
    _, count, generation, packed, noted_at, has_notes, *apps = reply
    yield from app_sessions.revoked(place, apps)
    if noted_at or has_notes:  # also the notes of a process that ended before it had written them out
        _, found = yield from walk(place, owner, generation - 1, (noted_at, reason), place.keep, place.keep)
        if noted_at:  # P5: the sessions that the note has ended stay as they are, so that they can be counted afterwards
            count = len(found)
    return RevokedCount(count, in_era(state_of(packed).era, generation))


def _judge(reply: Sequence[Any]) -> None:
    """Raises what a script says in place of an answer."""
    if reply[0] == NOT_LIVE:
        raise SessionRevoked("the caller's session is not live any more")  # P2: the look and the revocation are one script
    if reply[0] == TOO_OLD:
        raise SignInTooOld("the sign-in of this session is too old to revoke others; the user must sign in again")
    if reply[0] == LIMITED:
        raise RateLimited(reply[1] / SECOND)


def _on(terms: Terms) -> tuple[str, str]:
    """Returns the terms as the scripts take them."""
    recent = "" if terms.recent is None else repr(terms.recent * SECOND)
    return recent, "" if terms.rate_limit is None else repr(CALLS_WITHIN * SECOND / terms.rate_limit)
