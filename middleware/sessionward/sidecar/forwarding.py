"""What the requests to one upstream share: its connections, the flows that decide, and the heads that it gets."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Sequence
from time import time
from typing import Final, Protocol

from sessionward.request.request import is_exempt
from sessionward.session.session import Session
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.section import Forwarded, Section
from sessionward.sidecar.errors import UpstreamError
from sessionward.sidecar.gate import Admitted, Gate
from sessionward.sidecar.upstream.connection import UpstreamConnection
from sessionward.sidecar.upstream.headers import ANONYMOUS, SESSION_ASSERTION, SESSION_PROOF, RequestFields, identity_lines
from sessionward.sidecar.upstream.pool import Pool

log = logging.getLogger("sessionward")

PROOF_BYTES: Final = 16
"""Random bytes of a proof: 22 characters."""


REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""Methods that may be sent again, without a body, if a kept connection has ended before a byte came back (RFC 9110, 9.2.2)."""


class Signs(Protocol):
    """What makes assertions: :class:`sessionward.session.assertion.Signer`."""

    def sign(self, session: Session, now: float, /) -> bytes:
        """Returns an assertion about a session. ``now``: seconds since 1970."""
        ...


class Forwarding:
    """What the requests to one upstream share.

    - ``login_paths``: the paths on which the upstream can sign users in; one that ends in ``/`` is a prefix (CONTRACT.md 7).
    - ``response_timeout``: seconds from the end of a request to the head of its answer.
    - ``failed``: gets the kind of each failure of the upstream.
    - ``adds_id``: whether a request without an X-Request-Id gets one, since the access log names it.
    """

    def __init__(
        self,
        gate: Gate,
        pool: Pool,
        fields: RequestFields,
        *,
        signer: Signs | None = None,
        login_paths: Sequence[str] = (),
        response_timeout: float = 60.0,
        failed: Callable[[str], None],
        adds_id: bool = False,
        clock: Callable[[], float] = time,
    ) -> None:
        self.gate = gate
        self.pool = pool
        self._fields = fields
        self._signer = signer
        self._anonymous = ANONYMOUS if signer is None else (*ANONYMOUS, SESSION_ASSERTION + b": ")
        self._login_paths = frozenset(path.encode() for path in login_paths if not path.endswith("/"))
        self._login_prefixes = tuple(path.encode() for path in login_paths if path.endswith("/"))
        self.response_timeout = response_timeout
        self.failed = failed
        self._adds_id = adds_id
        self._clock = clock

    def proof_for(self, request: Request) -> bytes:
        """Returns a fresh proof if the upstream can sign users in on this path, else nothing."""
        path = request.path
        if path in self._login_paths or is_exempt(path, self._login_prefixes):  # /in/../upload is below no prefix
            return base64.urlsafe_b64encode(os.urandom(PROOF_BYTES)).rstrip(b"=")
        return b""

    def kept_for(self, request: Request) -> UpstreamConnection | None:
        """Returns a connection that is open already, None if there is none for this request.

        What must not be repeated never goes out on a connection that the upstream may be closing at this moment.
        """
        is_repeatable = request.method in REPEATABLE and not request.has_body and not request.wants_websocket
        return self.pool.kept() if is_repeatable else None

    def report(self, failure: UpstreamError, request: Request, what: str) -> None:
        """Counts and logs a failure of the upstream."""
        self.failed(failure.kind)
        log.warning("%s: the upstream %s: %s", request.id, what, failure)

    def head(self, request: Request, admitted: Admitted | None, proof: bytes, extra: Sequence[bytes] = ()) -> bytes:
        """Returns the head of a request as the upstream gets it. ``admitted``: None for an anonymous request."""
        section = request.section
        if section is not None and admitted is None and not (proof or extra or self._adds_id):
            made = section.forwarded
            if made is None or made.by is not self or made.peer != request.peer or made.is_trusted is not request.is_trusted:
                made = section.forwarded = self._forwarded(request, section)
            return b"%b %b HTTP/1.1\r\n%b" % (request.method, request.target, made.lines)
        ours = self._anonymous if admitted is None or admitted.session is None else self._identity(admitted.session)
        if proof:
            ours = (*ours, SESSION_PROOF + b": " + proof)
        fields = request.fields if admitted is None else admitted.fields
        if self._adds_id:
            wanted = request.id.encode()
            if (b"x-request-id", wanted) not in fields:
                fields = [*(field for field in fields if field[0] != b"x-request-id"), (b"x-request-id", wanted)]
        lines = self._fields.lines(request, fields, ours)
        lines += extra
        lines.append(b"\r\n")
        return b"%b %b HTTP/1.1\r\n%b" % (request.method, request.target, b"\r\n".join(lines))

    def _forwarded(self, request: Request, section: Section) -> Forwarded:
        """Returns what follows the request line of an anonymous request, as long as its client repeats its fields."""
        lines = self._fields.lines(request, section.fields, self._anonymous)
        lines.append(b"\r\n")
        return Forwarded(self, request.peer, request.is_trusted, b"\r\n".join(lines))

    def _identity(self, session: Session) -> Sequence[bytes]:
        lines = identity_lines(session)
        return lines if self._signer is None else (*lines, SESSION_ASSERTION + b": " + self._signer.sign(session, self._clock()))
