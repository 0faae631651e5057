"""Runs flows over Redis call by call, so that a test can stop between two of them, or let one fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from sessionward.backends.redis.call import Call, Flow, NotHere

R = TypeVar("R")


def run_call(client: Any, call: Call) -> Any:
    """Runs a script by a client of redis-py."""
    return client.eval(call.script.text, 1, call.key, *call.arguments)


def is_undeclared(call: Call) -> bool:
    """Whether a script reads the state of the tag without declaring its key."""
    if len(call.arguments) < 2:
        return False
    state, passed = call.arguments[:2]
    return passed == b"" and isinstance(state, bytes) and state.endswith(b":s")


class Stepper:
    """A runner of flows in place of the backend's own, over one server. ``calls``: all that it has run."""

    waits = False

    def __init__(self, client: Any, *, away: bool = False, is_cluster: bool = False) -> None:
        self._client = client
        self.is_away: Callable[[Call], bool] = is_undeclared if away else lambda call: False
        """Whether a script does not reach what it has not declared."""
        self.is_cluster = is_cluster
        self.calls: list[Call] = []
        self.before: Callable[[Call], None] = lambda call: None
        """Called before each call. It may raise, as a lost connection does."""

    def ask(self, flow: Flow[R], timeout: float) -> R:
        reply: Any = None
        try:
            while True:
                asked = flow.throw(reply) if isinstance(reply, NotHere) else flow.send(reply)
                reply = self._run(asked) if isinstance(asked, Call) else [self._run(call) for call in asked]
        except StopIteration as end:
            answer: R = end.value
            return answer

    def scan(self, prefix: bytes, timeout: float) -> Iterator[Sequence[bytes]]:
        yield list(self._client.scan_iter(match=prefix.replace(b"[", b"\\[") + b"*"))

    def close(self) -> None:
        """It has nothing open."""

    def _run(self, call: Call) -> Any:
        if self.is_away(call):
            return NotHere()
        self.before(call)
        self.calls.append(call)
        return run_call(self._client, call)


def between(runner: Stepper, script: str, action: Callable[[], Any]) -> list[bool]:
    """Does something once, just before a script on a user runs with a state that was read before. Returns whether it has done it."""
    done: list[bool] = []

    def before(call: Call) -> None:
        if call.script.name == script and not is_undeclared(call) and not done:
            done.append(True)
            action()

    runner.before = before
    return done
