"""A step, which is a question that a flow asks, typed by its answer.

A flow is a generator that decides and does no I/O: it yields steps, and the driver sends it their answers. Type checkers know the
type of ``yield from Find(credential)``; a bare ``yield`` would have type Any.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, cast

T = TypeVar("T")


class Step(Generic[T]):
    """A question with an answer of type ``T``. It yields itself once and returns the answer."""

    __slots__ = ()

    writes: ClassVar[bool] = True
    """Whether the question may change something. If so, after a timeout the outcome is unknown."""

    def ask(self, backend: Any) -> Any:
        """Returns the backend's answer, or an awaitable of it where the backend is async."""
        raise NotImplementedError

    def answerer(self) -> str:
        """Returns who answers, for the log."""
        return "backend"

    def complaint(self, failure: Exception) -> str:
        """Returns what the log says about a question without an answer."""
        return f"the {self.answerer()} did not answer {type(self).__name__}: {failure}"

    def __iter__(self) -> Generator[Step[Any], Any, T]:
        return cast("T", (yield self))


Flow: TypeAlias = Generator[Step[Any], Any, T]
"""A generator that yields steps, gets their answers, and returns a ``T``."""


def answered(value: T) -> Flow[T]:
    """Returns a flow that asks nothing and returns ``value``."""
    yield from ()
    return value
