"""Calls a function of the application that may wait: the setting ``also``, and ``place`` of the page."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sessionward.errors import BackendUnavailable, UsageError
from sessionward.session.pause import Pause
from sessionward.settings.functions import is_async

Called: TypeAlias = Literal["also", "page.place"]
"""The settings whose functions we call by a step, each in threads of its own."""


def ended(end: BaseException) -> BackendUnavailable:
    """Returns the failure of a function that has raised what is for a program or a task, and not for the caller: ``SystemExit``."""
    return BackendUnavailable(f"it ended with {type(end).__module__}.{type(end).__qualname__}")


@dataclass(frozen=True, slots=True)
class Call(Pause[Any]):
    """Calls a function of the application. It holds neither a connection nor a thread of the backend.

    ``is_vital``: whether a failure is an error for the log. Otherwise the flow gets the exception as it is, and reports it once.
    """

    setting: Called
    function: Callable[..., object] = field(repr=False)
    arguments: tuple[str, ...] = field(repr=False)
    is_vital: bool = True

    def complaint(self, failure: Exception) -> str:
        return (
            f"the function of the setting {self.setting!r} is not done: {failure}. The sessions were revoked; the client gets 503"
            " outcome_unknown, and the next call calls the function again"
        )

    def must_be_awaited(self) -> bool:
        """Returns whether the function is async."""
        return is_async(self.function)

    def ask(self, backend: Any) -> Any:  # noqa: ARG002 - the application answers
        try:
            answer = self.function(*self.arguments)
        except Exception:
            raise
        except BaseException as end:  # it runs in a thread, and SystemExit there ends no program
            raise ended(end) from None
        if inspect.isawaitable(answer) and not self.must_be_awaited():
            if inspect.iscoroutine(answer):
                answer.close()  # otherwise Python warns that it was never awaited
            raise UsageError(f"{self.setting}: the function is sync but returns an awaitable; write it as an async def")
        return answer
