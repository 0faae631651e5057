"""The service of ``sessionward serve``: hands every request on to the upstream, and the answer back."""

from __future__ import annotations

from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.client.phase import Handler
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.exchange import Exchange
from sessionward.sidecar.forwarding import Forwarding


class Proxy(Forwarding):
    """Serves each request by an exchange with the upstream."""

    def begin(self, connection: Channel, request: Request, /) -> Handler:
        """Begins the exchange of a request."""
        return Exchange(self, connection, request)
