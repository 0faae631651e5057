"""What a function of the application is: async, or a generator, whose call would run nothing."""

from __future__ import annotations

import inspect
from functools import partial
from typing import cast


def is_async(function: object) -> bool:
    """Returns whether a function, or an object that can be called, is async."""
    return any(map(inspect.iscoroutinefunction, _bodies(function)))


def is_generator(function: object) -> bool:
    """Returns whether a call would only make a generator, sync or async, and run nothing of the function."""
    return any(inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body) for body in _bodies(function))


def _bodies(function: object) -> tuple[object, object]:
    """Returns what a call can run: the function, or the ``__call__`` of an object; also that of a ``partial``."""
    while isinstance(function, partial):
        function = cast("partial[object]", function).func
    return function, getattr(type(function), "__call__", None)  # noqa: B004 - asks what the call is
