"""Records which sessions of an application have companions, and which of them were revoked.

The record is a key of its own, since the question does not name the user. It is written after the commit and before the answer. If the
process ends between the two, the repeat of the call writes it: each revocation records the companions that it finds ended, too. Companions
are compulsory for the user from the commit on, so that no login of the user passes meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sessionward.backends.redis.asking import asked
from sessionward.backends.redis.call import Call, Flow, Script
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.lua import ALLOWED, STATE, script
from sessionward.backends.redis.together import together

KEPT_NOTES: Final = 31 * 86_400.0
"""Seconds for which a revoked session of an application is remembered at least."""
AT_ONCE: Final = 500

_LAST: Final = """
local function last(seconds)
  local ms = math.ceil(tonumber(seconds) * 1000)
  if redis.call('PEXPIRE', KEY, ms, 'GT') == 0 and redis.call('PTTL', KEY) == -1 then redis.call('PEXPIRE', KEY, ms) end
end
local v = redis.call('GET', KEY)
local others = v and string.sub(v, 1, 1) == 'L' and string.sub(v, 2, 9)
if PASSED and others and others ~= ERA and others ~= ARGV[3] then return {-1, others} end
"""
_NOTE: Final = """
redis.call('SET', KEY, v and others ~= ERA and 'R' or 'L' .. ERA .. (v and '' or ARGV[6]), 'KEEPTTL')
last(ARGV[5])
return {1}
"""
NOTE: Final = Script("note_app_session", ALLOWED + STATE + _LAST + _NOTE)
"""A companion begins, or follows its session of the application. What had one of an earlier era counts as revoked.

``ARGV[6]``: the session that begins or ''. The record names it as long as no other has followed.
"""
FORGET: Final = script(
    "forget_app_session",
    "local v = redis.call('GET', KEYS[1])\n"
    "if v and string.sub(v, 1, 1) == 'L' and string.sub(v, 10) == ARGV[1] then redis.call('DEL', KEYS[1]) end",
)
"""The companion did not begin, and no other has been recorded: as if it had not been asked for."""
REVOKED: Final = Script("revoked_app_session", ALLOWED + STATE + _LAST + "redis.call('SET', KEY, 'R', 'KEEPTTL') last(ARGV[5]) return {1}")
IS_REVOKED: Final = Script("is_revoked_app_session", ALLOWED + STATE + _LAST + "return {1, (v and others ~= ERA) and 1 or 0}")
CONFIRM: Final = Script("confirm_app_session", ALLOWED + STATE + _LAST + "redis.call('SET', KEY, v or 'R', 'KEEPTTL') last(60) return {1}")


def noted(place: Place, app_session: bytes, lifetime: float, begins: bytes = b"") -> Flow[Any]:
    """Records that a session of an application has a companion, which lives for so many seconds. ``begins``: the one that begins."""
    return asked(place, place.app_session(app_session), NOTE, (repr(lifetime + 2 * place.keep), begins), writes=True)


def forgotten(place: Place, app_session: bytes, begins: bytes) -> Call:
    """Takes :func:`noted` back for a companion that was refused, unless another one was noted before or after it."""
    return Call(FORGET, place.app_session(app_session).key, (begins,), writes=True)


def revoked(place: Place, app_sessions: Sequence[bytes]) -> Flow[None]:
    """Records that companions of these sessions of an application were revoked."""
    for start in range(0, len(app_sessions), AT_ONCE):
        batch = set(app_sessions[start : start + AT_ONCE])
        yield from together([asked(place, place.app_session(one), REVOKED, (repr(KEPT_NOTES),), writes=True, lasts=True) for one in batch])


def is_revoked(place: Place, app_session: bytes) -> Flow[bool]:
    """Returns whether a companion of this session of the application has been revoked."""
    owner = place.app_session(app_session)
    _, found = yield from asked(place, owner, IS_REVOKED)
    if found and place.waits:  # P6: a failover must not undo it
        yield from asked(place, owner, CONFIRM, writes=True, lasts=True)
    return bool(found)
