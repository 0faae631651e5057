"""A question that a flow may ask, typed by its answer.

A flow is a generator that decides and performs nothing: it yields steps and is sent their answers. ``yield from
Find(credential)`` has the type of the answer under strict checking; a bare ``yield`` would have type Any.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, cast

T = TypeVar("T")


class Step(Generic[T]):
    """Yields itself once and returns what it is sent."""

    __slots__ = ()

    writes: ClassVar[bool] = True
    """Whether the answer may change something. If so, a timeout leaves the outcome unknown."""

    def ask(self, backend: Any) -> Any:
        """Returns the backend's answer, or an awaitable of it where the backend is async."""
        raise NotImplementedError

    def __iter__(self) -> Generator[Step[Any], Any, T]:
        return cast("T", (yield self))


Flow: TypeAlias = Generator[Step[Any], Any, T]
"""A decision on its way: yields steps, is sent their answers, returns a ``T``."""


def answered(value: T) -> Flow[T]:
    """A flow that asks nothing."""
    yield from ()
    return value
