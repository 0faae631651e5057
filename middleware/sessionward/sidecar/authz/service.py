"""The service of ``sessionward authz``: checks for a proxy that is already there, and the endpoint on the same port."""

from __future__ import annotations

from sessionward.response.answer import Response
from sessionward.session.step import Flow
from sessionward.sidecar.authz.routes import route_of
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.client.local import Local
from sessionward.sidecar.client.phase import Handler
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.errors import SidecarProblem, refusal_of
from sessionward.sidecar.gate import Gate


class Checks:
    """Answers checks. It serves our route too, and responds 404 to all other requests."""

    def __init__(self, gate: Gate, rules: Rules) -> None:
        self.gate = gate
        self._rules = rules

    def begin(self, connection: Channel, request: Request, /) -> Handler:
        """Begins to answer a check."""
        local = Local(connection)
        route = route_of(request.path)
        asked = self._endpoint(request) if route is None else self._rules.answer(request, route)
        self.gate.carry(asked, request, local.give, connection.loop)
        return local

    def _endpoint(self, request: Request) -> Flow[Response]:
        if self.gate.is_for_our_route(request):
            answer = yield from self.gate.before(request)
            if isinstance(answer, Response):
                return answer
        return refusal_of(SidecarProblem.NOT_FOUND, request)
