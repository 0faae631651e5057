"""Walks through all that may become of a flow: every question is answered in every way that there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sessionward.modes.companion.judge import CompanionContext
from sessionward.session.step import Flow, Step

T = TypeVar("T")


@dataclass(frozen=True)
class Ending(Generic[T]):
    """One way through a flow: what was asked, what was answered, and how it ended."""

    context: CompanionContext
    asked: Sequence[Step[Any]]
    answers: Sequence[object]
    value: T | None
    raised: Exception | None

    @property
    def kinds(self) -> list[str]:
        return [type(step).__name__ for step in self.asked]

    @property
    def failed(self) -> bool:
        """Whether any question met an error."""
        return any(isinstance(answer, Exception) for answer in self.answers)

    def answer(self, kind: type[Step[Any]]) -> list[object]:
        """What was answered to the questions of a kind."""
        return [answer for step, answer in zip(self.asked, self.answers, strict=True) if isinstance(step, kind)]

    def __str__(self) -> str:
        told = ", ".join(f"{kind}: {answer!r}" for kind, answer in zip(self.kinds, self.answers, strict=True))
        return f"[{told}] -> {self.value!r} {self.raised!r}"


def endings(start: Callable[[], tuple[CompanionContext, Flow[T]]], answers: Callable[[Step[Any]], Sequence[object]]) -> Iterator[Ending[T]]:
    """All ways through. A generator cannot be copied, so each way is walked from its beginning."""
    waiting: list[tuple[object, ...]] = [()]
    while waiting:
        given = waiting.pop()
        context, flow = start()
        asked: list[Step[Any]] = []
        try:
            step = flow.send(None)
            while True:
                asked.append(step)
                if len(asked) > len(given):
                    waiting.extend((*given, answer) for answer in answers(step))
                    flow.close()
                    break
                answer = given[len(asked) - 1]
                step = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
        except StopIteration as end:
            yield Ending(context, asked, given, end.value, None)
        except Exception as failure:
            yield Ending(context, asked, given, None, failure)
