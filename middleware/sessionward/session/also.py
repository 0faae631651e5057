"""Calls the application after the endpoint has revoked sessions: the setting ``also``."""

from __future__ import annotations

from collections.abc import Callable

from sessionward.errors import OutcomeUnknown
from sessionward.session.call import Call
from sessionward.session.step import Flow


def called(function: Callable[[str], object], user_id: str) -> Flow[None]:
    """Lets the application revoke its tokens and grants, after the sessions were revoked.

    Raises ``OutcomeUnknown`` whatever the function raises, since the call is not done. A repeated call calls the function again.
    """
    try:
        yield from Call("also", function, (user_id,))
    except Exception as failure:  # the driver has logged it
        raise OutcomeUnknown(f"the sessions were revoked, and the setting 'also' failed with {type(failure).__name__}") from None
