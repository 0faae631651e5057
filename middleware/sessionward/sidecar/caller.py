"""Who is calling, over sessions of the application's own (way 2), whose ordinary traffic the door leaves alone."""

from __future__ import annotations

from sessionward.context import Visit
from sessionward.credential.carriers import read_carriers
from sessionward.credential.token import Credential
from sessionward.session.session import Session
from sessionward.session.step import Flow
from sessionward.session.steps import Find


def caller(visit: Visit) -> Flow[Session | None]:
    """The live session that the application's own cookie or header proves. Raises what the backend raises."""
    reading, _ = read_carriers(visit.request.header, visit.policy.capabilities.carriers)
    return (yield from Find(reading)) if isinstance(reading, Credential) else None
