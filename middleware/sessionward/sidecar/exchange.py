"""One request on its way to the upstream, and its answer on the way back: a state machine (``state.py``).

The body of the request is a second, smaller machine beside it (``upload.py``). Nothing is buffered beyond one read: each side is
read only as fast as the other one takes it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from sessionward.request.request import Fields
from sessionward.response.answer import Refusal, Response
from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.client.local import result_of
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.errors import SidecarProblem, TooSlow, UpstreamError, refusal_of
from sessionward.sidecar.forwarding import Forwarding
from sessionward.sidecar.gate import Admitted, Impossible
from sessionward.sidecar.state import MOVES, State
from sessionward.sidecar.upload import Upload
from sessionward.sidecar.upstream.answer import Answer, Ends
from sessionward.sidecar.upstream.connection import UpstreamConnection
from sessionward.sidecar.upstream.headers import signs_in_connection
from sessionward.sidecar.upstream.tunnel import Tunnel

log = logging.getLogger("sessionward")

_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""Methods that may be sent again, without a body, if a kept connection has ended before a byte came back (RFC 9110, 9.2.2)."""
_JUDGING, _CONNECTING, _ASKING, _DECIDING, _ANSWERING, _TUNNEL, _OVER = State


class Exchange:
    """A request and its answer. It is a ``Handler`` to the client's connection, and an ``Asker`` to the upstream's."""

    # Defaults on the class cost nothing for the requests that keep them.
    _state = _JUDGING
    _admitted: Admitted | None = None
    _upstream: UpstreamConnection | None = None
    _upload: Upload | None = None
    _held: Sequence[bytes] = ()
    """Parts of the answer's body that came before a flow had decided about its head."""
    _held_failure: UpstreamError | None = None
    _is_held_whole = False
    _is_kept = False
    _proof = b""
    _since = 0.0

    def __init__(self, proxy: Forwarding, client: Channel, request: Request) -> None:
        self._proxy = proxy
        self._client = client
        self._request = request
        if request.has_body:
            self._upload = Upload(client, request)
        if proxy.gate.passes(request):
            self._go_on(None)
        else:
            proxy.gate.carry(proxy.gate.before(request), request, self._judged, client.loop)

    def _move(self, to: State) -> None:
        assert to in MOVES[self._state], f"{self._state.name} to {to.name}"
        self._state = to
        self._since = 0.0

    # --- to the upstream ---

    def _judged(self, verdict: Response | Admitted) -> None:
        if self._state is not _JUDGING:  # the client is gone
            return
        if isinstance(verdict, Admitted):
            self._go_on(verdict)
        else:
            ended = self._request.method == b"DELETE" and int(verdict.status) == 200
            self._answer_ourselves(verdict, "ended" if ended else result_of(verdict))

    def _go_on(self, admitted: Admitted | None) -> None:
        self._admitted = admitted
        request, proxy = self._request, self._proxy
        self._proof = proxy.proof_for(request)
        # What must not be repeated never goes out on a connection that the upstream may be closing at this moment.
        kept = proxy.pool.kept() if request.method in _REPEATABLE and not request.has_body and not request.wants_websocket else None
        if kept is not None:
            self._is_kept = True
            self._ask(kept)
        else:
            self._open()

    def _open(self) -> None:
        self._move(_CONNECTING)
        self._is_kept = False
        self._proxy.pool.open_for(self._connected, self.failed)

    def _connected(self, connection: UpstreamConnection) -> None:
        if self._state is not _CONNECTING:  # the client is gone
            connection.abort()
        elif connection.failure is not None:
            self.failed(connection.failure)
        else:
            self._ask(connection)

    def _ask(self, connection: UpstreamConnection) -> None:
        request = self._request
        self._move(_ASKING)
        self._upstream = connection
        extra = (b"connection: Upgrade", b"upgrade: websocket") if request.wants_websocket else ()
        connection.ask(
            self,
            request.method,
            self._proxy.head(request, self._admitted, self._proof, extra),
            upgrades=b"websocket" if request.wants_websocket else b"",
            signs_in=request.authorization is not None and signs_in_connection(request.authorization),
        )
        if self._upload is None:
            connection.sent()
        else:
            self._upload.begin(connection)

    def body(self, data: bytes, /) -> None:
        """Sends a part of the request's body on."""
        if self._upload is not None and self._state is not _OVER:
            self._upload.body(data)

    def whole(self) -> None:
        """Ends the body of the request."""
        if self._upload is not None and self._state is not _OVER:
            self._upload.whole()

    def may_continue(self) -> None:
        """Asks the client for the body, since the upstream wants it."""
        if self._upload is not None and self._state is _ASKING:
            self._upload.may_continue()

    # --- from the upstream ---

    def answered(self, answer: Answer, /) -> None:
        """Decides about the head of the answer."""
        gate, context = self._proxy.gate, None if self._admitted is None else self._admitted.context
        if not gate.touches(context, answer):
            self._give(answer, answer.fields)
            return
        self._move(_DECIDING)
        if self._upstream is not None:
            self._upstream.pause()

        def then(decided: Response | Fields | Impossible) -> None:
            self._decided(answer, decided)

        gate.carry(gate.after(context, self._request, answer, self._proof), self._request, then, self._client.loop)

    def _decided(self, answer: Answer, decided: Response | Fields | Impossible) -> None:
        if self._state is not _DECIDING:
            return
        if isinstance(decided, Impossible):
            log.error("%s: the upstream says something of a login that cannot be done: %s", self._request.id, decided.reason)
            self._proxy.failed("invalid")
            self._refuse(SidecarProblem.UPSTREAM_INVALID)
        elif isinstance(decided, Response):
            self._answer_ourselves(decided, result_of(decided))
        else:
            self._give(answer, decided)
            if not self._client.is_full:
                self.client_has_room()
            self.settled()

    def _give(self, answer: Answer, fields: Fields) -> None:
        client, upstream = self._client, self._upstream
        if answer.ends is Ends.UPGRADE and upstream is not None:
            self._move(_TUNNEL)
            fields = [*fields, (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
            tunnel = Tunnel(client, upstream)
            tunnel.join(fields, answer.reason, b"".join(self._held), has_date=answer.has_date)
            if self._held_failure is not None:
                tunnel.failed(self._held_failure)
            return
        self._move(_ANSWERING)
        client.start(answer.status, answer.reason, fields, answer.length, has_date=answer.has_date)
        for data in self._held:
            client.send(data)
        self._held = ()
        if self._is_held_whole:
            self._finish()
        elif self._held_failure is not None:
            self.failed(self._held_failure)

    def answer_body(self, data: bytes, /) -> None:
        """Hands a part of the answer on."""
        if self._state is _ANSWERING:
            self._client.send(data)
        elif self._state is _DECIDING:
            self._held = [*self._held, data]

    def answer_whole(self) -> None:
        """Ends the answer, once all of it has been handed on."""
        if self._state is _ANSWERING:
            self._finish()
        elif self._state is _DECIDING:
            self._is_held_whole = True

    def settled(self) -> None:
        """Sends what has come with one read."""
        if self._state is _ANSWERING:
            self._client.flush()

    def _finish(self) -> None:
        upstream = self._leave()
        if upstream is not None:
            self._proxy.pool.keep(upstream)
        self._client.finish("passed")

    # --- ends ---

    def failed(self, failure: UpstreamError, /) -> None:
        """Ends the exchange, since no answer comes, or no more of it. Asks once more where that is safe."""
        state, upstream = self._state, self._upstream
        if state is _ASKING and self._is_kept and type(failure) is UpstreamError and upstream is not None and not upstream.has_heard:
            self._upstream = None
            self._open()
        elif state is _DECIDING:
            self._held_failure = failure
        elif state is _ANSWERING:
            self._proxy.failed(failure.kind)
            log.warning("%s: the upstream broke off its answer: %s", self._request.id, failure)
            self._leave()
            self._client.cut()
        elif state in (_CONNECTING, _ASKING):
            self._proxy.failed(failure.kind)
            log.warning("%s: the upstream does not answer: %s", self._request.id, failure)
            self._refuse(failure.problem)

    def _refuse(self, problem: Refusal) -> None:
        self._answer_ourselves(refusal_of(problem, self._request), "refused" if int(problem.status) < 500 else "failed")

    def _answer_ourselves(self, response: Response, result: str) -> None:
        upstream = self._leave()
        if upstream is not None:
            upstream.abort()
        self._client.respond(response, result)

    def _leave(self) -> UpstreamConnection | None:
        """Ends the exchange. Returns the connection to the upstream, if there is one."""
        self._move(_OVER)
        upstream, self._upstream = self._upstream, None
        return upstream

    def gone(self) -> None:
        """Ends the exchange, since the client is gone."""
        if self._state is not _OVER and self._state is not _TUNNEL:
            upstream = self._leave()
            if upstream is not None:
                upstream.abort()

    # --- back-pressure ---

    def client_is_full(self) -> None:
        """Reads no more of the answer."""
        if self._upstream is not None and self._state is _ANSWERING:
            self._upstream.pause()

    def client_has_room(self) -> None:
        """Reads the answer again."""
        if self._upstream is not None and self._state is _ANSWERING:
            self._upstream.resume()

    def upstream_is_full(self) -> None:
        """Reads no more of the request's body."""
        if self._state is not _OVER:
            self._client.hold()

    def upstream_has_room(self) -> None:
        """Reads the request's body again."""
        if self._state is not _OVER:
            self._client.release()

    # --- time ---

    def check(self, now: float, /) -> None:
        """Checks how long the upstream takes. ``now``: by the clock of the loop."""
        if self._state not in (_ASKING, _ANSWERING):
            return
        upload = self._upload
        if upload is not None and not upload.is_sent:
            self._since = now  # the time for the answer begins when the request has been sent
            if upload.is_stuck(now):
                self._give_up("it has stopped taking the request")
        elif self._state is _ASKING:
            self._since = self._since or now
            if now - self._since > self._proxy.response_timeout:
                self._give_up(f"no answer within {self._proxy.response_timeout:g} s")

    def _give_up(self, why: str) -> None:
        upstream = self._upstream
        if upstream is not None:
            upstream.abort()
        self.failed(TooSlow(why))
