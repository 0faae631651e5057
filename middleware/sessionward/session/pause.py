"""The pauses that a flow asks for: until a moment, and until another request has its answer. ``session/also`` has one more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from sessionward.errors import BackendUnavailable
from sessionward.session.session import Checked
from sessionward.session.step import Step

T = TypeVar("T")


class Pause(Step[T]):
    """A step that asks no backend: the driver waits by itself, without a connection.

    Under ASGI it waits without a thread, too, except for a sync function of the setting ``also``.
    """

    __slots__ = ()

    writes: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Wait(Pause[None]):
    """Waits until a moment of the clock of :class:`Leases`."""

    until: float


class Question:
    """A question that one request is asking, and others join. ``began``: by the clock of :class:`Leases`.

    It has no lock: ``is_over`` is set before the callbacks are called, and one that is added late calls itself.
    """

    __slots__ = ("_callbacks", "began", "checked", "failure", "is_over")

    def __init__(self, began: float) -> None:
        self.began = began
        self.checked: Checked | None = None
        self.failure: BackendUnavailable | None = None
        self.is_over = False
        self._callbacks: list[Callable[[], object]] = []

    def end(self) -> None:
        """Ends the question. Without ``checked`` and ``failure`` its request was cancelled."""
        self.is_over = True
        while self._callbacks:
            self._callbacks.pop()()

    def when_over(self, callback: Callable[[], object]) -> None:
        """Calls ``callback`` once or twice, when the question is over."""
        self._callbacks.append(callback)
        if self.is_over:
            callback()

    def answer(self) -> Checked | None:
        """Returns the answer, or None if the request was cancelled. Raises what the backend raised."""
        if self.failure is not None:
            raise self.failure
        return self.checked


@dataclass(frozen=True, slots=True)
class Join(Pause[Checked | None]):
    """Waits for the answer to the same question of another request. None: that request was cancelled."""

    question: Question
