"""One request of a client, as its head says: read once, then never changed."""

from __future__ import annotations

from uuid import UUID

from sessionward.request.request import Location, host_of, joined
from sessionward.response.answer import request_id
from sessionward.sidecar.client.section import Section
from sessionward.sidecar.client.trusted_proxies import TrustedProxies


class Request:
    """The head of a request. It is a :class:`sessionward.request.request.Request`, which the flows of the core read.

    - ``method``, ``target``: exact bytes. The target is in origin form (or ``*``). ``path``: the target without its query.
    - ``fields``: names in lower case, values without the blanks around them.
    - ``section``: the header section of these fields if another request may have the same one, else None. Nothing changes the fields.
    - ``version``: "1.1" or "1.0".
    - ``length``: of the body in bytes; None if there is no Content-Length. ``is_chunked``: whether the body is chunked.
      ``has_body``: whether a body follows the head.
    - ``expects``: whether the client waits for 100 Continue. ``wants_websocket``: whether it asks for a WebSocket.
    - ``authorization``: the value of Authorization, None if there is none; several are joined by commas.
    - ``keeps_alive``: whether the client wants to send another request on its connection.
    - ``peer``: the address of the connection, None over a unix socket.
    - ``is_trusted``: whether the peer is a trusted proxy. ``scheme``: of the connection.
    - ``began``: when we have read the head, by the monotonic clock.
    - ``session``: the public id of the client's live session, None until it is known.
    """

    # Defaults on the class cost nothing for the requests that keep them.
    length: int | None = None
    authorization: bytes | None = None
    peer: str | None = None
    section: Section | None = None
    session: UUID | None = None
    scheme = "http"
    began = 0.0
    is_chunked = has_body = expects = wants_websocket = keeps_alive = is_trusted = False
    _trusted: TrustedProxies | None = None
    _id = ""

    def __init__(self, method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], version: str) -> None:
        self.method = method
        self.target = target
        self.path = target if target.find(b"?") < 0 else target.partition(b"?")[0]
        self.fields = fields
        self.version = version

    @property
    def id(self) -> str:
        """The X-Request-Id of the client or a proxy, or a new UUID."""
        if not self._id:
            self._id = request_id(joined(self.fields, b"x-request-id"))
        return self._id

    def header(self, name: bytes, /) -> bytes | None:
        """Returns the value of a header by its lower-case name, or None. X-Request-Id is always :attr:`id`, so that an error names it."""
        return self.id.encode() if name == b"x-request-id" else joined(self.fields, name)

    def route(self) -> bytes:
        """Returns the path with the client's own percent-encoding."""
        return self.path

    def mount(self) -> bytes:
        """Returns nothing: the sidecar has no mount point."""
        return b""

    def query(self) -> bytes:
        """Returns the query as the client sent it."""
        return self.target.partition(b"?")[2]

    def client(self) -> str | None:
        """Returns the believed address of the client, None over a unix socket."""
        return self.peer if self._trusted is None else self._trusted.client_of(self.peer, self.fields)

    def believe(self, trusted: TrustedProxies) -> None:
        """Believes what the peer, which is one of these proxies, says of the client."""
        self.is_trusted = True
        self._trusted = trusted

    def location(self) -> Location:
        """Returns the host and the path of the URL."""
        return Location(host_of((self.header(b"host") or b"").decode("latin-1")), self.path.decode("latin-1"), self.scheme)
