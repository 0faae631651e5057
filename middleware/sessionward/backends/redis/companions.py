"""The flows for companions of an application's own sessions."""

from __future__ import annotations

from typing import Final

from sessionward.backends.redis import app_sessions
from sessionward.backends.redis.asking import asked, asked_how, wait_after
from sessionward.backends.redis.call import Flow
from sessionward.backends.redis.entry import SECOND, moment
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.login import PROLONG, point
from sessionward.backends.redis.lua import on_user
from sessionward.backends.redis.reading import CONFIRM
from sessionward.backends.redis.state import state_of
from sessionward.backends.redis.together import together
from sessionward.session.era import NO_ERA
from sessionward.session.session import ADOPTION_PAUSE, MAX_ADOPTIONS, CompanionStatus, Session
from sessionward.session.use import TOO_LATE

STATUS: Final = on_user(
    "companion_status",
    """
local count, newest, compelled = 0, -1, REQUIRED
local all = redis.call('HGETALL', KEY)
for at = 1, #all, 2 do
  local id, v = all[at], all[at + 1]
  if #id == 16 and flag(v, 8) then
    v = settled(id, v)
    compelled = compelled or idled(v)
    if live(v) and app(v) == ARGV[5] then
      local _, issued = times(v)
      count, newest = count + 1, math.max(newest, issued)
    end
  end
end
return {1, NOW, STATE, compelled and 1 or 0, RAISED or -1, count, newest}
""",
)
# ARGV: 5 the session, 6 the lifetime, 7 the idle limit or '', 8 the session of the application or ''.
EXTEND: Final = on_user(
    "extend",
    f"""
local id, app_session = ARGV[5], ARGV[8]
local v = get(id)
if not v or not live(v) then touch(id, v) return {{1, 0}} end
local generation, issued, expires, ends, seen = times(v)
local bits, later, has_limit = string.byte(v, 18), NOW + tonumber(ARGV[6]), flag(v, 4)
if ARGV[7] ~= '' then
  local idle = NOW + tonumber(ARGV[7])
  if expires > NOW + {TOO_LATE * SECOND:.0f} and (not has_limit or expires < idle) then
    ends, seen = math.max(ends, later), NOW
    expires = math.min(ends, idle)
    if not has_limit then bits, has_limit = bits + 4, true end
  end
end
if has_limit then ends = math.max(ends, later) else expires = math.max(expires, later) ends, seen = expires, NOW end
local rest = string.sub(v, 63)
if app_session ~= '' then
  if flag(v, 8) then rest = string.sub(rest, 33) else bits = bits + 8 end
  rest = app_session .. rest
end
local head = struct.pack('<BBI4i8i8i8i8', 0, bits, generation, issued, expires, ends, seen)
put(id, string.sub(v, 1, 16) .. head .. era(v) .. rest)
keep(ends)
return {{1, 1}}
""",
)


def companion_status(place: Place, user_id: str, app_session: bytes) -> Flow[CompanionStatus]:
    """Returns what we know about the companions of this session of the application."""
    owner = place.owner(user_id)
    reply, was_read_before = yield from asked_how(place, owner, STATUS, (app_session,))
    _, now, packed, compelled, raised_at, count, newest = reply
    state = state_of(packed)
    required = bool(compelled) or state.era != NO_ERA
    if required and place.waits:  # P6: a failover must not undo it
        yield from asked(place, owner, CONFIRM, ("c",), writes=True, lasts=True)
    wait = yield from wait_after(place, owner, state, now, was_read_before=was_read_before)
    revoked_at = max(raised_at, state.era_at)
    has_paused = newest < 0 or (now - newest) / SECOND >= ADOPTION_PAUSE
    return CompanionStatus(
        companion_required=required,
        revoked_at=moment(revoked_at) if revoked_at > 0 else None,
        companions=count,
        may_adopt=not required and count < MAX_ADOPTIONS and has_paused,
        lease=state.lease,
        wait=wait,
    )


def extend(place: Place, session: Session, lifetime: float, app_session: bytes | None, idle_timeout: float | None) -> Flow[bool]:
    """Lets a live session expire ``lifetime`` seconds from now, never sooner than before. With ``idle_timeout`` it is a use, too.

    The pointer stays as long, and is prolonged first: without it the session would be unknown.
    """
    owner, own = place.owner(session.user_id), session.id.bytes
    first = [point(place, owner, own, lifetime, PROLONG)]
    if app_session is not None:
        first.append(app_sessions.noted(place, app_session, lifetime))
    yield from together(first)
    idle = "" if idle_timeout is None else int(idle_timeout * SECOND)
    arguments = (own, int(lifetime * SECOND), idle, app_session or "")
    _, was_live = yield from asked(place, owner, EXTEND, arguments, writes=True)
    return bool(was_live)
