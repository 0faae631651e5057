"""Mode own behind a sidecar, which has looked up the caller: we verify its signed assertion and do not ask the backend."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from sessionward.context import Context
from sessionward.lease import NoLeases
from sessionward.modes.own import Own
from sessionward.request.request import Fields
from sessionward.response.answer import Response
from sessionward.session.assertion import FIELD, STATED, Verifier
from sessionward.session.capabilities import Capabilities
from sessionward.session.step import Flow
from sessionward.settings import Settings


class Assertion(Own):
    """Like :class:`Own`, but passes a request with a valid assertion on unchanged and does not ask the backend.

    It removes the fields of the assertion from a request without a valid one.
    """

    names = Own.names | STATED
    looks_always = True

    def __init__(self, capabilities: Capabilities, settings: Settings, leases: NoLeases) -> None:
        super().__init__(capabilities, settings, leases)
        self.recall = None
        self._verifier = Verifier(settings.assertion_secrets, settings.audience)

    def on_request(self, context: Context) -> Flow[Response | Fields | None]:
        if self._is_stated(context):
            return _agreeing(context)
        found = context.found
        context.found = _without_assertion(found)
        answer = yield from super().on_request(context)
        return context.found if answer is None and len(context.found) < len(found) else answer

    def exempt(self, context: Context) -> Fields | None:
        kept = _agreeing(context) if self._is_stated(context) else _without_assertion(context.found)
        return self.own.strip(context.found if kept is None else kept)

    def _is_stated(self, context: Context) -> bool:
        """Returns whether the request has exactly one assertion and it is valid. If so, sets ``context.session``."""
        assertions = [value for name, value in context.found if name == FIELD]
        if len(assertions) == 1:
            context.session = self._verifier.verify(assertions[0], context.clock())
        return context.session is not None


def _without_assertion(fields: Fields) -> Fields:
    return [(name, value) for name, value in fields if name not in STATED]


def _agreeing(context: Context) -> Fields | None:
    """Returns the fields without those that contradict the assertion, or None if none does."""
    session = context.session
    assert session is not None
    said = {b"x-session-user": session.user_id.encode(), b"x-session-id": str(session.id).encode()}
    kept = [(name, value) for name, value in context.found if name not in said or unquote_to_bytes(value) == said[name]]
    return kept if len(kept) < len(context.found) else None
