"""What the innermost part of a sidecar has found out about a request, for those who count outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RECORD: Final = "sessionward.record"
"""The key of a scope, and of every copy that is made of it on the way."""


@dataclass(slots=True)
class Record:
    """``answered``: the answer is the upstream's, whatever its status. ``session``: the id of the live session."""

    answered: bool = False
    session: object = None
