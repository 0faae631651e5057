"""One request on its way to the upstream, and its answer on the way back: a state machine (``state.py``).

The body of the request is a second, smaller machine beside it (``upload.py``). Nothing is buffered beyond one read: each side is
read only as fast as the other one takes it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from sessionward.context import Context
from sessionward.request.request import Fields
from sessionward.response.answer import Refusal, Response
from sessionward.sidecar.client.channel import Channel
from sessionward.sidecar.client.local import result_of
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.errors import SidecarProblem, TooSlow, UpstreamError, refusal_of
from sessionward.sidecar.forwarding import Forwarding
from sessionward.sidecar.gate import UNDECIDED, Admitted
from sessionward.sidecar.logins import Impossible
from sessionward.sidecar.state import MOVES, State
from sessionward.sidecar.streams import SidecarStream, watch_answer, watch_tunnel
from sessionward.sidecar.upload import Upload
from sessionward.sidecar.upstream.answer import Answer, Ends
from sessionward.sidecar.upstream.connection import UpstreamConnection
from sessionward.sidecar.upstream.headers import signs_in_connection
from sessionward.sidecar.upstream.tunnel import Tunnel

log = logging.getLogger("sessionward")

_ENDS_BY_UPGRADE: Final = Ends.UPGRADE
_JUDGING, _CONNECTING, _ASKING, _DECIDING, _ANSWERING, _TUNNEL, _OVER = State


class Exchange:
    """A request and its answer. It is a ``Handler`` to the client's connection, and an ``Asker`` to the upstream's."""

    # Defaults on the class cost nothing for the requests that keep them.
    _state = _JUDGING
    _admitted: Admitted | None = None
    _upstream: UpstreamConnection | None = None
    _upload: Upload | None = None
    _held = b""  # what of the answer's body came before a flow had decided about its head
    _held_failure: UpstreamError | None = None
    _is_held_whole = _is_kept = False
    _stream: SidecarStream | None = None
    _proof = b""
    _since = 0.0

    def __init__(self, proxy: Forwarding, client: Channel, request: Request) -> None:
        self._proxy, self._client, self._request = proxy, client, request
        if request.has_body:
            self._upload = Upload(client, request)
        admitted = proxy.gate.at_once(request)
        if admitted is UNDECIDED:
            proxy.gate.carry(proxy.gate.before(request), request, self._judged, client.loop)
        else:
            self._go_on(admitted)

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
        self._proof = self._proxy.proof_for(self._request)
        kept = self._proxy.kept_for(self._request)
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
        is_handshake = request.wants_websocket
        extra = (b"connection: Upgrade", b"upgrade: websocket") if is_handshake else ()
        head = self._proxy.head(request, self._admitted, self._proof, extra)
        upgrades = b"websocket" if is_handshake else b""
        signs_in = request.authorization is not None and signs_in_connection(request.authorization)
        connection.ask(self, request.method, head, upgrades=upgrades, signs_in=signs_in, is_whole=self._upload is None)
        if self._upload is not None:
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

    def answered(self, answer: Answer | None, body: bytes, is_whole: bool, /) -> None:
        """Hands on what one read has brought, once it is decided what becomes of the answer."""
        if answer is not None:
            context = None if self._admitted is None else self._admitted.context
            if self._proxy.gate.touches(context, answer):
                self._held, self._is_held_whole = body, is_whole
                self._decide(context, answer)
            else:
                self._give(answer, answer.fields, body, is_whole)
        elif self._state is _ANSWERING:
            self._hand_on(body, is_whole)
        elif self._state is _DECIDING:
            self._held += body
            self._is_held_whole = is_whole

    def _decide(self, context: Context | None, answer: Answer) -> None:
        """Asks the gate about the head of an answer, and reads no more until it is decided."""
        self._move(_DECIDING)
        if self._upstream is not None:
            self._upstream.pause()
        gate, then = self._proxy.gate, partial(self._decided, answer)
        if context is None:  # the answer may sign in
            context = gate.context_of(self._request)
            self._admitted = Admitted(context, self._request.fields, None)
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
            self._give(answer, decided, self._held, self._is_held_whole)
            if self._held_failure is not None:
                self.failed(self._held_failure)
            if not self._client.is_full:
                self.client_has_room()

    def _give(self, answer: Answer, fields: Fields, body: bytes, is_whole: bool) -> None:
        """Begins the answer to the client. ``body``: what has come behind its head."""
        client, upstream = self._client, self._upstream
        if answer.ends is _ENDS_BY_UPGRADE and upstream is not None:
            self._move(_TUNNEL)
            fields = [*fields, (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
            tunnel = Tunnel(client, upstream)
            self._stream = watch_tunnel(self._proxy.gate, self._request, self._admitted, tunnel.cut)
            tunnel.watch(self._stream)
            tunnel.join(fields, answer.reason, body, has_date=answer.has_date)
            return
        self._move(_ANSWERING)
        if is_whole:  # as most answers are, with their first read
            self._part()
            client.give(answer.status, answer.reason, fields, answer.length, body, "passed", has_date=answer.has_date)
            return
        self._stream = watch_answer(self._proxy.gate, self._request, self._admitted, self._cut)
        client.start(answer.status, answer.reason, fields, answer.length, has_date=answer.has_date)
        self._hand_on(body, is_whole)

    def _hand_on(self, body: bytes, is_whole: bool) -> None:
        """Sends a part of the answer to the client."""
        if body:
            self._client.send(body)
        if is_whole:
            self._part()
            self._client.finish("passed")
        else:
            self._client.flush()

    def _part(self) -> None:
        """Ends the exchange with the upstream, whose answer is whole."""
        if (upstream := self._leave()) is not None:
            self._proxy.pool.keep(upstream)

    # --- ends ---

    def failed(self, failure: UpstreamError, /) -> None:
        """Ends the exchange, since no answer comes, or no more of it. Asks once more where that is safe."""
        state, upstream = self._state, self._upstream
        if state is _ASKING and self._is_kept and type(failure) is UpstreamError and upstream is not None and not upstream.has_heard:
            self._upstream = None
            self._open()
        elif state is _DECIDING:
            self._held_failure = failure
        elif state is _TUNNEL:
            if self._stream is not None:
                self._stream.over()
            self._client.close_tunnel()
        elif state in (_CONNECTING, _ASKING, _ANSWERING):
            self._proxy.report(failure, self._request, "broke off its answer" if state is _ANSWERING else "does not answer")
            if state is not _ANSWERING:
                self._refuse(failure.problem)
                return
            self._leave()
            self._client.cut()

    def _refuse(self, problem: Refusal) -> None:
        self._answer_ourselves(refusal_of(problem, self._request), "refused" if int(problem.status) < 500 else "failed")

    def _answer_ourselves(self, response: Response, result: str) -> None:
        self._abandon()
        self._client.respond(response, result)

    def _cut(self) -> None:
        """Breaks the answer off, since its session is not live any more."""
        self._abandon()
        self._client.cut()

    def _leave(self) -> UpstreamConnection | None:
        """Ends the exchange. Returns the connection to the upstream, if there is one."""
        self._move(_OVER)
        if self._stream is not None:
            self._stream.over()
        upstream, self._upstream = self._upstream, None
        return upstream

    def _abandon(self) -> None:
        if (upstream := self._leave()) is not None:
            upstream.abort()

    def gone(self) -> None:
        """Ends the exchange, since the client is gone."""
        if self._state is not _OVER and self._state is not _TUNNEL:
            self._abandon()

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
        if self._upstream is not None:
            self._upstream.abort()
        self.failed(TooSlow(why))
