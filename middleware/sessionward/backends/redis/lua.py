"""What the scripts share: the clock, the state of the tag, and the parts of a session (``entry.py``).

A script declares the key of one user. It reads the state of the user's tag without declaring it: a script that declares two keys fails
while their slot is being moved to another node. Then the state may be out of reach, or seem to be missing, so that the script returns
``NO_STATE`` and has done nothing. The caller reads the state by its own key, and runs the script again with it.
"""

from __future__ import annotations

from typing import Final

from sessionward.backends.redis.call import Script

NO_STATE: Final = 0
"""The script found no state of the tag, which may be on another node."""
OTHER_ERA: Final = -1
"""The state that was passed is of another era than the user. Read it anew, since there may be a later one."""

# A server that is full must revoke, and check. So these scripts have the flag, and none is declared read-only: a primary that has been
# demoted refuses what is not, and would answer the others from its old data.
ALLOWED: Final = "#!lua flags=allow-oom\n"
REFUSED: Final = "#!lua\n"
"""For scripts that a full server refuses: those that begin a session."""

CLOCK: Final = "local NOW = redis.call('TIME') NOW = NOW[1] * 1000000 + NOW[2]\n"

STATE: Final = (
    CLOCK
    + """
local KEY, STATE, PASSED = KEYS[1], ARGV[2], ARGV[2] ~= ''
if not PASSED then STATE = redis.call('GET', ARGV[1]) if not STATE then return {0} end end
local ERA, NONE = string.sub(STATE, 1, 8), string.rep('\\0', 8)
"""
)

PARTS: Final = """
local function times(v) return struct.unpack('<I4i8i8i8i8', v, 19) end
local function reason(v) return string.byte(v, 17) end
local function flag(v, bit) return math.floor(string.byte(v, 18) / bit) % 2 == 1 end
local function era(v) return string.sub(v, 55, 62) end
local function app(v) local at = reason(v) == 0 and 63 or 87 return string.sub(v, at, at + 31) end
local function text(number) return string.format('%.0f', number) end

local MARKS, NO_ID = false, string.rep('\\0', 16)
local function marked(id, v)
  if not MARKS then return nil end
  local generation, _, expires = times(v)
  for at = 1, #MARKS, 30 do
    local last, time, by, why, spares = struct.unpack('<I4i8c16BB', MARKS, at)
    if generation <= last and id ~= by and not (spares == 1 and flag(v, 2)) then
      if expires <= time then by, why = NO_ID, 7 end
      return time, by, why
    end
  end
end

local function ended(v, why, by, at)
  return string.sub(v, 1, 16) .. string.char(why) .. string.sub(v, 18, 62) .. struct.pack('<i8c16', at, by) .. string.sub(v, 63)
end
local function settled(id, v)
  if reason(v) ~= 0 then return v end
  local time, by, why = marked(id, v)
  return time and ended(v, why, by, time) or v
end
local function live(v)
  if reason(v) ~= 0 or era(v) ~= ERA then return false end
  local _, _, expires = times(v)
  return expires > NOW
end
local function idled(v)
  if reason(v) ~= 0 or not flag(v, 8) then return false end
  local _, _, expires, ends = times(v)
  return expires <= NOW and ends > NOW
end
"""

# `unrecorded`: a companion that a note has ended stays as long as the note, which goes when the sessions of the application are recorded.
# `touch` always writes something, also for a user of whom nothing is kept: WAIT waits for the last write of its connection.
# ARGV[3]: the era of the user that the caller has seen when it read the state anew. ARGV[4]: for how many microseconds ended sessions
# are kept. A user's own era is that of the last sign-in, where there is one: a state that was passed and is older shows in it.
USER: Final = (
    STATE
    + PARTS
    + """
local KEEP = tonumber(ARGV[4])
local FIELDS = redis.call('HMGET', KEY, 'g', 'at', 'c', 'm', 'e')
if PASSED and (FIELDS[5] or NONE) ~= ERA and (FIELDS[5] or NONE) ~= ARGV[3] then return {-1, FIELDS[5] or NONE} end
local GENERATION, RAISED, REQUIRED = tonumber(FIELDS[1] or 0), tonumber(FIELDS[2]), FIELDS[3] == '1'
MARKS = FIELDS[4]
local ERA_AT = struct.unpack('<i8', STATE, 9)

local function unrecorded(v)
  if not MARKS or reason(v) == 0 or not flag(v, 8) then return false end
  local at = string.sub(v, 63, 70)
  for mark = 5, #MARKS, 30 do if string.sub(MARKS, mark, mark + 7) == at then return true end end
  return false
end
local function old(v, older, kept)
  if unrecorded(v) then return false end
  local _, _, _, ends = times(v)
  local at = reason(v) ~= 0 and struct.unpack('<i8', v, 63) or nil
  if not at and era(v) ~= ERA then
    if PASSED then return false end
    at = ERA_AT
  end
  return ((at and at < NOW - older) or ends < NOW - older) and (not at or at < NOW - kept)
end
local function get(id) local v = redis.call('HGET', KEY, id) return v and settled(id, v) end
local function put(id, v) redis.call('HSET', KEY, id, v) end
local function keep(until_)
  redis.call('PEXPIREAT', KEY, text(math.ceil((until_ + 2 * KEEP) / 1000) + 60000), 'GT')
end
local function forever() redis.call('PERSIST', KEY) end
local function require_companions()
  if not REQUIRED then redis.call('HSET', KEY, 'c', '1') forever() REQUIRED = true end
end
local function raise()
  GENERATION = GENERATION + 1
  redis.call('HSET', KEY, 'g', text(GENERATION), 'at', text(NOW), 'c', '1')
  if not REQUIRED or not RAISED then forever() end
end
local function finish(id, v, why, by)
  if flag(v, 8) and why ~= 6 then require_companions() end
  v = ended(v, why, by, NOW)
  put(id, v)
  keep(NOW)
  return v
end
local function touch(id, v)
  if v then put(id, v) else redis.call('HSET', KEY, 'w', '') redis.call('HDEL', KEY, 'w') end
end
local function write(changes)
  for at = 1, #changes, 1000 do redis.call('HSET', KEY, unpack(changes, at, math.min(at + 999, #changes))) end
end
local function drop(ids)
  for _, id in ipairs(ids) do redis.call('HDEL', KEY, id, 'r' .. id, 'c' .. id) end
end
"""
)


def script(name: str, body: str) -> Script:
    """Returns a script that a full server runs."""
    return Script(name, ALLOWED + body)


def on_user(name: str, body: str) -> Script:
    """Returns a script on the key of a user that a full server runs. Its own arguments begin with ``ARGV[5]``."""
    return Script(name, ALLOWED + USER + body)


def beginning(name: str, body: str) -> Script:
    """Returns such a script that a full server refuses."""
    return Script(name, REFUSED + USER + body)
