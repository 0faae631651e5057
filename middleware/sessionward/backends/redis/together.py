"""Runs several flows side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sessionward.backends.redis.call import Call, Flow, NotHere


def together(flows: Sequence[Flow[Any]]) -> Flow[list[Any]]:
    """Runs flows side by side: what each of them asks next goes out at once."""
    answers: list[Any] = [None] * len(flows)
    waiting: list[tuple[int, Call | Sequence[Call]]] = []

    def go_on(index: int, step: Any) -> None:
        try:
            waiting.append((index, step()))
        except StopIteration as end:
            answers[index] = end.value

    for index, flow in enumerate(flows):
        go_on(index, partial(next, flow))
    while waiting:
        asked_now, waiting = waiting, []
        replies = iter((yield [call for _, step in asked_now for call in ([step] if isinstance(step, Call) else step)]))
        for index, step in asked_now:
            reply: Any = next(replies) if isinstance(step, Call) else [next(replies) for _ in step]
            flow = flows[index]
            go_on(index, partial(flow.throw, reply) if isinstance(reply, NotHere) else partial(flow.send, reply))
    return answers
