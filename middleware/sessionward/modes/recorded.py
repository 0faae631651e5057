"""The application's store may write an ended session back, so what was ended is remembered and kept out (way 2).

For backends with ``which_revoked`` or ``note`` (:class:`sessionward.session.backend.SupportsRecord`): the truth about "ended" is the backend's own
record, never the presence of a key in somebody else's store (DESIGN.md 6).
"""

from __future__ import annotations

from contextlib import suppress

from sessionward.context import Policy, Visit
from sessionward.credential.login_cookies import Names, read_logins, taken
from sessionward.credential.token import Credential
from sessionward.response.answer import Headers
from sessionward.response.set_cookies import given, without_logins
from sessionward.session.step import Flow
from sessionward.session.steps import FindRevoked, Note


def keep_out(visit: Visit) -> Flow[None]:
    """Before the application: the session cookies that were ended, or that are oddly spelled, are in ``visit.taken``."""
    found = read_logins(visit.request.header, _names(visit.policy))
    credentials = {login: _credential(login.value) for login in found.logins}
    ended = (yield from FindRevoked(list(credentials.values()))) if credentials else ()
    visit.kept = [login for login, credential in credentials.items() if credential not in ended]
    visit.taken = taken(found, [login for login, credential in credentials.items() if credential in ended])


def look_back(visit: Visit, head: Headers) -> Flow[Headers]:
    """After it: a new session is noted, and an answer to one that was ended meanwhile sets no session cookie.

    In this order: whoever ends the user's sessions in between finds the new one already, or else we find the old one ended.
    """
    names, operations = _names(visit.policy), visit.policy.capabilities.operations
    news = [_credential(cookie.value) for cookie in given(head, names, visit.clock) if cookie.value is not None]
    if "note" in operations:
        for credential in news:
            with suppress(Exception):  # it has been logged; what is not noted is found by looking through the store, or refused
                yield from Note(credential)
    if "which_revoked" in operations and news and visit.kept:
        try:
            dead = bool((yield from FindRevoked([_credential(login.value) for login in visit.kept])))
        except Exception:  # it has been logged where it was raised
            dead = True
        if dead:
            return without_logins(head, names, visit.clock)
    return head


def _credential(value: str) -> Credential:
    return Credential(value.encode("latin-1"))


def _names(policy: Policy) -> Names:
    assert policy.logins is not None
    return policy.logins
