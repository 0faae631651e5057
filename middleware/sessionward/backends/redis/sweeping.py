"""Writes out the note that many sessions of a user have ended, and drops what is old: in batches, which change nothing that counts."""

from __future__ import annotations

from typing import Final

from sessionward.backends.redis import app_sessions
from sessionward.backends.redis.asking import asked
from sessionward.backends.redis.call import Flow
from sessionward.backends.redis.entry import SECOND
from sessionward.backends.redis.layout import Owner, Place
from sessionward.backends.redis.lua import on_user

BATCH: Final = 250
"""How many sessions one script looks at."""

# ARGV: 5 the cursor, 6 how many, 7 and 8 which sessions are dropped, 9 the time of the note whose sessions are asked for or '', 10 its
# reason.
SWEEP: Final = on_user(
    "sweep",
    """
local page = redis.call('HSCAN', KEY, ARGV[5], 'COUNT', ARGV[6])
local found, time, why = page[2], tonumber(ARGV[9]), tonumber(ARGV[10])
local changes, dropped, apps, asked = {}, {}, {}, {}
for at = 1, #found, 2 do
  local id, v = found[at], found[at + 1]
  if #id == 16 then
    local new = settled(id, v)
    if old(new, tonumber(ARGV[7]), tonumber(ARGV[8])) then
      dropped[#dropped + 1] = id
    else
      if new ~= v then changes[#changes + 1] = id changes[#changes + 1] = new end
      if MARKS and flag(new, 8) and reason(new) ~= 0 and reason(new) ~= 6 then apps[#apps + 1] = app(new) end
    end
    if time and reason(new) == why and era(new) == ERA and struct.unpack('<i8', new, 63) == time then asked[#asked + 1] = id end
  end
end
write(changes)
drop(dropped)
return {1, page[1], GENERATION, #dropped, table.concat(asked), table.concat(apps), MARKS and 1 or 0}
""",
)
# ARGV: 5 the last generation of the notes that are dropped.
UNMARK: Final = on_user(
    "unmark",
    """
local rest, last = {}, tonumber(ARGV[5])
for at = 1, MARKS and #MARKS or 0, 30 do
  if struct.unpack('<I4', MARKS, at) > last then rest[#rest + 1] = string.sub(MARKS, at, at + 29) end
end
if #rest > 0 then redis.call('HSET', KEY, 'm', table.concat(rest)) else redis.call('HDEL', KEY, 'm') end
return {1}
""",
)


def sweep(place: Place, owner: Owner, older: float, kept: float) -> Flow[int]:
    """Writes out the notes that there are, and drops what stopped being live ``older`` seconds ago, in batches.

    It keeps what was ended within the last ``kept`` seconds. Returns how many sessions it has dropped.
    """
    dropped, _ = yield from walk(place, owner, "", ("", ""), older, kept)
    return dropped


def walk(
    place: Place, owner: Owner, last: int | str, note: tuple[bytes | str, int | str], older: float, kept: float
) -> Flow[tuple[int, set[bytes]]]:
    """Does the work of :func:`sweep` for the notes up to ``last``. ``note``: the time and the reason of one of them, whose sessions it
    returns. A walk may come past a session twice.

    The notes go last. As long as there is one, a walk records each companion that it finds ended: the walk before it may have ended
    between a batch and its records.
    """
    cursor: bytes = b"0"
    count, found = 0, set[bytes]()
    limits = (int(older * SECOND), int(kept * SECOND))
    while True:
        arguments = (cursor, BATCH, *limits, *note)
        _, cursor, generation, dropped, asked_for, apps, has_notes = yield from asked(place, owner, SWEEP, arguments, writes=True)
        last = generation - 1 if last == "" else last
        count += dropped
        found.update(_parts(asked_for, 16))
        yield from app_sessions.revoked(place, _parts(apps, 32))
        if cursor == b"0":
            break
    if has_notes:
        yield from asked(place, owner, UNMARK, (last,), writes=True)
    return count, found


def _parts(joined: bytes, size: int) -> list[bytes]:
    return [joined[at : at + size] for at in range(0, len(joined), size)]
