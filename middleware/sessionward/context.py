"""The context of one request: what its flows have found out, and what its response must carry.

No flow waits while the application works, so the context keeps what the flow before the application found for the flow after it.
Values of a single mode are in the context class of that mode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sessionward.credential.token import Credential
from sessionward.request.request import Fields, Request
from sessionward.session.session import Device, Session

MAX_USER_AGENT: Final = 512
"""How many characters of a User-Agent we keep."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Context:
    """What we know about one request in one middleware, and what its response must carry.

    - ``request``: the parts of the request that we read. ``found``: its fields that carry credentials.
    - ``age``: a function that returns the seconds since the request reached the middleware.
    - ``clock``: a function that returns seconds since 1970 by the clock of this host. It decides only whether a response deletes
      a cookie, and whether we renew a companion; no promise depends on it.
    - ``session``: the live session, or None. ``credential``: the credential that proves it.
    - ``acted``: the impersonation that ``revoke_all`` took from the browser, or None. A later sign-in of this request inherits from it.
    - ``cookie``: the Set-Cookie value that we add to the response, or None.
    - ``generations``: the generation of each user whose sessions this request has revoked (P3 b).
    - ``head_is_out``: whether the response head has been sent, so that we cannot set a cookie any more.
    - ``has_twins``: whether the request also has fields of these names spelled with ``_``. We remove them; ``found`` lacks them.
    - ``is_misplaced``: whether the application's session middleware runs before ours.
    - ``refusal``: why a sign-in was refused, for the log, or None.
    - ``warning``: a message to the operator, for the log, or None.
    """

    session: Session | None = None
    credential: Credential | None = None
    acted: Session | None = None
    cookie: bytes | None = None
    head_is_out: bool = False
    has_twins: bool = False
    is_misplaced: bool = False
    refusal: str | None = None
    warning: str | None = None

    def __init__(self, request: Request, found: Fields, age: Callable[[], float], clock: Callable[[], float] = float) -> None:
        self.request = request
        self.found = found
        self.age = age
        self.clock = clock
        self.generations: dict[str, int] = {}

    def device(self) -> Device:
        """Returns the address and the user agent of the request."""
        agent = self.request.header(b"user-agent")
        shown = None if agent is None else _CONTROL.sub(" ", agent.decode("utf-8", "replace"))[:MAX_USER_AGENT]
        return Device(ip_address=self.request.client(), user_agent=shown or None)
