"""Where the time of a guarded request goes, part by part: in process, by real requests in which more and more parts do nothing.

A part that does nothing returns what it returned to the first request. The time of a part is the difference that this makes to
the requests that already lack the parts above it, so that the parts add up to what the middleware adds; a call that does nothing
costs some 50 ns, which stay with the rest. A function that this version does not have is named below the table, and its time
stays with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutinefunction
from statistics import median
from typing import Any, Final
from unittest.mock import patch

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.session.session import Session
from tests.benchmarks.measure import Effort, LeftOut, Result, Rounds, Row, Timed, added, alternate, duration
from tests.benchmarks.requests import (
    SECRET,
    asgi_application,
    asgi_requests_in_turn,
    event_loop,
    signed_in_application,
    wsgi_application,
    wsgi_requests_in_turn,
)
from tests.benchmarks.signing import Browsers

BARE, WHOLE, REST = "bare", "whole", "the rest: the scan of the headers, the handle, and the calls between the parts"


class Asked(MemoryBackend):
    """A backend whose answer can be replaced: the middleware keeps its method, not the backend."""

    answer = MemoryBackend.find

    def find(self, credential: Credential, /) -> Session | None:
        return self.answer(credential)


SHARED: Final = {
    "its question": [f"{__name__}:Asked.answer"],
    "its HMAC, at the first sight": ["credential.token:Signature.verifies"],
    "the digest of the token, and the signature that was verified before": ["credential.token:Proofs.credential"],
    "reading the cookie": ["credential.own:usual_value"],
}
"""Each part with its functions, below the name of the package, or of this module."""
ASGI: Final = {
    **SHARED,
    "the wrapper of send": ["streams.answering:Answering._send"],
}
WSGI: Final = {
    **SHARED,
    "the wrapper of start_response": ["handle.answering:Answering._start_response", "handle.answering:Answering._returned"],
}
WARM_UP: Final = 200
"""Requests until the interpreter has adapted to the functions that were replaced."""


def measure(effort: Effort) -> Iterator[Result]:
    effort = Effort(max(15, effort.rounds // 3), effort.seconds)
    backend = Asked()
    browsers = Browsers.signed_in(backend).cookies()
    wsgi_requests_in_turn(WSGIMiddleware(signed_in_application, backend, secrets=[SECRET]), browsers)(len(browsers))
    with event_loop() as run:
        guarded = asgi_requests_in_turn(ASGIMiddleware(asgi_application, backend, secrets=[SECRET]), browsers, run)
        yield from _by_part("ASGI", ASGI, asgi_requests_in_turn(asgi_application, browsers, run), guarded, effort)
    guarded = wsgi_requests_in_turn(WSGIMiddleware(wsgi_application, backend, secrets=[SECRET]), browsers)
    yield from _by_part("WSGI", WSGI, wsgi_requests_in_turn(wsgi_application, browsers), guarded, effort)


def _by_part(door: str, parts: Mapping[str, Sequence[str]], bare: Timed, guarded: Timed, effort: Effort) -> Iterator[Result]:
    sides, gone, missing = {BARE: bare, WHOLE: guarded}, list[_Function](), list[str]()
    for name, functions in parts.items():
        for function in functions:
            found = _Function.of(function)
            if found is None:
                missing.append(function)
            else:
                gone.append(found)
        sides[name] = _without(list(gone), guarded)
    yield from _rows(door, list(parts), alternate(sides, effort))
    for function in missing:
        yield LeftOut(f"{door}, guarded request: {function}", "no such function")


def _rows(door: str, parts: Sequence[str], rounds: Rounds) -> Iterator[Row]:
    whole = added(rounds, WHOLE, BARE)
    stages = [WHOLE, *parts, BARE]
    for name, before, after in zip([*parts, REST], stages, stages[1:], strict=False):
        spent = added(rounds, before, after)
        shares = [one / all_of_it for one, all_of_it in zip(spent, whole, strict=True)]
        measured = f"{door}, guarded request, cookie seen before, memory: {name}"
        yield Row(measured, f"{median(spent) * 1e9:,.0f} ns", f"added in all {duration(median(whole))}", shares, _percent, None)


@dataclass(frozen=True, slots=True)
class _Function:
    """A function or class that can be replaced: the attribute of a module or of a class."""

    owner: Any
    name: str

    @classmethod
    def of(cls, path: str) -> _Function | None:
        module, _, names = path.partition(":")
        owner: Any = import_module(module if module == __name__ else f"sessionward.{module}")
        *classes, name = names.split(".")
        for each in classes:
            owner = getattr(owner, each, None)
        return cls(owner, name) if hasattr(owner, name) else None

    def doing_nothing(self) -> Any:
        """Returns what replaces it."""
        return _PASSES[self.name] if self.name in _PASSES else _as_first(getattr(self.owner, self.name))


def _as_first(original: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that always returns what the original returned first."""
    kept: list[Any] = []

    def function(*arguments: Any, **named: Any) -> Any:
        if not kept:
            kept.append(original(*arguments, **named))
        return kept[0]

    async def coroutine_function(*arguments: Any, **named: Any) -> Any:
        if not kept:
            kept.append(await original(*arguments, **named))
        return kept[0]

    return coroutine_function if iscoroutinefunction(original) else function


_PASSES: Final[Mapping[str, Any]] = {
    "_send": property(lambda handle: handle._server),
    "_start_response": property(lambda handle: handle._server),
    "_returned": lambda _handle, body: body,
}
"""What does nothing by passing on what the server or the application gave."""


def _without(functions: Sequence[_Function], serve: Timed) -> Timed:
    """Requests in which these functions do nothing."""
    replaced = [(function, function.doing_nothing()) for function in functions]

    def timed(number: int) -> float:
        with ExitStack() as stack:
            for function, nothing in replaced:
                stack.enter_context(patch.object(function.owner, function.name, nothing))
            serve(min(number, WARM_UP))
            return serve(number)

    return timed


def _percent(share: float) -> str:
    return f"{share:.0%}"
