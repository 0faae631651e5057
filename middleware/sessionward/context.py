"""What is known of one request on its way through.

The flows decide, a context remembers what they have found: no flow waits while the application works. It does not hold its
mode; what only one mode remembers stands in a context of that mode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sessionward.credential.token import Credential
from sessionward.request.request import Fields, Request
from sessionward.session.session import Device, Session

MAX_USER_AGENT: Final = 512
"""Characters kept of a User-Agent."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Context:
    """What is known of one request, and what its answer must carry. Belongs to one door and one request.

    - ``request``: the parts of it that are looked at; ``found``: its fields that credentials travel in.
    - ``age``: returns the seconds since the request reached the door.
    - ``clock``: returns seconds since 1970 by our own clock, good enough to tell whether a cookie is being deleted and
      whether a companion grows old; no promise rests on it.
    - ``session``: the live session, or None; ``credential``: what proves it.
    - ``cookie``: a Set-Cookie value of ours that is to go out.
    - ``generations``: of users, as this request has set them by revoking sessions (P3 b).
    - ``head_is_out``: it is too late for a cookie.
    - ``has_twins``: the request also has fields of those names spelled with ``_``. They are not in ``found``, and taken out.
    - ``is_misplaced``: the application's session middleware stands outside of ours.
    - ``warning``: what the operator should know of it, for the log.
    """

    session: Session | None = None
    credential: Credential | None = None
    cookie: bytes | None = None
    head_is_out: bool = False
    has_twins: bool = False
    is_misplaced: bool = False
    warning: str | None = None

    def __init__(self, request: Request, found: Fields, age: Callable[[], float], clock: Callable[[], float] = float) -> None:
        self.request = request
        self.found = found
        self.age = age
        self.clock = clock
        self.generations: dict[str, int] = {}

    def device(self) -> Device:
        """Where the request comes from."""
        agent = self.request.header(b"user-agent")
        shown = None if agent is None else _CONTROL.sub(" ", agent.decode("utf-8", "replace"))[:MAX_USER_AGENT]
        return Device(ip_address=self.request.client(), user_agent=shown or None)
