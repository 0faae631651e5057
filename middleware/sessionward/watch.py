"""The application's store may write an ended session back, so what was ended is remembered and kept out (way 2).

For backends with ``ended`` or ``saw`` (:class:`sessionward.backend.Watches`): the truth about "ended" is the backend's own
record, never the presence of a key in somebody else's store (DESIGN.md 6).
"""

from __future__ import annotations

from contextlib import suppress

from sessionward.credential import Credential
from sessionward.given import given, without_logins
from sessionward.logins import Names, read_logins, taken
from sessionward.response import Headers
from sessionward.session import FindEnded, Saw
from sessionward.step import Flow
from sessionward.visit import Policy, Visit


def keep_out(visit: Visit) -> Flow[None]:
    """Before the application: the session cookies that were ended, or that are oddly spelled, are in ``visit.taken``."""
    found = read_logins(visit.request.header, _names(visit.policy))
    digests = {login: _digest(login.value) for login in found.logins}
    ended = (yield from FindEnded(set(digests.values()))) if digests else ()
    visit.kept = [login for login, digest in digests.items() if digest not in ended]
    visit.taken = taken(found, [login for login, digest in digests.items() if digest in ended])


def look_back(visit: Visit, head: Headers) -> Flow[Headers]:
    """After it: an answer that sets the session cookie may not bring one back, and a new session is noted."""
    names, operations = _names(visit.policy), visit.policy.abilities.operations
    news = [Credential(cookie.value.encode("latin-1")) for cookie in given(head, names, visit.clock) if cookie.value is not None]
    if "ended" in operations and news:
        asked = {credential.digest for credential in news} | {_digest(login.value) for login in visit.kept}
        try:
            dead = bool((yield from FindEnded(asked)))
        except Exception:  # it has been logged where it was raised
            dead = True
        if dead:
            return without_logins(head, names, visit.clock)
    if "saw" in operations:
        for credential in news:
            with suppress(Exception):  # it has been logged; a session that is not noted is found by looking through the store
                yield from Saw(credential)
    return head


def _digest(value: str) -> bytes:
    return Credential(value.encode("latin-1")).digest


def _names(policy: Policy) -> Names:
    assert policy.logins is not None
    return policy.logins
