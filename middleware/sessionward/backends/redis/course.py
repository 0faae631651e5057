"""One flow on its way to Redis and back: what goes to which server, what its replies mean, and what is known if none come.

It performs nothing. A driver, sync or async, does each step and hands its result on.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from sessionward.backends.redis.call import Call, NotHere
from sessionward.backends.redis.part import Part, Wait, read, written
from sessionward.backends.redis.topology import Topology
from sessionward.backends.redis.wire import Lost, Node, Pause, Result, Send, Step, packed_call
from sessionward.errors import BackendUnavailable, ConfigurationError, OutcomeUnknown, SessionwardError

R = TypeVar("R")

ROUNDS: Final = 16
"""How often one call is sent on to another server, or again. redis-py has the same number."""

Steps: TypeAlias = Generator[Step, Any, R]
Asked: TypeAlias = Generator[Call | Sequence[Call] | Send, Any, R]
"""A flow, which may also send commands to a server of its choice. It then gets the :data:`~sessionward.backends.redis.wire.Result`."""


class Course(Generic[R]):
    """Drives a flow. ``step`` is what is to be done next, None if it is over; then ``answer`` is what the flow has returned."""

    __slots__ = ("_has_written", "_steps", "_topology", "_wait", "_why", "answer", "step", "writes")

    def __init__(self, flow: Asked[R], topology: Topology, wait: Wait | None = None) -> None:
        self._topology = topology
        self._wait = wait
        self._has_written = False
        self._why = ""
        self._steps = self._drive(flow)
        self.step: Step | None = None
        self.answer: R
        self.writes = False
        """Whether the flow is at a call that may change something."""

    def go_on(self, result: Result | list[Result] | None = None) -> Step | None:
        """Takes the result of the step, and returns the next one. Raises what the flow raises, or what a failure means for its caller."""
        try:
            self.step = self._steps.send(result)
        except StopIteration as end:
            self.step = None
            self.answer = end.value
        return self.step

    def late(self, timeout: float) -> BackendUnavailable:
        """Returns the error of a flow whose time was up in the midst of a step."""
        sends = self._sends()
        if any(not send.is_lookup for send in sends):
            self._topology.doubt()
        unsent = next((send.node for send in sends if not send.is_sent), None)
        if unsent is not None:
            why = self._why or f"no connection to Redis at {unsent} within {timeout:g} s"
        else:
            why = f"Redis{f' at {sends[0].node}' if len(sends) == 1 else ''} did not answer within {timeout:g} s"
        return self._error(why, in_doubt=self._is_in_doubt())

    def refused(self, mistake: ConfigurationError) -> SessionwardError:
        """Returns what it means for the caller that a server is found to be wrong: after a write it is no mistake alone."""
        return OutcomeUnknown(str(mistake)) if self._has_written or self._is_in_doubt() else mistake

    def _sends(self) -> Sequence[Send]:
        step = self.step
        return () if step is None or isinstance(step, Pause) else (step,) if isinstance(step, Send) else step

    def _is_in_doubt(self) -> bool:
        return any(send.writes and send.is_sent for send in self._sends())

    def close(self) -> None:
        """Ends the flow where it is."""
        self._steps.close()

    def _drive(self, flow: Asked[R]) -> Steps[R]:
        try:
            asked = next(flow)
            while True:
                try:
                    if isinstance(asked, Call):
                        answer = yield from self._one(asked)
                    elif isinstance(asked, Send):
                        answer = yield asked
                    else:
                        answer = yield from self._many(asked)
                except NotHere as gone:
                    asked = flow.throw(gone)
                except ConfigurationError as mistake:
                    raise self.refused(mistake) from None
                else:
                    asked = flow.send(answer)
        except StopIteration as end:
            return cast("R", end.value)
        finally:
            flow.close()

    def _one(self, call: Call) -> Steps[Any]:
        """Asks the server at once, without the book-keeping of :meth:`_rounds`, which most calls never need."""
        self.writes = call.writes
        node = self._topology.node_of(call.key)
        if node is None or (call.lasts and self._wait is not None):
            return (yield from self._rounds([Part(call)]))[0]
        send = Send(node, packed_call(call), writes=call.writes)
        result: Result = yield send
        if type(result) is list and not isinstance(result[0], Exception):
            self._has_written = self._has_written or call.writes
            return result[0]
        part = Part(call, node)
        self._take(send, [part], result)
        self._raise_any([part])
        reply = (yield from self._rounds([part]))[0]
        if isinstance(reply, NotHere):
            raise reply
        return reply

    def _many(self, calls: Sequence[Call]) -> Steps[list[Any]]:
        self.writes = any(call.writes for call in calls)
        return (yield from self._rounds([Part(call) for call in calls]))

    def _rounds(self, parts: Sequence[Part]) -> Steps[list[Any]]:
        """Sends what has no answer yet, again and again, each time to the server that should have the key."""
        for _ in range(ROUNDS):
            waiting = [part for part in parts if not part.is_answered and not part.is_not_here]
            if not waiting:
                return [NotHere() if part.is_not_here else part.reply for part in parts]
            if pause := max(part.pause for part in waiting):
                yield Pause(pause)
            yield from self._place(waiting)
            groups: dict[Node, list[Part]] = {}
            for part in waiting:
                groups.setdefault(cast("Node", part.node), []).append(part)
            sends = [written(node, group, self._wait) for node, group in groups.items()]
            results: list[Result] = [(yield sends[0])] if len(sends) == 1 else (yield sends)
            for send, group, result in zip(sends, groups.values(), results, strict=True):
                self._take(send, group, result)
            self._raise_any(waiting)
        raise self._error(f"Redis sent a call on to other servers {ROUNDS} times", in_doubt=False)

    def _place(self, parts: Sequence[Part]) -> Steps[None]:
        """Finds the server of each part that has none."""
        why = ""
        for part in parts:
            if part.node is not None:
                continue
            part.node = self._topology.node_of(part.call.key)
            if part.node is None and not why:
                why = (yield from self._topology.look_up(part.failed_at)) or "no server of the cluster has the slot of this key"
                part.node = self._topology.node_of(part.call.key)
            if part.node is None or part.node in part.failed_at:
                raise self._error(part.why or why, in_doubt=False)

    def _take(self, send: Send, parts: Sequence[Part], result: Result) -> None:
        """Notes what the result of a send says about its calls."""
        if isinstance(result, Lost):
            self._topology.doubt()
            self._why = result.why
            for part in parts:
                if send.is_sent:
                    part.fail(result.why, in_doubt=part.call.writes)
                else:
                    part.look_elsewhere(result.why)
            return
        read(send, parts, result, self._topology, self._wait)
        self._has_written = self._has_written or any(part.is_answered and part.call.writes for part in parts)

    def _raise_any(self, parts: Sequence[Part]) -> None:
        failed = [part for part in parts if part.failure]
        if failed:
            worst = next((part for part in failed if part.is_in_doubt), failed[0])
            raise self._error(worst.failure, in_doubt=worst.is_in_doubt)

    def _error(self, why: str, *, in_doubt: bool) -> BackendUnavailable:
        return (OutcomeUnknown if in_doubt or self._has_written else BackendUnavailable)(why)
