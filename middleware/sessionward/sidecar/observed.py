"""Stands around everything else in a sidecar, and counts, times and notes what passes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sessionward.request.request import ASGIRequest
from sessionward.response.answer import request_id
from sessionward.sidecar.access import AccessLog
from sessionward.sidecar.counts import Counts
from sessionward.sidecar.record import ASKED, RECORD, Record
from sessionward.sidecar.upstream import SWITCHING


class _Seen:
    """What has been sent of an answer."""

    def __init__(self) -> None:
        self.status = 0
        self.size = 0
        self.whole = False


class Observed:
    """The outermost part. A request that nobody has given an id gets one here, so that its line in the log and the error that
    its client is told are found together; the upstream sees it too."""

    def __init__(self, app: ASGIApp, counts: Counts, access: AccessLog | None, clock: Callable[[], float] = monotonic) -> None:
        self._app = app
        self._counts = counts
        self._access = access
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        asked = scope.get(ASKED)
        began: float = self._clock() if asked is None else asked[0]
        if self._access is not None:
            _with_id(scope)
        record = scope[RECORD] = Record()
        seen = _Seen()

        async def noted(message: Message) -> None:
            kind: str = message["type"]
            if kind.endswith(".start"):
                seen.status = message["status"]
            elif kind == "websocket.accept":
                seen.status, seen.whole = SWITCHING, True
                self._counts.add("tunnels")
            await send(message)
            if kind.endswith(".body") and not record.gone:
                seen.size += len(message.get("body", b""))
                seen.whole = not message.get("more_body", False)

        self._counts.add("in_flight")
        try:
            await self._app(scope, receive, noted)
        except Exception:
            if not seen.status:  # the listener says so
                seen.status, seen.whole = 503, True
            raise
        finally:
            self._counts.add("in_flight", -1.0)
            if seen.status == SWITCHING:
                self._counts.add("tunnels", -1.0)
            result = "cut" if not seen.whole else "passed" if record.answered else _result(scope, record, seen.status)
            self._note(scope, seen.status, seen.size, self._clock() - began, result, record.session)

    def straight(self, scope: Scope, status: int, size: int, took: float) -> None:
        """A request that went past all of this (:mod:`sessionward.sidecar.straight`)."""
        self._note(scope, status, size, took, "passed", None)

    def check(self, scope: Scope, status: int, size: int, took: float) -> None:
        """A check that was answered at once."""
        record = Record(is_check=True)
        self._note(scope, status, size, took, _result(scope, record, status), None)

    def unreadable(self, client: tuple[str, int] | None, status: int) -> None:
        """What a client has sent was no request."""
        self._counts.add("requests:refused")
        if self._access is not None:
            self._access.unreadable(client, status)

    def busy(self, more: float) -> None:
        """So many more requests are under way on the straight way."""
        self._counts.add("in_flight", more)

    def reopen(self) -> None:
        """Open the access log anew."""
        if self._access is not None:
            self._access.reopen()

    def _note(self, scope: Scope, status: int, size: int, took: float, result: str, session: object) -> None:
        self._counts.done(result, took)
        if self._access is not None:
            self._access.write(scope, status, size, took, result, session)


def _with_id(scope: Scope) -> None:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if request_id(ASGIRequest(scope)).encode() not in given:
        kept = [field for field in scope["headers"] if field[0] != b"x-request-id"]
        scope["headers"] = [*kept, (b"x-request-id", str(uuid4()).encode())]


def _result(scope: Scope, record: Record, status: int) -> str:
    """What became of a request that we have answered ourselves."""
    if status < 400:
        return "ended" if scope.get("method") == "DELETE" and not record.is_check else "passed"
    return "refused" if status < 500 else "failed"
