"""Records when sessions were used last, and moves their ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final
from uuid import UUID

from sessionward.backends.redis.asking import asked
from sessionward.backends.redis.call import Flow
from sessionward.backends.redis.entry import SECOND
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.lua import on_user
from sessionward.backends.redis.together import together
from sessionward.session.session import Session
from sessionward.session.use import TOO_LATE, seen_pause

AT_ONCE: Final = 500

# Returns, for each session, when it was used last, or -1 if it is not live.
SEEN: Final = on_user(
    "seen",
    """
local found = {1, NOW}
for at = 5, #ARGV do
  local v, seen = get(ARGV[at]), -1
  if v and live(v) then local _, _, _, _, last = times(v) seen = last end
  found[#found + 1] = seen
end
return found
""",
)
# ARGV: 5 when they were used, 6 the pause between two records, 7 the idle limit or '', then the sessions. Has the conditions once more:
# without them a record that comes late would make an ended session live again (P6).
NOTE_SEEN: Final = on_user(
    "note_seen",
    f"""
local used, pause, idle, found = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), {{1}}
for at = 8, #ARGV do
  local id, noted = ARGV[at], 0
  local v = get(id)
  if v and live(v) then
    local generation, issued, expires, ends, seen = times(v)
    if expires > NOW + {TOO_LATE * SECOND:.0f} and (seen <= used - pause or seen > NOW) then
      local bits = string.byte(v, 18)
      if idle then
        expires = math.min(ends, used + idle)
        if not flag(v, 4) then bits = bits + 4 end
      end
      local head = struct.pack('<BBI4i8i8i8i8', 0, bits, generation, issued, expires, ends, used)
      put(id, string.sub(v, 1, 16) .. head .. string.sub(v, 55))
      noted = 1
    end
  end
  found[#found + 1] = noted
end
return found
""",
)


def note_seen(
    place: Place, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float]
) -> Flow[Mapping[UUID, float]]:
    """Reads which of the sessions are due, and writes only those."""
    of_user: dict[str, dict[UUID, None]] = {}
    for session in sessions:
        of_user.setdefault(session.user_id, {})[session.id] = None
    asking = [(user_id, list(ids)[start : start + AT_ONCE]) for user_id, ids in of_user.items() for start in range(0, len(ids), AT_ONCE)]
    due_again: dict[UUID, float] = {}
    for start in range(0, len(asking), AT_ONCE):
        batch = asking[start : start + AT_ONCE]
        for noted in (yield from _noted(place, batch, idle_timeout, age)):
            due_again.update(noted)
    return due_again


def _noted(
    place: Place, batch: list[tuple[str, list[UUID]]], idle_timeout: float | None, age: Callable[[], float]
) -> Flow[list[Mapping[UUID, float]]]:
    flows = [asked(place, place.owner(user_id), SEEN, tuple(own.bytes for own in ids)) for user_id, ids in batch]
    replies = yield from together(flows)
    ago = max(0.0, age())  # after the server's clock was read, so that no wait makes the record later than the use
    return (
        yield from together(
            [
                _written(place, user_id, dict(zip(ids, reply[2:], strict=True)), reply[1], ago, idle_timeout)
                for (user_id, ids), reply in zip(batch, replies, strict=True)
            ]
        )
    )


def _written(
    place: Place, user_id: str, last: dict[UUID, int], now: int, ago: float, idle_timeout: float | None
) -> Flow[Mapping[UUID, float]]:
    """Records the use of those sessions of one user that are due. ``last``: when each was used last, in microseconds."""
    pause = seen_pause(idle_timeout)
    since = {own: (now - at) / SECOND for own, at in last.items() if at >= 0}
    due = [own for own, seconds in since.items() if seconds < 0 or seconds - ago >= pause]  # less than 0: the clock was set back
    due_again = {own: max(0.0, pause - seconds) for own, seconds in since.items()}
    if not due:
        return due_again
    used, idle = now - round(ago * SECOND), "" if idle_timeout is None else int(idle_timeout * SECOND)
    arguments = (used, int(pause * SECOND), idle, *(own.bytes for own in due))
    _, *noted = yield from asked(place, place.owner(user_id), NOTE_SEEN, arguments, writes=True)
    return due_again | {own: max(0.0, pause - ago) if done else 0.0 for own, done in zip(due, noted, strict=True)}
