"""Mode own behind a sidecar, which has looked up the caller: we verify its signed assertion and do not ask the backend."""

from __future__ import annotations

from itertools import product
from typing import Final

from sessionward.context import Context
from sessionward.modes.own import Own
from sessionward.request.request import Fields
from sessionward.response.answer import Response
from sessionward.session.assertion import FIELD, STATED, Verifier
from sessionward.session.backend import Capabilities
from sessionward.session.step import Flow
from sessionward.settings import Settings


def _spellings(name: bytes) -> set[bytes]:
    """Returns a field's name with each ``-`` as ``-`` or ``_``: a bridge to WSGI may treat both alike."""
    first, *rest = name.split(b"-")
    return {first + b"".join(map(bytes.__add__, glues, rest)) for glues in product((b"-", b"_"), repeat=len(rest))}


_SPELLED: Final = frozenset(spelling for name in STATED for spelling in _spellings(name))


class Assertion(Own):
    """Like :class:`Own`, but passes a request with a valid assertion on unchanged and does not ask the backend.

    It removes the fields of the assertion from a request without a valid one.
    """

    names = Own.names | _SPELLED
    looks_always = True

    def __init__(self, capabilities: Capabilities, settings: Settings) -> None:
        super().__init__(capabilities, settings)
        self._verifier = Verifier(settings.assertion_secrets, settings.audience)

    def on_request(self, context: Context) -> Flow[Response | Fields | None]:
        if self._is_stated(context):
            return None
        found = context.found
        context.found = _without_assertion(found)
        answer = yield from super().on_request(context)
        return context.found if answer is None and len(context.found) < len(found) else answer

    def exempt(self, context: Context) -> Fields | None:
        return None if self._is_stated(context) else self.own.strip(_without_assertion(context.found))

    def _is_stated(self, context: Context) -> bool:
        """Returns whether the request has exactly one assertion and it is valid. If so, sets ``context.session``."""
        assertions = [value for name, value in context.found if name == FIELD]
        if len(assertions) == 1:
            context.session = self._verifier.verify(assertions[0], context.clock())
        return context.session is not None


def _without_assertion(fields: Fields) -> Fields:
    return [(name, value) for name, value in fields if name not in _SPELLED]
