"""A question that a flow may ask, typed by its answer.

A flow is a generator that decides and performs nothing: it yields steps and is sent their answers. ``yield from
Find(credential)`` has the type of the answer under strict checking; a bare ``yield`` would have type Any.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeAlias, TypeVar, cast

T = TypeVar("T")


class Step(Generic[T]):
    """Yields itself once and returns what it is sent."""

    __slots__ = ()

    def __iter__(self) -> Generator[Step[Any], Any, T]:
        return cast("T", (yield self))


Flow: TypeAlias = Generator[Step[Any], Any, T]
"""A decision on its way: yields steps, is sent answers, returns a ``T``."""
