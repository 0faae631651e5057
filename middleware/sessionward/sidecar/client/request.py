"""One request of a client, as its head says: read once, then never changed."""

from __future__ import annotations

from uuid import UUID

from sessionward.request.request import Location, host_of, joined
from sessionward.response.answer import request_id
from sessionward.sidecar.client.trusted_proxies import TrustedProxies


class Request:
    """The head of a request. It is a :class:`sessionward.request.request.Request`, which the flows of the core read.

    - ``method``, ``target``: exact bytes. The target is in origin form (or ``*``). ``path``: the target without its query.
    - ``fields``: names in lower case, values without the blanks around them.
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

    __slots__ = (
        "_id", "_trusted", "authorization", "began", "expects", "fields", "has_body", "is_chunked", "is_trusted", "keeps_alive", "length",
        "method", "path", "peer", "scheme", "session", "target", "version", "wants_websocket",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], version: str) -> None:
        self.method = method
        self.target = target
        self.path = target.partition(b"?")[0] if b"?" in target else target
        self.fields = fields
        self.version = version
        self.length: int | None = None
        self.authorization: bytes | None = None
        self.peer: str | None = None
        self._trusted: TrustedProxies | None = None
        self.session: UUID | None = None
        self.scheme = "http"
        self.began = 0.0
        self.is_chunked = self.has_body = self.expects = self.wants_websocket = self.keeps_alive = self.is_trusted = False
        self._id = ""

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

    def client(self) -> str | None:
        """Returns the believed address of the client, None over a unix socket."""
        return self.peer if self._trusted is None else self._trusted.client_of(self.peer, self.fields)

    def believe(self, trusted: TrustedProxies) -> None:
        """Believes what the peer, which is one of these proxies, says of the client."""
        self.is_trusted = True
        self._trusted = trusted

    def location(self) -> Location:
        """Returns the host and the path of the URL."""
        return Location(host_of(self.header(b"host")), self.path.decode("latin-1"), self.scheme)
