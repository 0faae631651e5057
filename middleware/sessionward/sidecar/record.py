"""What the innermost part of a sidecar has found out about a request, for those who count outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RECORD: Final = "sessionward.record"
"""The key of a scope, and of every copy that is made of it on the way."""


ASKED: Final = "sessionward.asked"
"""The key of a scope whose request has been sent already, by :mod:`sessionward.sidecar.straight`: when, and on which connection."""


@dataclass(slots=True)
class Record:
    """``answered``: the answer is the upstream's, whatever its status. ``session``: the id of the live session. ``gone``: the
    client did not wait for all of it. ``is_check``: somebody only asked whether a request may pass."""

    answered: bool = False
    session: object = None
    gone: bool = False
    is_check: bool = False
